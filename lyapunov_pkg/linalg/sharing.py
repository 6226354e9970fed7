"""Whether the threads of a team are faster than one thread: asked of the clock, since it changes no result.

Threads wait for one another at each panel of a matrix. On a core that other programs use as well this can take much
longer than the work itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

STEPS_ALONE = 2
"""Steps that one thread takes first, of which the last is timed. The first may compile."""
TRIAL, PIECE = 0.04, 0.2
"""Seconds that a trial of the team, and each later piece, would take with one thread. A piece starts threads and
allocates their memory, which takes milliseconds."""
PIECES_UNTIL_NEXT_TRIAL = 20


class Sharing:
    """Cuts steps into pieces, and chooses for each whether one thread or a team works on a matrix."""

    def __init__(self, team_size: int) -> None:
        self.team_size = team_size
        self._n_alone = self._n_pieces = 0
        self._seconds = {1: 0.0, team_size: 0.0}  # a step takes

    def pieces(self, n_steps: int) -> Iterator[tuple[int, int]]:
        """Yield where each piece ends, and how many threads work on a matrix.

        A piece is timed until the next is asked for.

        Args:
            n_steps: how many steps there are; the last piece ends there.
        """
        end = 0
        while end < n_steps:
            size, length = self._next_piece(n_steps - end)
            start = time.perf_counter()
            yield end + length, size
            self._seconds[size] = (time.perf_counter() - start) / length
            end += length

    def _next_piece(self, n_left: int) -> tuple[int, int]:
        """Return how many threads work on a matrix in the next piece, and its steps."""
        if self.team_size == 1:
            return 1, n_left
        if self._n_alone < STEPS_ALONE:
            self._n_alone += 1
            return 1, 1
        is_trial = self._n_pieces % PIECES_UNTIL_NEXT_TRIAL == 0
        self._n_pieces += 1
        size = self.team_size if is_trial else min(self._seconds, key=self._seconds.__getitem__)
        steps = (TRIAL if is_trial else PIECE) / max(self._seconds[1], 1e-9)
        return size, max(1, min(n_left, int(steps)))
