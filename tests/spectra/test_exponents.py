from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from lyapunov_pkg.cells import CELLS
from lyapunov_pkg.networks import Network, from_torch
from lyapunov_pkg.spectra import average_exponents, lyapunov_spectrum
from lyapunov_pkg.systems.maps import Henon, LinearMap, autonomous_inputs, orthogonal_map
from lyapunov_pkg.workflow.store import save_store

MODULES = {
    "rnn": lambda layers: torch.nn.RNN(3, 5, num_layers=layers, batch_first=True),
    "lstm": lambda layers: torch.nn.LSTM(3, 5, num_layers=layers, batch_first=True),
    "lstm without biases": lambda layers: torch.nn.LSTM(3, 5, num_layers=layers, bias=False, batch_first=True),
    "gru": lambda layers: torch.nn.GRU(3, 5, num_layers=layers, batch_first=True),
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def exponents(*args, **kwargs) -> np.ndarray:
    return lyapunov_spectrum(*args, **kwargs)["lyapunov_exponent"].values


def stack(architecture: str, n_variants: int = 2, n_layers: int = 1, p: float = 0.5) -> Network:
    generators = [generator(seed) for seed in range(n_variants)]
    network = Network.initialise(architecture, 3, 4, 2, [p] * n_variants, generators, n_layers=n_layers)
    return network.to(dtype=torch.float64)


def module(kind: str, n_layers: int = 1) -> torch.nn.RNNBase:
    torch.manual_seed(7)
    return MODULES[kind](n_layers).double()


def torch_step(rnn: torch.nn.RNNBase) -> Callable[[Tensor, Tensor], Tensor]:
    """Return one step of a torch.nn module as a function of one state vector (S,) and one input (F,)."""
    parts = 2 if isinstance(rnn, torch.nn.LSTM) else 1

    def step(state: Tensor, x: Tensor) -> Tensor:
        layers = state.reshape(rnn.num_layers, parts, 1, rnn.hidden_size)
        given = (layers[:, 0].contiguous(), layers[:, 1].contiguous()) if parts == 2 else layers[:, 0].contiguous()
        _, after = rnn(x.reshape(1, 1, -1), given)
        return torch.stack(after if parts == 2 else (after,), dim=1).flatten()

    return step


def hidden_indices(rnn: torch.nn.RNNBase) -> list[int]:
    size, parts = rnn.hidden_size, 2 if isinstance(rnn, torch.nn.LSTM) else 1
    return [layer * parts * size + unit for layer in range(rnn.num_layers) for unit in range(size)]


def brute_force(step: Callable, state: Tensor, inputs: Tensor, rows: list[int]) -> np.ndarray:
    """Return exponents by algorithm 1 for one sequence, with reverse-mode Jacobians and NumPy's QR."""
    q, total = np.eye(len(rows)), np.zeros(len(rows))
    for x in inputs:
        jacobian = torch.autograd.functional.jacobian(lambda point, x=x: step(point, x), state).numpy()
        q, r = np.linalg.qr(jacobian[np.ix_(rows, rows)] @ q)
        total += np.log(np.abs(np.diag(r)))
        state = step(state, x).detach()
    return np.sort(total / len(inputs))[::-1]


def brute_force_by_layer(step: Callable, state: Tensor, inputs: Tensor, rows: list[int], n_layers: int) -> np.ndarray:
    """Return exponents like `brute_force`, for a stack of layers that starts from the directions of its last layer.

    These directions span an invariant subspace, so the exponents are those of the diagonal blocks of the Jacobians.
    LAPACK's reflections would not keep the zeros outside the blocks.
    """
    layers = np.split(np.array(rows), n_layers)
    return np.sort(np.concatenate([brute_force(step, state, inputs, own.tolist()) for own in layers]))[::-1]


class TestReferenceSystems:
    def test_diagonal_maps_are_exact(self):
        diagonal = torch.tensor([0.5, 3.0, 1.0, 1e-9], dtype=torch.float64)
        spectrum = exponents(LinearMap(torch.diag(diagonal)), autonomous_inputs(2, 9))
        np.testing.assert_allclose(spectrum, np.log([[3.0, 1.0, 0.5, 1e-9]] * 2), rtol=1e-14, atol=1e-14)

    def test_exponents_of_orthogonal_maps_are_zero(self):
        spectrum = exponents(orthogonal_map(6, generator()), autonomous_inputs(1, 50), orthonormalize_every=4)
        np.testing.assert_allclose(spectrum, 0.0, atol=1e-14)

    def test_an_interval_may_be_longer_than_the_run(self):
        system, inputs = orthogonal_map(6, generator()), autonomous_inputs(1, 50)
        whole = exponents(system, inputs, orthonormalize_every=50)
        np.testing.assert_array_equal(exponents(system, inputs, orthonormalize_every=10**9), whole)

    @pytest.mark.parametrize("kind", ["triangular", "general", "complex pair"])
    def test_linear_maps_have_the_log_moduli_of_their_eigenvalues(self, kind):
        matrix = torch.diag(torch.tensor([0.4, 2.0, 1.1], dtype=torch.float64))
        if kind == "triangular":
            matrix = matrix + random(3, 3).triu(1)
        elif kind == "general":
            basis = random(3, 3, seed=3)
            matrix = basis @ matrix @ torch.linalg.inv(basis)
        else:
            matrix[:2, :2] = torch.tensor([[1.0, 1.5], [-1.0, 0.5]])
        moduli = np.sort(np.abs(np.linalg.eigvals(matrix.numpy())))[::-1]
        spectrum = exponents(LinearMap(matrix), autonomous_inputs(1, 300), warmup=100)
        # For a rotating pair, the average converges only as one over the number of steps.
        np.testing.assert_allclose(spectrum[0], np.log(moduli), atol=1e-2 if kind == "complex pair" else 1e-10)

    def test_henon_map(self):
        starts = 0.1 * random(200, 2)
        spectrum = exponents(Henon(), autonomous_inputs(200, 300), initial_state=starts, warmup=50)
        np.testing.assert_allclose(spectrum.mean(0), [0.419, -1.623], atol=0.01)
        np.testing.assert_allclose(spectrum.sum(-1), math.log(0.3), atol=1e-10)

    def test_a_diverged_trajectory_is_nan_and_does_not_affect_the_others(self):
        start = np.array([[0.0, 0.0], [50.0, 0.0]])
        spectrum = exponents(Henon(), autonomous_inputs(2, 200), initial_state=start)
        assert np.isfinite(spectrum[0]).all() and np.isnan(spectrum[1]).all()


class TestSingularJacobians:
    @pytest.mark.parametrize("warmup", [0, 5])
    @pytest.mark.parametrize(
        ("matrix", "expected"),
        [
            ([[1.0, 2.0], [2.0, 4.0]], [math.log(5.0), -math.inf]),
            ([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.5]], [math.log(2.0), math.log(0.5), -math.inf]),
            ([[0.0, 0.0], [0.0, 0.0]], [-math.inf, -math.inf]),
            ([[2.0, 1.0, 0.0], [0.0, 0.0, 3.0], [0.0, 0.0, 1.0]], [math.log(2.0), 0.0, -math.inf]),
        ],
    )
    def test_lost_directions_are_minus_infinity_and_the_others_are_correct(self, matrix, expected, warmup):
        matrix = torch.tensor(matrix, dtype=torch.float64)
        spectrum = exponents(LinearMap(matrix), autonomous_inputs(1, 200), warmup=warmup)
        # The initial vectors differ from the eigenvectors. The effect on the average decreases as one over the steps.
        np.testing.assert_allclose(spectrum[0], expected, atol=0.01)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_an_inactive_relu_unit_loses_exactly_one_exponent(self, dtype):
        torch.manual_seed(1)
        rnn = torch.nn.RNN(3, 5, nonlinearity="relu", batch_first=True)
        with torch.no_grad():
            rnn.bias_hh_l0.fill_(20.0)
            rnn.bias_hh_l0[2] = -1000.0
        spectrum = exponents(rnn, random(2, 12, 3), dtype=dtype)
        weight, others = rnn.weight_hh_l0.detach().double(), [0, 1, 3, 4]
        # The first step maps the first four unit vectors to the active units, and later steps stay among these units.
        first, later = (torch.linalg.slogdet(weight[others][:, start]).logabsdet for start in (slice(4), others))
        assert np.isneginf(spectrum[:, -1]).all()
        np.testing.assert_allclose(spectrum[:, :-1].sum(-1), (first + 11 * later) / 12, atol=1e-4)


class TestNetworks:
    @pytest.mark.parametrize("n_layers", [1, 2])
    @pytest.mark.parametrize("kind", MODULES)
    def test_torch_modules_agree_with_brute_force(self, kind, n_layers):
        rnn, inputs = module(kind, n_layers), random(2, 12, 3)
        size = from_torch(rnn).state_size
        start = 0.3 * random(2, size, seed=1)
        step = torch_step(rnn)
        expected = [brute_force_by_layer(step, start[i], inputs[i], list(range(size)), n_layers) for i in range(2)]
        np.testing.assert_allclose(exponents(rnn, inputs, initial_state=start), expected, atol=1e-8)

    @pytest.mark.parametrize("n_layers", [1, 2])
    def test_the_reduced_jacobian_has_only_hidden_units(self, n_layers):
        rnn, inputs = module("lstm", n_layers), random(1, 12, 3)
        start = torch.zeros(from_torch(rnn).state_size, dtype=torch.float64)
        expected = brute_force_by_layer(torch_step(rnn), start, inputs[0], hidden_indices(rnn), n_layers)
        np.testing.assert_allclose(exponents(rnn, inputs, jacobian="reduced")[0], expected, atol=1e-8)

    @pytest.mark.parametrize("n_layers", [1, 2])
    @pytest.mark.parametrize("architecture", CELLS)
    def test_the_sum_is_the_mean_log_determinant(self, architecture, n_layers):
        network, inputs = stack(architecture, n_layers=n_layers), random(3, 10, 3)
        state, log_determinant = network.initial_state(3), 0.0
        for x in inputs.unbind(1):
            log_determinant = log_determinant + torch.linalg.slogdet(network.jacobian(state, x)).logabsdet
            state = network.step(state, x)
        spectrum = lyapunov_spectrum(network, inputs)["lyapunov_exponent"]
        assert spectrum.dims == ("variant", "sequence", "exponent")
        np.testing.assert_allclose(spectrum.sum("exponent"), log_determinant / 10, atol=1e-10)

    def test_a_function_is_differentiated_automatically(self):
        rnn, inputs = module("gru"), random(2, 8, 3)
        network = from_torch(rnn)

        def step(state: Tensor, x: Tensor) -> Tensor:
            return network.step(state[None], x)[0]

        spectrum = exponents(step, inputs, initial_state=torch.zeros(5))
        np.testing.assert_allclose(spectrum, exponents(rnn, inputs), atol=1e-12)

    def test_any_object_with_push_forward_is_accepted(self):
        class Doubling:
            def push_forward(self, state, x, tangents):
                return 0 * state, 2 * tangents

        spectrum = exponents(Doubling(), np.zeros((2, 5, 1)), initial_state=np.zeros((2, 3)))
        np.testing.assert_allclose(spectrum, np.full((2, 3), math.log(2.0)))

    def test_inputs_have_the_layout_of_the_module(self):
        rnn, inputs = module("lstm"), random(2, 9, 3)
        other = torch.nn.LSTM(3, 5).double()
        other.load_state_dict(rnn.state_dict())
        np.testing.assert_array_equal(exponents(rnn, inputs), exponents(other, inputs.transpose(0, 1)))


class TestStacks:
    def test_each_variant_agrees_with_the_variant_alone(self):
        network, inputs = stack("gru", n_variants=3), random(2, 8, 3)
        together = exponents(network, inputs)
        for variant in range(3):
            np.testing.assert_allclose(together[[variant]], exponents(network.select([variant]), inputs), atol=1e-12)

    @pytest.mark.parametrize("architecture", ["rnn", "lstm", "cornn"])
    def test_a_diverged_variant_is_nan_and_does_not_affect_the_others(self, architecture):
        network, inputs = stack(architecture, n_variants=3), random(2, 8, 3)
        tangents = torch.eye(network.reduced_size, dtype=torch.float64)
        clean = average_exponents(network, inputs, network.initial_state(2), tangents).exponents
        network.params["layer_0.recurrent_weight"][1, 0, 0] = torch.nan
        broken = average_exponents(network, inputs, network.initial_state(2), tangents).exponents
        assert broken[1].isnan().all()
        assert torch.allclose(broken[[0, 2]], clean[[0, 2]], atol=1e-12)

    def test_inputs_may_differ_between_variants(self):
        network, inputs = stack("rnn"), random(2, 3, 8, 3)
        tangents = torch.eye(4, 2, dtype=torch.float64)
        together = average_exponents(network, inputs, network.initial_state(3), tangents).exponents
        assert together.shape == (2, 3, 2)
        for variant in range(2):
            alone = network.select([variant])
            expected = average_exponents(alone, inputs[variant], alone.initial_state(3), tangents).exponents
            assert torch.allclose(together[variant], expected[0], atol=1e-12)


class TestAlgorithm:
    @pytest.mark.parametrize("warmup", [0, 4])
    @pytest.mark.parametrize("interval", [3, 7, 100])
    def test_the_interval_does_not_change_well_conditioned_results(self, interval, warmup):
        network, inputs = stack("asrnn"), random(2, 23, 3)
        every_step = exponents(network, inputs, warmup=warmup)
        np.testing.assert_allclose(
            exponents(network, inputs, warmup=warmup, orthonormalize_every=interval), every_step, atol=1e-8
        )

    @pytest.mark.parametrize("interval", [1, 3])
    def test_warmup_agrees_with_a_start_from_the_state_and_tangents_after_it(self, interval):
        network, inputs = stack("gru"), random(2, 17, 3)
        state, tangents = network.initial_state(2), torch.eye(4, dtype=torch.float64).expand(2, 2, 4, 4)
        for x in inputs[:, :5].unbind(1):
            state, tangents = network.push_forward(state, x, tangents)
        q = torch.linalg.qr(tangents).Q
        expected = average_exponents(network, inputs[:, 5:], state, q, orthonormalize_every=interval).exponents
        spectrum = exponents(network, inputs, warmup=5, orthonormalize_every=interval)
        np.testing.assert_allclose(spectrum, expected, atol=1e-8)
        assert np.abs(spectrum - exponents(network, inputs[:, 5:])).max() > 1e-3

    @pytest.mark.parametrize("n_exponents", [1, 2])
    def test_n_exponents_gives_the_leading_ones(self, n_exponents):
        basis = random(3, 3, seed=3)
        matrix = basis @ torch.diag(torch.tensor([0.4, 2.0, 1.1], dtype=torch.float64)) @ torch.linalg.inv(basis)
        leading = exponents(LinearMap(matrix), autonomous_inputs(2, 300), warmup=100, n_exponents=n_exponents)
        np.testing.assert_allclose(leading, np.log([[2.0, 1.1]] * 2)[:, :n_exponents], atol=1e-10)

    def test_the_leading_exponents_of_a_network_are_those_of_its_whole_spectrum(self):
        rnn, inputs = module("lstm", 2), random(2, 400, 3)
        leading = exponents(rnn, inputs, n_exponents=3, warmup=200)
        assert leading.shape == (2, 3)
        np.testing.assert_allclose(leading, exponents(rnn, inputs, warmup=200)[:, :3], atol=2e-3)

    def test_the_first_unit_vectors_can_be_requested(self):
        rnn, inputs = module("lstm", 2), random(2, 60, 3)
        leading = exponents(rnn, inputs, initial_tangents=np.eye(20, 3))
        average = average_exponents(
            from_torch(rnn), inputs, from_torch(rnn).initial_state(2), torch.eye(20, 3, dtype=torch.float64)
        )
        np.testing.assert_allclose(leading, average.exponents[0], atol=1e-12)

    def test_exponents_decrease(self):
        spectrum = exponents(LinearMap(torch.diag(torch.arange(1.0, 6.0))), autonomous_inputs(1, 3))
        assert (np.diff(spectrum) < 0).all()


class TestInterface:
    def test_the_dataset_has_units_and_settings(self, tmp_path):
        inputs = random(2, 9, 3)
        dataset = lyapunov_spectrum(module("gru").float(), inputs, warmup=2, orthonormalize_every=3, jacobian="reduced")
        assert dataset["lyapunov_exponent"].dims == ("sequence", "exponent")
        assert dataset["lyapunov_exponent"].attrs["units"] == "nat/step"
        assert dataset["exponent"].values.tolist() == [1, 2, 3, 4, 5]
        expected = {"dtype": "float32", "jacobian": "reduced", "warmup": 2, "orthonormalize_every": 3}
        assert expected.items() <= dataset.attrs.items() and "lyapunov_pkg_version" in dataset.attrs
        save_store(dataset, tmp_path / "spectrum.zarr.zip", {})

    def test_arrays_and_other_dtypes_are_converted_to_the_networks_dtype(self):
        rnn, inputs = module("rnn"), random(2, 9, 3)
        expected = exponents(rnn, inputs)
        array = inputs.numpy()[:, ::-1].copy()[:, ::-1]
        array.flags.writeable = False
        np.testing.assert_array_equal(exponents(rnn, array), expected)
        assert exponents(rnn, inputs.float()).dtype == np.float64
        assert exponents(rnn, np.ones((2, 9, 3), dtype=int)).dtype == np.float64

    def test_dtype_sets_the_precision_and_does_not_change_the_module(self):
        rnn, inputs = module("rnn").float(), random(2, 9, 3)
        single, double = exponents(rnn, inputs), exponents(rnn, inputs, dtype=torch.float64)
        assert single.dtype == np.float32 and double.dtype == np.float64
        np.testing.assert_allclose(single, double, atol=1e-3)
        assert rnn.weight_hh_l0.dtype == torch.float32

    @pytest.mark.parametrize("shape", [(10,), (2, 10)])
    def test_the_initial_state_is_used_for_every_sequence(self, shape):
        rnn, inputs = module("lstm"), random(2, 9, 3)
        start = random(10, seed=5)
        expected = [exponents(rnn, inputs[[i]], initial_state=start)[0] for i in range(2)]
        np.testing.assert_allclose(exponents(rnn, inputs, initial_state=start.expand(shape)), expected, atol=1e-12)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"inputs": random(2, 9, 4)}, r"inputs: got 4 features per time step, expected the system's 3"),
            ({"inputs": random(9)}, r"inputs: got shape \(9,\), expected \(sequence, time, feature\)"),
            ({"inputs": random(0, 9, 3)}, r"inputs: got shape \(0, 9, 3\)"),
            ({"inputs": math.nan * random(2, 9, 3)}, r"inputs: got NaN"),
            ({"n_exponents": 0}, r"n_exponents: got 0, expected 1 to 10"),
            ({"n_exponents": 11}, r"n_exponents: got 11, expected 1 to 10"),
            ({"n_exponents": 6, "jacobian": "reduced"}, r"n_exponents: got 6, expected 1 to 5"),
            ({"warmup": 9}, r"warmup: got 9, expected a whole number, 0 or more and fewer than the 9 time steps"),
            ({"warmup": -1}, r"warmup: got -1"),
            ({"orthonormalize_every": 0}, r"orthonormalize_every: got 0, expected 1 step or more"),
            ({"jacobian": "cell"}, r"jacobian: got 'cell', expected \"full\" or \"reduced\""),
            ({"initial_state": np.zeros(7)}, r"initial_state: got shape \(7,\), expected h and c of \(1, 2, 5\) and"),
            ({"initial_state": np.full(10, np.inf)}, r"initial_state: got NaN or infinite"),
            ({"dtype": torch.float16}, r"dtype: got torch.float16, expected torch.float32 or torch.float64"),
            ({"system": torch.nn.GRU(3, 5).bfloat16()}, r"dtype: got torch.bfloat16, expected torch.float32"),
        ],
    )
    def test_errors_name_the_argument_what_was_found_and_what_was_expected(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            lyapunov_spectrum(**({"system": module("lstm"), "inputs": random(2, 9, 3)} | arguments))

    def test_nan_weights_are_refused(self):
        rnn = module("gru")
        with torch.no_grad():
            rnn.weight_hh_l0[0, 0] = torch.nan
        with pytest.raises(ValueError, match=r"system: got NaN or infinite weights in \['layer_0.recurrent_weight'\]"):
            lyapunov_spectrum(rnn, random(2, 9, 3))

    def test_a_bidirectional_network_is_refused(self):
        with pytest.raises(ValueError, match="system: got a bidirectional module"):
            lyapunov_spectrum(torch.nn.GRU(3, 5, bidirectional=True), random(2, 9, 3))

    @pytest.mark.parametrize("network", [torch.nn.Linear(3, 3), "lstm", None])
    def test_modules_that_are_no_recurrent_networks_are_refused(self, network):
        with pytest.raises(TypeError, match="system: got"):
            lyapunov_spectrum(network, random(2, 9, 3))

    def test_a_function_needs_an_initial_state(self):
        with pytest.raises(ValueError, match="initial_state: got None"):
            lyapunov_spectrum(lambda state, x: state, random(2, 9, 3))

    def test_only_networks_have_a_reduced_jacobian(self):
        with pytest.raises(ValueError, match='jacobian: got "reduced", expected "full"'):
            lyapunov_spectrum(Henon(), autonomous_inputs(1, 5), jacobian="reduced")
