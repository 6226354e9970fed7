"""Noisy recurrent network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lyapunov_pkg.cells.base import Linearization, Params, tanh_slope
from lyapunov_pkg.cells.lipschitz import LipschitzRNN


@dataclass(frozen=True)
class NoisyRNN(LipschitzRNN):
    """A Lipschitz RNN with noise in training (dissertation, appendix C of chapter 3, "Noisy RNN"; Lim et al. 2021).

        h_t = h_{t-1} + dt m_t ∘ (alpha A h_{t-1} + tanh(W h_{t-1} + U x_t + b)) + additive_noise ξ_t
        m_t = multiplicative_noise η_t + (1 - multiplicative_noise)

    with ξ_t, η_t ~ N(0, 1) for each hidden unit, and A, W as in the Lipschitz RNN. Without `noise` m_t is 1 and ξ_t is
    0: so the network is evaluated, and of this map the Jacobian is taken. The text writes rows, h A; as columns its
    matrices are the transposes of these, which only relabels the weights that are trained.
    """

    name: ClassVar[str] = "noisy"
    noise_shape: ClassVar[int] = 2

    dt: float = 0.01
    multiplicative_noise: float = 0.02
    """k of the dissertation."""
    additive_noise: float = 0.02
    """Standard deviation of the additive noise of a step."""

    def advance(self, prepared: Params, state: Tensor, drive: Tensor, noise: Tensor | None = None) -> Tensor:
        """See `Cell.advance`; noise (*lead, B, 2, H): the multiplicative draw, the additive draw."""
        if noise is None:
            return super().advance(prepared, state, drive)
        rate, _ = self._rate(prepared, state, drive)
        return self._add_noisy(state, rate, noise)

    def linearize(
        self, prepared: Params, state: Tensor, drive: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Linearization]:
        """See `Cell.linearize`; noise as in `advance`."""
        if noise is None:
            return super().linearize(prepared, state, drive)
        rate, a = self._rate(prepared, state, drive)
        step = self._step_size(noise)
        slopes = {(0, 0): step, (0, 1): step * tanh_slope(a)}
        return self._add_noisy(state, rate, noise), Linearization(slopes, {(0, 0): 1.0})

    def _add_noisy(self, state: Tensor, rate: Tensor, noise: Tensor) -> Tensor:
        """Return h + dt m ∘ rate + additive_noise ξ."""
        return torch.add(
            torch.addcmul(state, self._step_size(noise), rate), noise[..., 1, :], alpha=self.additive_noise
        )

    def _step_size(self, noise: Tensor) -> Tensor:
        """Return dt m of each unit, (*lead, B, H)."""
        return self.dt * (self.multiplicative_noise * noise[..., 0, :] + (1 - self.multiplicative_noise))
