"""Recurrent modules of torch.nn agree with their own forward: conventions, hooks, overridden forwards."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from lyapunov_pkg import lyapunov_spectrum
from lyapunov_pkg.networks import from_torch
from lyapunov_pkg.spectra.driven import driven_system
from tests.systems.reference import FEATURES, UNITS, exponents, of_module, random

INPUTS = random(2, 12, FEATURES)
MODULES = (torch.nn.RNN, torch.nn.LSTM, torch.nn.GRU)


def built(kind: type, seed: int = 0, **options) -> torch.nn.Module:
    torch.manual_seed(seed)
    return kind(FEATURES, UNITS, **options).double()


class Scaled(torch.nn.GRU):
    def forward(self, x, h=None):
        return super().forward(2 * x, h)


class Dropped(torch.nn.LSTM):
    def forward(self, x, hc=None):
        return super().forward(x * torch.tensor([1.0, 0.0, 1.0]).to(x), hc)


class Leaky(torch.nn.RNN):
    """An RNN that uses only the first step of its inputs and requires a state."""

    def forward(self, x, h):
        drive = x[0] @ self.weight_ih_l0.T + self.bias_ih_l0 + self.bias_hh_l0
        h = (0.9 * h[0] + 0.1 * torch.tanh(drive + h[0] @ self.weight_hh_l0.T))[None]
        return h, h


class Normed(torch.nn.GRU):
    def forward(self, x, h=None):
        h = x.new_zeros(1, x.shape[1], self.hidden_size) if h is None else h
        outputs = []
        for step in x:
            h = super().forward(step[None], h)[1]
            h = h / (0.5 + h.norm(dim=-1, keepdim=True))
            outputs.append(h[0])
        return torch.stack(outputs), h


class WeightDrop(torch.nn.LSTM):
    """An LSTM that computes a weight from another parameter in each call."""

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        raw = self.weight_hh_l0
        del self._parameters["weight_hh_l0"]
        self.raw = torch.nn.Parameter(raw.detach().clone())
        self.weight_hh_l0 = 0 * raw.detach()

    def forward(self, x, hc=None):
        self.weight_hh_l0 = torch.nn.functional.dropout(self.raw, 0.5, self.training)
        return super().forward(x, hc)


class TestWeightsOfHooks:
    @pytest.mark.parametrize(
        "wrap",
        [
            lambda m: weight_norm(m, "weight_hh_l0"),
            lambda m: parametrizations.weight_norm(m, "weight_hh_l0"),
            lambda m: parametrizations.spectral_norm(m, "weight_hh_l0"),
            lambda m: prune.random_unstructured(m, "weight_hh_l0", 0.4),
            lambda m: parametrizations.orthogonal(m, "weight_hh_l0"),
            lambda m: weight_norm(weight_norm(m, "weight_hh_l0"), "weight_ih_l0"),
        ],
    )
    @pytest.mark.parametrize("kind", MODULES)
    @pytest.mark.filterwarnings("ignore::FutureWarning")
    def test_weights_are_computed_when_the_module_runs(self, kind, wrap):
        trained, loaded = wrap(built(kind)), wrap(built(kind, seed=1))
        with torch.no_grad():
            for weight in trained.parameters():
                weight *= 1.5
        loaded.load_state_dict(trained.state_dict())
        found = exponents(loaded, INPUTS.transpose(0, 1))
        assert loaded.training
        np.testing.assert_allclose(found, of_module(loaded, INPUTS), atol=1e-9)

    @pytest.mark.filterwarnings("ignore::FutureWarning")
    def test_spectral_norm_keeps_its_vectors(self):
        module = spectral_norm(built(torch.nn.GRU), "weight_hh_l0")
        before = copy.deepcopy(module.state_dict())
        exponents(module, INPUTS.transpose(0, 1))
        assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())

    @pytest.mark.filterwarnings("ignore::FutureWarning")
    def test_gradients_reach_the_parameters_behind_computed_weights(self):
        module, inputs = weight_norm(built(torch.nn.RNN), "weight_hh_l0"), INPUTS.transpose(0, 1)

        def leading() -> Tensor:
            return lyapunov_spectrum(module, inputs, n_exponents=2, differentiable=True).sum()

        gradient = torch.autograd.grad(leading(), module.weight_hh_l0_g)[0]
        with torch.no_grad():
            module.weight_hh_l0_g[1] += 1e-6
            higher = leading()
            module.weight_hh_l0_g[1] -= 2e-6
            assert gradient[1].item() == pytest.approx((higher - leading()).item() / 2e-6, rel=1e-5)


class TestForwardsOfTheirOwn:
    @pytest.mark.parametrize("kind", [Scaled, Dropped, Leaky, Normed, WeightDrop])
    def test_the_module_computes_its_own_forward(self, kind):
        module = built(kind)
        np.testing.assert_allclose(exponents(module, INPUTS.transpose(0, 1)), of_module(module, INPUTS), atol=1e-9)

    @pytest.mark.parametrize(
        "hook", [lambda m, given: (2 * given[0], *given[1:]), lambda m, given: (given[0] * 0, *given[1:])]
    )
    def test_hooks_before_forward_are_applied(self, hook):
        module = built(torch.nn.GRU)
        module.register_forward_pre_hook(hook)
        np.testing.assert_allclose(exponents(module, INPUTS.transpose(0, 1)), of_module(module, INPUTS), atol=1e-9)

    def test_hooks_on_outputs_alone_change_nothing(self):
        module, plain = built(torch.nn.LSTM), built(torch.nn.LSTM)
        module.register_forward_hook(lambda m, given, returned: (returned[0] * 2, returned[1]))
        inputs = INPUTS.transpose(0, 1)
        np.testing.assert_array_equal(exponents(module, inputs), exponents(plain, inputs))

    def test_a_patched_forward_is_used(self):
        module = built(torch.nn.GRU)
        module.forward = lambda x, h=None: torch.nn.GRU.forward(module, 3 * x, h)
        np.testing.assert_allclose(exponents(module, INPUTS.transpose(0, 1)), of_module(module, INPUTS), atol=1e-9)

    def test_gradients_flow_through_an_overridden_forward(self):
        module, inputs = built(Scaled), INPUTS.transpose(0, 1)

        def leading() -> Tensor:
            return lyapunov_spectrum(module, inputs, n_exponents=2, differentiable=True).sum()

        gradient = torch.autograd.grad(leading(), module.weight_hh_l0)[0]
        with torch.no_grad():
            module.weight_hh_l0[1, 2] += 1e-6
            higher = leading()
            module.weight_hh_l0[1, 2] -= 2e-6
            assert gradient[1, 2].item() == pytest.approx((higher - leading()).item() / 2e-6, rel=1e-5)

    def test_noise_and_dropout_of_training_are_off(self):
        class Noisy(torch.nn.GRU):
            def forward(self, x, h=None):
                return super().forward(x + torch.randn_like(x) if self.training else x, h)

        noisy, plain = built(Noisy), built(torch.nn.GRU)
        inputs, before = INPUTS.transpose(0, 1), torch.get_rng_state()
        np.testing.assert_array_equal(exponents(noisy, inputs), exponents(plain, inputs))
        assert noisy.training and torch.equal(torch.get_rng_state(), before)
        deep = built(torch.nn.LSTM, num_layers=2, dropout=0.5)
        np.testing.assert_allclose(exponents(deep, inputs), of_module(deep, INPUTS), atol=1e-9)

    @pytest.mark.parametrize(
        ("forward", "message"),
        [
            (lambda own, x, h: own(x.flip(0), h), "system: got Own, whose result for two steps differs"),
            (lambda own, x, h: (lambda o, s: (o, s / 2))(*own(x, h)), "two steps differs from two single steps"),
            (lambda own, x, h: own(x + torch.randn_like(x), h), "another state in a second call"),
            (lambda own, x, h: own(2 * x, h)[0][:1], "system: the own forward of this Own returned no state"),
            (
                lambda own, x, h: own(x, torch.ones(1, x.shape[1], UNITS).to(x) if h is None else h),
                "initial_state: got",
            ),
            (lambda own, x, h: own(x[..., :2], h), "system: the own forward of this Own failed"),
        ],
    )
    def test_forwards_that_are_no_repeated_step_are_refused(self, forward, message):
        class Own(torch.nn.GRU):
            def forward(self, x, h=None):
                return forward(super().forward, x, h)

        with pytest.raises(ValueError, match=message):
            exponents(built(Own), INPUTS.transpose(0, 1))

    def test_a_forward_that_returns_only_outputs_is_checked_by_them(self):
        class Outputs(torch.nn.GRU):
            def forward(self, x):
                return super().forward(x)[0]

        inputs = INPUTS.transpose(0, 1)
        np.testing.assert_array_equal(exponents(built(Outputs), inputs), exponents(built(torch.nn.GRU), inputs))

    def test_the_module_is_unchanged(self):
        class Counting(torch.nn.GRU):
            def __init__(self, *sizes):
                super().__init__(*sizes)
                self.register_buffer("calls", torch.zeros(()))
                self.seen = []

            def forward(self, x, h=None):
                self.calls += 1
                self.seen.append(len(x))
                return super().forward(x, h)

        module = built(Counting)
        attributes = dict(module.__dict__)
        exponents(module, INPUTS.transpose(0, 1))
        assert module.calls == 0 and module.seen == [] and module.__dict__ == attributes
        assert all(weight.grad is None for weight in module.parameters())


class TestConventions:
    @pytest.mark.parametrize("kind", MODULES)
    def test_inputs_have_the_layout_of_forward(self, kind):
        by_time, by_sequence = built(kind), built(kind, batch_first=True)
        expected = of_module(by_time, INPUTS)
        for module, inputs in ((by_time, INPUTS.transpose(0, 1)), (by_sequence, INPUTS)):
            np.testing.assert_allclose(exponents(module, inputs), expected, atol=1e-9)
            np.testing.assert_allclose(exponents(module, INPUTS[0]), expected[:1], atol=1e-9)
            np.testing.assert_allclose(lyapunov_spectrum(module, inputs)["lyapunov_exponent"], expected, atol=1e-9)

    @pytest.mark.parametrize("n_layers", [1, 2])
    @pytest.mark.parametrize("batch_first", [False, True])
    def test_states_have_the_layout_of_forward(self, batch_first, n_layers):
        lstm = built(torch.nn.LSTM, num_layers=n_layers, batch_first=batch_first)
        h, c = random(n_layers, 2, UNITS, seed=3), random(n_layers, 2, UNITS, seed=4)
        flat = torch.cat([part[layer] for layer in range(n_layers) for part in (h, c)], dim=-1)
        inputs = INPUTS if batch_first else INPUTS.transpose(0, 1)
        expected = exponents(from_torch(lstm), INPUTS, initial_state=flat[None])[0]
        for state in ((h, c), [h.numpy(), c.numpy()], flat, xr.DataArray(flat.T, dims=("unit", "sequence"))):
            if isinstance(state, xr.DataArray):
                state = state.transpose("sequence", "unit").values
            np.testing.assert_array_equal(exponents(lstm, inputs, initial_state=state), expected)
        alone = exponents(lstm, INPUTS[0], initial_state=(h[:, 0], c[:, 0]))
        np.testing.assert_allclose(alone, expected[:1], atol=1e-12)

    def test_labelled_inputs_are_transposed_by_name(self):
        gru = built(torch.nn.GRU)
        labelled = xr.DataArray(INPUTS.numpy(), dims=("sequence", "time", "feature"))
        expected = exponents(gru, INPUTS.transpose(0, 1))
        for dims in (("sequence", "time", "feature"), ("feature", "sequence", "time"), ("time", "feature", "sequence")):
            np.testing.assert_array_equal(exponents(gru, labelled.transpose(*dims)), expected)
        np.testing.assert_allclose(exponents(gru, labelled[0].T), expected[:1], atol=1e-12)
        for dims in (("batch", "time", "feature"), ("sequence", "step", "feature"), ("sequence", "time", "dim_2")):
            with pytest.raises(ValueError, match=r"inputs: got a DataArray with dimensions .*, expected \('sequence'"):
                exponents(gru, xr.DataArray(INPUTS.numpy(), dims=dims))
        with pytest.raises(ValueError, match=r"inputs: got shape \(2, 12\), expected"):
            exponents(gru, labelled[..., 0])

    @pytest.mark.parametrize(
        ("state", "message"),
        [
            (torch.zeros(2, 2, UNITS), r"got shape \(2, 2, 4\), expected h and c of \(1, 2, 4\) and \(1, 2, 4\)"),
            ((torch.zeros(1, 2, UNITS),), r"got shape \(1, 1, 2, 4\), expected h and c"),
            ((torch.zeros(2, UNITS), torch.zeros(2, UNITS)), r"got shape \(2, 4\) and \(2, 4\), expected h and c"),
            (torch.zeros(7), r"got shape \(7,\), expected h and c of"),
        ],
    )
    def test_states_of_other_shapes_are_refused(self, state, message):
        with pytest.raises(ValueError, match=f"initial_state: {message}"):
            exponents(built(torch.nn.LSTM), INPUTS.transpose(0, 1), initial_state=state)

    def test_packed_sequences_are_refused_by_name(self):
        packed = torch.nn.utils.rnn.pack_sequence([INPUTS[0], INPUTS[1, :5]])
        with pytest.raises(
            TypeError, match=r"inputs: got a PackedSequence, expected sequences of equal length.*unpack_seq"
        ):
            exponents(built(torch.nn.GRU), packed)

    @pytest.mark.parametrize("kind", MODULES)
    def test_complete_spectra_have_the_same_bits_as_those_of_the_network(self, kind):
        module, inputs = built(kind, num_layers=2).float(), INPUTS.float()
        expected = lyapunov_spectrum(from_torch(module), inputs)["lyapunov_exponent"][0]
        found = lyapunov_spectrum(module, inputs.transpose(0, 1))["lyapunov_exponent"]
        np.testing.assert_array_equal(found, expected)

    @pytest.mark.parametrize("kind", [torch.nn.RNN, torch.nn.LSTM, torch.nn.GRU])
    def test_a_module_in_float32_agrees_with_its_copy_in_float64(self, kind):
        """Even the biases are added in float64."""
        torch.manual_seed(0)
        module, inputs = kind(3, 8), torch.randn(20, 2, 3)
        found = lyapunov_spectrum(module, inputs, dtype=torch.float64)["lyapunov_exponent"]
        expected = lyapunov_spectrum(copy.deepcopy(module).double(), inputs.double())["lyapunov_exponent"]
        np.testing.assert_allclose(found, expected, atol=1e-12)

    def test_the_dtype_is_that_of_the_weights(self):
        module = built(torch.nn.GRU).float()
        assert driven_system(module, INPUTS.transpose(0, 1)).inputs.dtype == torch.float32
        assert driven_system(module, INPUTS.transpose(0, 1), dtype=torch.float64).inputs.dtype == torch.float64


class TestMoreModules:
    @pytest.mark.parametrize("n_layers", [1, 2])
    def test_projections(self, n_layers):
        module = built(torch.nn.LSTM, num_layers=n_layers, proj_size=2)
        np.testing.assert_allclose(exponents(module, INPUTS.transpose(0, 1)), of_module(module, INPUTS), atol=1e-9)

    @pytest.mark.parametrize("kind", [torch.nn.RNNCell, torch.nn.LSTMCell, torch.nn.GRUCell])
    def test_cells_and_bound_methods_of_cells(self, kind):
        cell = built(kind)
        expected = of_module(cell, INPUTS)
        for system in (cell, cell.forward, cell.__call__, partial(cell), torch.compile(cell)):
            np.testing.assert_allclose(exponents(system, INPUTS), expected, atol=1e-9)
        np.testing.assert_allclose(exponents(cell, INPUTS[1]), expected[1:], atol=1e-9)
        assert isinstance(driven_system(cell, INPUTS).system, type(from_torch(cell)))

    def test_compiled_and_parallel_modules_are_unwrapped(self):
        gru, inputs = built(torch.nn.GRU), INPUTS.transpose(0, 1)
        expected = exponents(gru, inputs)
        for system in (torch.compile(gru), torch.nn.DataParallel(gru), gru.forward):
            np.testing.assert_array_equal(exponents(system, inputs), expected)

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    @pytest.mark.parametrize("kind", MODULES)
    def test_unsupported_modules_are_refused(self, kind):
        with pytest.raises(ValueError, match=r"system: got a bidirectional module, expected one direction; a state"):
            exponents(built(kind, bidirectional=True), INPUTS)
        with pytest.raises(TypeError, match=f"system: got the class {kind.__name__}, expected an instance"):
            exponents(kind, INPUTS)
        with pytest.raises(TypeError, match=f"system: got a scripted {kind.__name__}, expected the original module"):
            exponents(torch.jit.script(built(kind)), INPUTS)
        with pytest.raises(TypeError, match=r"system: got a module whose weight weight_ih_l0 has no values"):
            exponents(kind(FEATURES, UNITS, device="meta"), INPUTS)
        with pytest.raises(ValueError, match=r"inputs: got None, expected inputs of 3 features"):
            exponents(built(kind), n_steps=5)
