"""Threads that share a large matrix give the same bits as one thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from lyapunov_pkg.linalg import sharing, tangent_flow
from lyapunov_pkg.linalg.plan import Block
from lyapunov_pkg.linalg.sharing import Sharing
from lyapunov_pkg.linalg.tangent_flow import Advance, TangentFlow
from lyapunov_pkg.linalg.team import give_up, make_team, meet

DTYPES = [torch.float32, torch.float64]
ENDS = [True, False, True, True, True]


@pytest.fixture
def always_teams(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let teams work on every matrix that can be shared, and return the sizes of the teams at work."""
    sizes: list[int] = []

    def pieces(self: Sharing, n_steps: int) -> Iterator[tuple[int, int]]:
        sizes.append(self.team_size)
        yield from [(n_steps // 2, self.team_size), (n_steps, self.team_size)]

    monkeypatch.setattr(Sharing, "pieces", pieces)
    monkeypatch.setattr(tangent_flow, "LEAST_SHARED", 0)
    monkeypatch.setattr(tangent_flow, "PANELS_OF_THREAD", 1)
    return sizes


def flow(n_trajectories: int, n: int, k: int, dtype: torch.dtype) -> tuple[TangentFlow, torch.Tensor]:
    """Return tangent vectors of a network with two blocks of n units, and slopes of its steps.

    At the third step of the first trajectory, rows differ by so much that its matrix is recomputed in float64.
    """
    generator = torch.Generator().manual_seed(n + k)
    weights = torch.randn(3, 1, n, n, generator=generator, dtype=dtype) / n**0.5
    blocks = [
        Block(0, 0, False, (((0,), weights[0]), ((1,), weights[1]))),
        Block(0, 1, False, (((2,), None),)),
        Block(1, 0, True, (((1, 2), weights[2]), ((0,), None))),
        Block(1, 1, False, (((2,), None),)),
    ]
    tangents = torch.randn(1, n_trajectories, 2 * n, k, generator=generator, dtype=dtype)
    slopes = 0.2 + torch.rand(1, len(ENDS), n_trajectories, 3, n, generator=generator, dtype=dtype)
    slopes[0, 2, 0, :, 8:] *= 1e-12
    return TangentFlow(blocks, 2, tangents), slopes


def results(moved: Advance, tangent_flow: TangentFlow) -> list[torch.Tensor]:
    kept = [value for value in (moved.q, moved.r) if value is not None]
    return [moved.log_r, moved.sines, tangent_flow.tangents(), *kept]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("n_trajectories", "n", "k"), [(1, 100, 200), (1, 101, 202), (1, 131, 77), (2, 105, 209), (1, 150, 20)]
)
@pytest.mark.parametrize("records", [False, True])
def test_the_number_of_threads_changes_no_bit(always_teams, dtype, n_trajectories, n, k, records):
    found = []
    for n_threads in (1, 2, 3, 6):
        torch.set_num_threads(n_threads)
        moving, slopes = flow(n_trajectories, n, k, dtype)
        first = moving.advance(slopes, ENDS, to_rounding=records, keeps_q=records, keeps_r=records)
        moved = moving.advance(slopes[:, :3], ENDS[:3], to_rounding=records, keeps_q=records, keeps_r=records)
        found.append([*results(first, moving), *results(moved, moving)])
    assert all(torch.equal(x, y) for other in found[1:] for x, y in zip(found[0], other, strict=True))
    assert found[0][1].min() < 1e-8  # Such sines are below the limit for one pass in float32 and in float64.
    assert max(always_teams) > 1


@pytest.mark.parametrize("n_trajectories", [1, 2, 3])
def test_the_team_has_as_many_threads_as_pytorch(n_trajectories):
    moving, _ = flow(n_trajectories, 200, 400, torch.float32)
    for n_threads in (1, 2, 4, 6):
        torch.set_num_threads(n_threads)
        assert n_trajectories * moving._team_size() <= max(n_threads, n_trajectories)
    assert moving._team_size() == 6 // n_trajectories


def test_small_and_narrow_matrices_are_not_shared():
    torch.set_num_threads(4)
    for n, k in ((20, 40), (300, 10)):
        assert flow(1, n, k, torch.float32)[0]._team_size() == 1


def test_a_failing_thread_ends_the_other_threads(always_teams, monkeypatch):
    torch.set_num_threads(3)
    moving, slopes = flow(1, 100, 200, torch.float32)
    run = tangent_flow._Worker.run

    def fail(self, place, frames, piece):
        if self.workspace.team.rank == 1:
            raise MemoryError("no memory")
        run(self, place, frames, piece)

    monkeypatch.setattr(tangent_flow._Worker, "run", fail)
    n_before = threading.active_count()
    with pytest.raises(MemoryError, match="no memory"):
        moving.advance(slopes, ENDS)
    assert threading.active_count() == n_before


def test_waiting_ends_if_a_thread_fails():
    first, second = make_team(2)
    give_up(second)
    assert not meet(first)


def test_a_team_is_used_only_while_it_is_faster(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(sharing.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(sharing, "TRIAL", 0.005)
    monkeypatch.setattr(sharing, "PIECE", 0.05)
    shared, costs, chosen = Sharing(2), {1: 1e-3, 2: 6e-4}, []

    def take(n_steps: int) -> None:
        begin = 0
        for end, size in shared.pieces(n_steps):
            chosen.append((size, end - begin))
            now[0] += costs[size] * (end - begin)
            begin = end
        assert begin == n_steps

    take(60)
    assert chosen == [(1, 1), (1, 1), (2, 5), (2, 50), (2, 3)]
    costs[2], chosen[:] = 5e-3, []
    take(1100)
    sizes = [size for size, _ in chosen]
    assert sizes == [2, *[1] * 16, 2, *[1] * len(sizes[18:])]
