"""On a GPU, the host checks only once per block of steps whether all orthonormalisations succeeded.

The results have the same bits as with a check at every step. The tests run on the CPU, with the operations of a GPU.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lyapunov_pkg.linalg import orthonormalize_unasked
from lyapunov_pkg.linalg.cholesky import orthonormalize_by_cholesky
from lyapunov_pkg.linalg.orthonormalization import orthonormalize_finite
from lyapunov_pkg.spectra import torch_propagators
from lyapunov_pkg.spectra.torch_propagators import STEPS_UNASKED, StepPropagator

N_STEPS, SIZE, N_SEQUENCES = 3 * STEPS_UNASKED + 5, 6, 4
FEW = 1e-8
ILL_CONDITIONED, SINGULAR, DIVERGED = 1.0, 2.0, 3.0


class Jacobians:
    """A linear map whose inputs say at which steps its Jacobian is ill-conditioned, singular or not finite."""

    def __init__(self) -> None:
        self.matrix = torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def push_forward(self, state: Tensor, x: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
        matrices = self.matrix.repeat(N_SEQUENCES, 1, 1)
        kind = x[:, 0]
        matrices[:, -1] = torch.where((kind == ILL_CONDITIONED)[:, None], FEW * matrices[:, -1], matrices[:, -1])
        matrices[:, 0] = torch.where((kind == ILL_CONDITIONED)[:, None], matrices[:, 1], matrices[:, 0])
        matrices[:, 0, 0] += FEW
        matrices[:, 2] = torch.where((kind == SINGULAR)[:, None], 0.0, matrices[:, 2])
        state = torch.where((kind == DIVERGED)[:, None], torch.inf, state + 1)
        return state, torch.where((kind == DIVERGED)[:, None, None], torch.inf, matrices @ tangents)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Replace `orthonormalize` by its GPU variant, and return a list that grows by one item per call."""
    calls: list[int] = []

    def on_a_gpu(matrices: Tensor, *, to_rounding: bool = True) -> tuple[Tensor, Tensor]:
        calls.append(1)
        return orthonormalize_finite(matrices, orthonormalize_by_cholesky)

    monkeypatch.setattr(torch_propagators, "orthonormalize", on_a_gpu)
    return calls


def propagator(asks_each_time: bool) -> StepPropagator:
    tangents = torch.eye(SIZE, dtype=torch.float64).expand(N_SEQUENCES, -1, -1)
    made = StepPropagator(Jacobians(), torch.zeros(N_SEQUENCES, 1, dtype=torch.float64), tangents)
    made.asks_each_time = asks_each_time
    return made


def assert_same_bits(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    ("kinds", "n_repeated"),
    [
        ({}, 0),
        ({STEPS_UNASKED + 7: ILL_CONDITIONED}, 1),
        ({STEPS_UNASKED + 7: SINGULAR, N_STEPS - 1: ILL_CONDITIONED}, 2),
        ({3: DIVERGED}, 0),
        ({0: SINGULAR, 3: DIVERGED}, 1),
    ],
    ids=["all well", "ill-conditioned", "singular", "diverged", "singular and diverged"],
)
@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("records", [True, False])
def test_results_agree_with_a_check_at_every_step(asked, kinds, n_repeated, every, records):
    x = torch.zeros(N_SEQUENCES, N_STEPS, 1, dtype=torch.float64)
    for step, kind in kinds.items():
        x[1, step] = kind
    ends = [(step + 1) % every == 0 or step == N_STEPS - 1 for step in range(N_STEPS)]
    results, counts = [], []
    for asks_each_time in (True, False):
        made = propagator(asks_each_time)
        asked.clear()
        if records:
            found = made.record(made.path(x), slice(None), ends, keeps_q=True, keeps_r=True)
        else:
            found = made.follow(made.path(x), slice(None), ends)
        counts.append(len(asked))
        results.append([*found, made.state, made.tangents])
    for found, expected in zip(*results, strict=True):
        assert_same_bits(found, expected)
    assert counts[0] == sum(ends)
    if every == 1:
        assert 0 <= counts[1] <= n_repeated * STEPS_UNASKED
        assert (counts[1] > 0) == (n_repeated > 0)


def test_a_part_of_a_path_without_an_orthonormalisation(asked):
    made = propagator(asks_each_time=False)
    path = made.path(torch.zeros(N_SEQUENCES, 4, 1, dtype=torch.float64))
    log_r, sines = made.follow(path, slice(0, 2), [False, False])
    assert log_r.shape == (0, N_SEQUENCES, SIZE)
    assert sines.shape == (0, N_SEQUENCES)
    assert made.record(path, slice(2, 4), [False, False]).log_r.shape == (N_SEQUENCES, 0, SIZE)


def test_good_is_true_if_all_matrices_are_decomposed_correctly():
    matrices = torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    q, log_r, good = orthonormalize_unasked(matrices)
    assert good
    assert (q.shape, log_r.shape, good.shape) == ((2, 3, 5, 4), (2, 3, 4), ())
    matrices[0, 1, :, 3] = matrices[0, 1, :, 2]
    assert not orthonormalize_unasked(matrices)[2]
    matrices[0, 1] = torch.nan  # NaN is the correct result for such a matrix with any method.
    q, log_r, good = orthonormalize_unasked(matrices)
    assert good
    assert q[0, 1].isnan().all()
    assert q[1].isfinite().all()
