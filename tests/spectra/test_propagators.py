"""The compiled kernels propagate tangent vectors like PyTorch, for all networks, sizes and numbers of networks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from lyapunov_pkg.cells import CELLS
from lyapunov_pkg.networks import Network
from lyapunov_pkg.spectra import average_exponents
from lyapunov_pkg.spectra.kernel_propagators import KernelPropagator
from lyapunov_pkg.spectra.propagators import Propagator
from lyapunov_pkg.spectra.torch_propagators import StepPropagator

ENDS = [False, True, True, False, False, True]


def network(architecture: str, size: int = 5, n_layers: int = 1, p: float = 0.4, n_variants: int = 2) -> Network:
    generators = [torch.Generator().manual_seed(seed) for seed in range(n_variants)]
    stacked = Network.initialise(architecture, 3, size, 0, [p] * n_variants, generators, n_layers=n_layers)
    return stacked.to(dtype=torch.float64)


def inputs(n_sequences: int, n_steps: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n_sequences, n_steps, 3, generator=generator, dtype=torch.float64)


def propagators(stacked: Network, n_sequences: int, rows: int, k: int) -> tuple[StepPropagator, KernelPropagator]:
    tangents = torch.eye(rows, k, dtype=torch.float64).expand(stacked.n_variants, n_sequences, -1, -1)
    start = stacked.initial_state(n_sequences)
    return StepPropagator(stacked, start, tangents), KernelPropagator(stacked, start, tangents)


def propagate(propagator: Propagator, x: Tensor) -> tuple[Tensor, Tensor]:
    return propagator.follow(propagator.path(x), slice(None), ENDS[: x.shape[-2]])


def assert_they_agree(steps: StepPropagator, kernels: KernelPropagator, x: Tensor) -> None:
    (log_r, sines), (expected_log_r, expected_sines) = propagate(kernels, x), propagate(steps, x)
    torch.testing.assert_close(log_r, expected_log_r, atol=1e-8, rtol=1e-8)
    torch.testing.assert_close(sines, expected_sines, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(kernels.flow.tangents(), steps.tangents, atol=1e-7, rtol=0)
    torch.testing.assert_close(kernels.state, steps.state)


@pytest.mark.parametrize("architecture", CELLS)
@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("reduced", [True, False], ids=["hidden", "full"])
@pytest.mark.parametrize("n_sequences", [3, 19], ids=["one by one", "in groups"])
def test_every_cell(architecture, n_layers, reduced, n_sequences):
    if architecture == "rank_one" and not reduced:
        pytest.skip("half of its full state is a function of the other half: no angles there to compare")
    stacked = network(architecture, n_layers=n_layers)
    rows = stacked.reduced_size if reduced else stacked.state_size
    assert_they_agree(*propagators(stacked, n_sequences, rows, min(rows, 7)), inputs(n_sequences))


@pytest.mark.parametrize(("size", "k"), [(1, 1), (16, 16), (33, 10), (64, 64), (200, 200), (230, 3)])
@pytest.mark.parametrize("n_sequences", [1, 9])
def test_every_size(size, k, n_sequences):
    stacked = network("lstm", size, p=0.1, n_variants=1)
    assert_they_agree(*propagators(stacked, n_sequences, stacked.reduced_size, k), inputs(n_sequences))


def test_separate_inputs_per_variant_and_threads_do_not_change_results():
    stacked = network("gru")
    x = torch.stack([inputs(19), 2 * inputs(19)])
    _, kernels = propagators(stacked, 19, 5, 5)
    expected, _ = propagate(kernels, x)
    torch.set_num_threads(3)
    steps, threaded = propagators(stacked, 19, 5, 5)
    torch.testing.assert_close(propagate(threaded, x)[0], expected, atol=1e-10, rtol=0)
    torch.testing.assert_close(propagate(steps, x)[0], expected, atol=1e-8, rtol=0)


def test_the_number_of_large_matrices_in_a_group_changes_no_bit():
    stacked, found = network("gru", 200, p=0.1), {}
    for n_threads in (1, 3, 10):
        torch.set_num_threads(n_threads)
        _, kernels = propagators(stacked, 5, 200, 10)
        found[kernels.flow.together] = (*propagate(kernels, inputs(5)), kernels.flow.tangents())
    assert list(found) == [5, 4, 1]
    first, *others = found.values()
    for other in others:
        assert all(torch.equal(x, y) for x, y in zip(first, other, strict=True))


def test_steps_after_restoring_a_snapshot_are_the_same():
    for propagator in propagators(network("lem"), 19, 10, 4):
        path = propagator.path(inputs(19, 9))
        propagator.follow(path, slice(0, 4), ENDS[:4])
        saved = propagator.snapshot()
        first, _ = propagator.follow(path, slice(4, 9), ENDS[:5])
        propagator.restore(saved)
        assert torch.equal(propagator.follow(path, slice(4, 9), ENDS[:5])[0], first)


def test_a_path_followed_in_parts_gives_the_same_results():
    (_, pieces), (_, whole) = (propagators(network("lstm"), 19, 10, 10) for _ in range(2))
    path = pieces.path(inputs(19, 6))
    found = torch.cat([pieces.follow(path, slice(at, at + 2), ENDS[at : at + 2])[0] for at in (0, 2, 4)])
    assert torch.equal(found, propagate(whole, inputs(19, 6))[0])


@pytest.mark.parametrize("n_sequences", [3, 19], ids=["one by one", "in groups"])
def test_singular_jacobians_and_non_finite_states_affect_only_their_trajectory(n_sequences):
    """A ReLU network with inactive units loses directions, and one trajectory starts at infinity."""
    weights = torch.eye(4, dtype=torch.float64)[None]
    params = {"layer_0.input_weight": weights[:, :, :3], "layer_0.recurrent_weight": weights}
    stacked = Network.from_params("rnn", params, nonlinearity="relu")
    x = inputs(n_sequences)
    start = torch.ones(1, n_sequences, 4, dtype=torch.float64)
    start[0, 1] = -torch.inf
    x[2, :, 0] = -10.0
    tangents = torch.eye(4, dtype=torch.float64).expand(1, n_sequences, -1, -1)
    exponents = average_exponents(stacked, x, start, tangents).exponents[0]
    assert exponents[1].isnan().all()
    assert torch.isneginf(exponents[2, -1]) and (exponents[2, 0] == 0)
    others = [i for i in range(n_sequences) if i != 1]
    alone = average_exponents(stacked, x[others], start[:, others], tangents[:, others]).exponents[0]
    torch.testing.assert_close(exponents[others], alone, atol=1e-12, rtol=0)


def lapack_exponents(stacked: Network, x: Tensor, rows: int) -> Tensor:
    """Return exponents by algorithm 2 with LAPACK's QR in the precision of the network."""
    state, q = stacked.initial_state(len(x)), torch.eye(rows, dtype=x.dtype).expand(1, len(x), -1, -1)
    total = 0.0
    for step in x.unbind(1):
        state, tangents = stacked.push_forward(state, step, q)
        q, r = torch.linalg.qr(tangents)
        total = total + r.diagonal(dim1=-2, dim2=-1).abs().log().double()
    return (total / x.shape[1]).sort(descending=True).values


@pytest.mark.parametrize("reduced", [True, False], ids=["hidden", "full"])
@pytest.mark.parametrize("p", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("architecture", ["rnn", "lstm", "gru", "lem", "cornn"])
def test_exponents_in_float32_are_as_accurate_as_with_lapack(architecture, p, reduced):
    """One pass of Gram-Schmidt in float32 suffices for averages: in J ... J Q = Q R ... R, the errors of Q cancel."""
    double = network(architecture, 32, p=p, n_variants=1)
    rows = double.reduced_size if reduced else double.state_size
    # Few steps suffice: trajectories of chaotic networks in float32 soon differ because of rounding in the states.
    x = inputs(16, 10)
    expected = lapack_exponents(double, x, rows)
    single = double.to(dtype=torch.float32)
    tangents = torch.eye(rows).expand(1, 16, -1, -1)
    found = average_exponents(single, x.float(), single.initial_state(16), tangents).exponents
    error, lapacks = (found - expected).abs(), (lapack_exponents(single, x.float(), rows) - expected).abs()
    # Both methods round every product, so the test compares quantiles of the errors over sequences and exponents.
    for part in (slice(None), slice(rows // 2)):
        for share in (0.5, 0.9, 0.99):
            assert np.quantile(error[..., part], share) < 2 * np.quantile(lapacks[..., part], share) + 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("architecture", "p", "narrow"),
    [("asrnn", 2.0, True), ("cornn", 1.0, True), ("noisy", 1.0, True), ("lstm", 0.3, False), ("rnn", 1.0, False)],
)
def test_auto_chooses_long_intervals_for_narrow_spectra_within_its_tolerance(architecture, p, narrow, dtype):
    double = network(architecture, 16, p=p, n_variants=1)
    x = inputs(16, 90)
    arguments = double.initial_state(16), torch.eye(16, dtype=torch.float64)
    expected = average_exponents(double, x, *arguments, warmup=20)
    single = double.to(dtype=dtype)
    arguments = [argument.to(dtype) for argument in arguments]
    found, every_step = (
        average_exponents(single, x.to(dtype), *arguments, warmup=20, orthonormalize_every=every)
        for every in ("auto", 1)
    )
    tolerance = 1e-4 + (every_step.exponents - expected.exponents).abs().max()
    assert (found.exponents - expected.exponents).abs().max() < tolerance
    if narrow:
        assert found.longest_interval >= 16 and found.n_orthonormalizations < 20
    elif dtype == torch.float32:
        assert found.longest_interval == 1 and found.n_orthonormalizations == 90


def test_auto_repeats_an_interval_that_was_too_long():
    """The angles decrease slowly at first and then fast, because the input switches to other weights."""
    stacked = network("asrnn", 8, p=4.0, n_variants=1)
    wide = network("rnn", 8, p=1.0, n_variants=1)

    class Switched:
        def push_forward(self, state: Tensor, x: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
            return (stacked if x[0, 0] < 0 else wide).push_forward(state, x, tangents)

    x = inputs(2, 60)
    x[:, :40, 0], x[:, 40:, 0] = -1.0, 1.0
    arguments = stacked.initial_state(2), torch.eye(8, dtype=torch.float64)
    every_step, auto = (
        average_exponents(Switched(), x, *arguments, orthonormalize_every=every) for every in (1, "auto")
    )
    assert auto.longest_interval >= 16
    assert (auto.exponents - every_step.exponents).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("dtype", "shortest", "longest"),
    [
        # Beyond 9 steps, the error of an exponent, eps over the sine, would exceed 1e-4.
        (torch.float32, 4, 9),
        # Beyond 23 steps, the sine is within a factor of ten of the limit for one pass of Gram-Schmidt.
        (torch.float64, 16, 23),
    ],
)
def test_steadily_decreasing_angles_give_long_intervals_without_repetition(dtype, shortest, longest):
    """Powers of [[2, 1], [0, 1]] have columns (2^n, 0) and (2^n - 1, 1), and the sine of their angle is about 2^-n."""

    class Counted:
        n_steps = 0

        def push_forward(self, state: Tensor, x: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
            self.n_steps += 1
            return state, torch.tensor([[2.0, 1.0], [0.0, 1.0]], dtype=dtype) @ tangents

    system, n_steps = Counted(), 200
    found = average_exponents(
        system,
        torch.zeros(1, n_steps, 0, dtype=dtype),
        torch.zeros(1, 2, dtype=dtype),
        torch.eye(2, dtype=dtype),
        orthonormalize_every="auto",
    )
    assert system.n_steps == n_steps
    assert shortest < found.longest_interval <= longest
    np.testing.assert_allclose(found.exponents[0], [math.log(2), 0], atol=1e-4)
