"""Settings of the spectra of trained networks, and of the study of the estimator."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Len

from lyapunov_pkg.workflow.settings import Count, Different, Many, Natural, Section

Jacobian = Literal["reduced", "full"]
Convention = Literal["tangent", "transposed"]


class CommonSpectraSettings(Section):
    """Settings that all spectra have."""

    n_sequences: Count
    """Number of driving sequences (the first validation samples), or of initial states of free runs. Spectra are
    averaged over them. Unit: sequences. Dissertation: 128 (smnist), 10 elsewhere."""
    warmup_passes: Natural
    """Number of passes over each sequence before exponents are measured. Unit: passes. Dissertation: 1 in the released
    program; 500 steps (asrnn)."""
    orthonormalize_every: Count
    """T_ON of algorithm 2: steps between orthonormalizations. Unit: steps. Dissertation: 1."""
    dtype: Literal["float32", "float64"]
    """Precision of states and tangent vectors."""
    epochs: Annotated[Many[Natural], Len(1)] | None
    """Epochs after which spectra are computed; 0 is before training. Null: all stored epochs. Unit: epochs."""
    convention: Convention = "tangent"
    """`tangent` multiplies tangent vectors by the Jacobian of each step, `transposed` by its transpose. Dissertation:
    tangent in chapter 2; transposed in eq. 4.11 and in all released programs."""


class SpectraSettings(CommonSpectraSettings):
    """Settings of the spectra of networks that are driven by sequences."""

    jacobian: Jacobian
    """`reduced` is the dissertation's reduced Jacobian, `full` that of the whole state. Dissertation: reduced."""
    measured_passes: Count = 1
    """Number of measured passes over each sequence. Unit: passes. Dissertation: 1; 500 steps (asrnn)."""


class FreeRunSpectraSettings(CommonSpectraSettings):
    """Settings of the spectra of free-running networks, by the Jacobian of the whole state."""

    n_steps: Count
    """Number of steps from each initial state. A warm-up pass has the same length. Unit: steps. Dissertation: 200."""


class EstimatorSettings(Section):
    """Comparison of estimates of the exponents of one network (figures 2.2, 2.4, 2.5)."""

    n_sequences: Count
    """Number of driving sequences. Unit: sequences. Dissertation: 10."""
    n_steps: Annotated[int, Ge(2)]
    """Number of measured steps. A driving sequence joins several sequences of the data. Unit: steps."""
    warmups: Annotated[Many[Natural], Len(1, 4), Different()]
    """Numbers of warm-up steps of the state and of the tangent vectors, one for each estimate. Unit: steps."""
    intervals: Annotated[Many[Count], Len(1, 8), Different()]
    """Values of T_ON, one for each estimate. Unit: steps. Dissertation: not stated."""
    jacobian: Jacobian
    """`reduced` is the dissertation's reduced Jacobian, `full` that of the whole state. Dissertation: reduced."""

    @property
    def total_steps(self) -> int:
        """Return the steps of a driving sequence: the longest warm-up plus the measured steps."""
        return max(self.warmups) + self.n_steps
