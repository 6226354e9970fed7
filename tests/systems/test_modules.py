"""User-defined modules, and models that contain recurrent modules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.utils import weight_norm

from lyapunov_pkg import lyapunov_spectrum, submodule_inputs
from tests.systems.reference import FEATURES, UNITS, by_lapack, exponents, of_module, random

INPUTS, ZEROS = random(3, 10, FEATURES), torch.zeros(UNITS, dtype=torch.float64)


class Step(torch.nn.Module):
    """A cell with dropout and a call counter; `returned` computes the result from x and the new state."""

    def __init__(self, returned=lambda x, state: state):
        super().__init__()
        torch.manual_seed(0)
        self.cell, self.dropout, self.returned = torch.nn.GRUCell(FEATURES, UNITS), torch.nn.Dropout(0.5), returned
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor, state: Tensor):
        self.calls += 1
        return self.returned(x, self.cell(self.dropout(x), state))


class Model(torch.nn.Module):
    """An embedding of tokens, an LSTM layer, and a readout."""

    def __init__(self, batch_first: bool = True):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.dropout = torch.nn.Embedding(10, FEATURES), torch.nn.Dropout(0.5)
        self.layers = torch.nn.ModuleList([torch.nn.LSTM(FEATURES, UNITS, batch_first=batch_first)])
        self.readout = torch.nn.Linear(UNITS, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.readout(self.layers[0](self.dropout(self.embedding(tokens)))[0])


class Decoder(torch.nn.Module):
    """A loop over a cell, with the initial state `start`; with `reset`, every step starts from zeros."""

    def __init__(self, start: float = 0.0, reset: bool = False):
        super().__init__()
        torch.manual_seed(0)
        self.cell, self.start, self.reset = torch.nn.GRUCell(FEATURES, UNITS), start, reset

    def forward(self, x: Tensor) -> Tensor:
        h = torch.full((x.shape[1], UNITS), self.start)
        for step in x:
            h = self.cell(step, torch.zeros_like(h) if self.reset else h)
        return h


class TestSteps:
    @pytest.mark.parametrize(
        "returned", [lambda x, state: state, lambda x, state: (x.sum(-1), state), lambda x, state: (state, state)]
    )
    def test_modules_are_called_with_the_input_first(self, returned):
        module = Step(returned).double()
        expected = of_module(module.cell, INPUTS)
        module.train()
        np.testing.assert_allclose(exponents(module, INPUTS, initial_state=ZEROS), expected, atol=1e-9)
        np.testing.assert_allclose(exponents(module.forward, INPUTS, initial_state=ZEROS), expected, atol=1e-9)
        assert module.calls == 0 and module.training and module.cell.training

    def test_argument_names_can_put_the_state_first(self):
        class StateFirst(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.weight = torch.nn.Parameter(random(FEATURES, FEATURES))

            def forward(self, state: Tensor, x: Tensor) -> Tensor:
                return torch.tanh(state @ self.weight.T + x)

        module, start = StateFirst(), torch.zeros(FEATURES, dtype=torch.float64)
        expected = [by_lapack(module, x, start) for x in INPUTS]
        np.testing.assert_allclose(exponents(module, INPUTS, initial_state=start), expected, atol=1e-9)

    def test_modules_that_return_pairs_and_modules_without_inputs(self):
        class Pair(torch.nn.Module):
            def __init__(self):
                super().__init__()
                torch.manual_seed(0)
                self.cell = torch.nn.LSTMCell(FEATURES, UNITS)

            def forward(self, x, state):
                after = self.cell(x, state)
                return after[0], after

        pair = Pair().double()
        found = exponents(pair, INPUTS, initial_state=(ZEROS, ZEROS))
        np.testing.assert_allclose(found, of_module(pair.cell, INPUTS), atol=1e-9)
        linear = torch.nn.Linear(2, 2, bias=False).double()
        with torch.no_grad():
            linear.weight.copy_(torch.diag(torch.tensor([2.0, 0.5])))
        found = exponents(torch.nn.Sequential(linear), n_steps=7, initial_state=np.ones(2))
        np.testing.assert_allclose(found, np.log([[2.0, 0.5]]), atol=1e-12)

    @pytest.mark.filterwarnings("ignore::FutureWarning")
    def test_weights_from_hooks_are_those_that_the_module_computes(self):
        trained, loaded = Step().double(), Step().double()
        trained.cell, loaded.cell = (weight_norm(step.cell, "weight_hh") for step in (trained, loaded))
        with torch.no_grad():
            trained.cell.weight_hh_g.fill_(3.0)
        loaded.load_state_dict(trained.state_dict())
        found = exponents(loaded, INPUTS, initial_state=ZEROS)
        np.testing.assert_allclose(found, of_module(loaded.cell, INPUTS), atol=1e-9)

    def test_gradients_reach_the_weights(self):
        module = Step()
        leading = lyapunov_spectrum(
            module, INPUTS, initial_state=torch.zeros(UNITS), n_exponents=2, dtype=torch.float64, differentiable=True
        ).sum()
        leading.backward()
        expected = lyapunov_spectrum(module.cell, INPUTS, n_exponents=2, dtype=torch.float64, differentiable=True).sum()
        gradient = torch.autograd.grad(expected, module.cell.weight_hh)[0]
        torch.testing.assert_close(module.cell.weight_hh.grad, gradient, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize(
        ("returned", "error", "message"),
        [
            (lambda x, state: x, ValueError, r"system: step\(x, state\), .* expected \(output, state\) or the state"),
            (lambda x, state: [state], TypeError, "returned .*computed with torch operations"),
            (lambda x, state: state - state.mean(0), ValueError, "one sequence changed another"),
            (lambda x, state: state + torch.randn_like(state), ValueError, "in a second call"),
        ],
    )
    def test_modules_that_are_no_steps_are_refused(self, returned, error, message):
        with pytest.raises(error, match=message):
            exponents(Step(returned).double(), INPUTS, initial_state=ZEROS)

    def test_non_finite_weights_are_refused(self):
        module = Step().double()
        with torch.no_grad():
            module.cell.weight_hh[0, 0] = torch.inf
        with pytest.raises(ValueError, match=r"system: got NaN or infinite weights in \['cell.weight_hh'\]"):
            exponents(module, INPUTS, initial_state=ZEROS)
        with pytest.raises(ValueError, match=r"initial_state: got None"):
            exponents(torch.nn.Bilinear(3, 3, 3), INPUTS)


class TestWholeModels:
    @pytest.mark.parametrize(
        ("model", "inputs", "name", "submodule"),
        [
            (Model(), torch.zeros(2, 5, dtype=torch.long), "layers.0", "model.layers[0]"),
            (torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.GRU(4, 5)), INPUTS, "1", "model[1]"),
            (Decoder(), INPUTS, "cell", "model.cell"),
        ],
    )
    def test_the_error_shows_the_correct_call(self, model, inputs, name, submodule):
        with pytest.raises(
            TypeError, match=r"system: got .* whole model that contains the recurrent submodules"
        ) as info:
            exponents(model, inputs)
        kind = type(model.get_submodule(name)).__name__
        assert f'recurrent submodules "{name}" ({kind});' in str(info.value)
        call = f'lyapunov_spectrum({submodule}, submodule_inputs(model, "{name}", *model_inputs))'
        assert str(info.value).endswith(call)

    @pytest.mark.parametrize("module", [torch.nn.Linear(3, 3), torch.nn.Tanh(), torch.nn.Sequential()])
    def test_other_modules_are_refused(self, module):
        with pytest.raises(TypeError, match=r"system: got .*, expected torch.nn.RNN"):
            exponents(module, INPUTS)

    @pytest.mark.parametrize("batch_first", [False, True])
    def test_inputs_of_a_submodule(self, batch_first):
        model, tokens = Model(batch_first), torch.randint(0, 10, (2, 7))
        inputs = submodule_inputs(model, "layers.0", tokens)
        assert torch.equal(inputs, model.embedding(tokens)) and model.training and not model.layers[0]._forward_hooks
        spectrum = lyapunov_spectrum(model.layers[0], inputs)["lyapunov_exponent"]
        assert spectrum.sizes["sequence"] == (2 if batch_first else 7)

    def test_inputs_of_a_cell_in_a_loop(self):
        model, x = Decoder(), random(6, 2, FEATURES).float()
        assert torch.equal(submodule_inputs(model, "cell", x), x.transpose(0, 1))
        with pytest.raises(ValueError, match=r"return_state: got False, but the model passes a state to 'cell'"):
            submodule_inputs(Decoder(start=0.5), "cell", x)
        inputs, state = submodule_inputs(Decoder(start=0.5), "cell", x, return_state=True)
        assert torch.equal(state, torch.full((2, UNITS), 0.5)) and inputs.shape == (2, 6, FEATURES)
        assert exponents(model.cell, inputs, initial_state=state).shape == (2, UNITS)
        with pytest.raises(ValueError, match=r"got 'cell', which the model calls 6 times without passing on"):
            submodule_inputs(Decoder(reset=True), "cell", x)

    def test_a_submodule_whose_weights_the_model_computes_is_refused(self):
        class WeightDrop(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = torch.nn.GRU(FEATURES, UNITS)
                self.raw = torch.nn.Parameter(3 * self.inner.weight_hh_l0.detach())

            def forward(self, x):
                self.inner.weight_hh_l0.data = torch.nn.functional.dropout(self.raw, 0.5, self.training).data
                return self.inner(x)

        with pytest.raises(ValueError, match=r"name: got 'inner', whose \['weight_hh_l0'\] the model changes"):
            submodule_inputs(WeightDrop(), "inner", INPUTS.float())

    @pytest.mark.parametrize(
        ("name", "error", "message"),
        [
            ("lstm", ValueError, r"name: got 'lstm', expected one of \['layers.0'\]"),
            ("readout", TypeError, "name: got 'readout', a Linear; expected a recurrent module"),
            (0, ValueError, "name: got 0, expected one of"),
        ],
    )
    def test_other_names_are_refused(self, name, error, message):
        with pytest.raises(error, match=message):
            submodule_inputs(Model(), name, torch.zeros(2, 5, dtype=torch.long))

    def test_packed_sequences_are_refused(self):
        class Packing(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.gru = torch.nn.GRU(FEATURES, UNITS)

            def forward(self, sequences):
                return self.gru(torch.nn.utils.rnn.pack_sequence(sequences))

        with pytest.raises(TypeError, match=r"model_inputs: 'gru' received a PackedSequence"):
            submodule_inputs(Packing(), "gru", [INPUTS[0].float(), INPUTS[1, :4].float()])
        with pytest.raises(TypeError, match=r"model: got str, expected a torch.nn.Module"):
            submodule_inputs("model", "gru")
