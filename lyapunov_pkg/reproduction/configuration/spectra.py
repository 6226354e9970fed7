"""Settings of spectra of trained networks, and of the study of their estimator."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Len

from lyapunov_pkg.workflow.settings import Count, Different, Many, Natural, Section

Jacobian = Literal["reduced", "full"]
Convention = Literal["tangent", "transposed"]


class CommonSpectraSettings(Section):
    """What all ways of taking spectra have in common."""

    n_sequences: Count
    """Driving sequences, the first ones of the validation samples, or states that free runs start from; spectra are
    averaged over them. Unit: sequences. Dissertation: 128 (smnist), 10 elsewhere."""
    warmup_passes: Natural
    """Passes over each sequence before exponents are measured. Unit: passes. Dissertation: 1 in the released
    program; 500 steps (asrnn)."""
    orthonormalize_every: Count
    """T_ON of algorithm 2: steps between orthonormalizations. Unit: steps. Dissertation: 1."""
    dtype: Literal["float32", "float64"]
    """Precision of states and tangent vectors."""
    epochs: Annotated[Many[Natural], Len(1)] | None
    """Epochs after which spectra are taken; 0 is before training. Null: all that are stored. Unit: epochs."""
    convention: Convention = "tangent"
    """`tangent` multiplies tangent vectors by the Jacobian of each step, `transposed` by its transpose. Dissertation:
    tangent in chapter 2; transposed in eq. 4.11 and in all released programs."""


class SpectraSettings(CommonSpectraSettings):
    """How spectra of networks that are driven by sequences are taken."""

    jacobian: Jacobian
    """`reduced` is the dissertation's reduced Jacobian, `full` that of the whole state. Dissertation: reduced."""
    measured_passes: Count = 1
    """Passes over each sequence in which exponents are measured. Unit: passes. Dissertation: 1; 500 steps (asrnn)."""


class FreeRunSpectraSettings(CommonSpectraSettings):
    """How spectra of networks that run freely are taken, by their whole state."""

    n_steps: Count
    """Steps from each state; a pass of warm-up is as long. Unit: steps. Dissertation: 200."""


class EstimatorSettings(Section):
    """Which estimates of the exponents of one network are compared (figures 2.2, 2.4, 2.5)."""

    n_sequences: Count
    """Driving sequences. Unit: sequences. Dissertation: 10."""
    n_steps: Annotated[int, Ge(2)]
    """Steps that are measured; sequences of the data follow one another. Unit: steps."""
    warmups: Annotated[Many[Natural], Len(1, 4), Different()]
    """Steps of state and tangent vectors before them, one for each estimate. Unit: steps."""
    intervals: Annotated[Many[Count], Len(1, 8), Different()]
    """T_ON, one for each estimate. Unit: steps. Dissertation: not stated."""
    jacobian: Jacobian
    """`reduced` is the dissertation's reduced Jacobian, `full` that of the whole state. Dissertation: reduced."""

    @property
    def total_steps(self) -> int:
        """Steps of a driving sequence: the longest warm-up, and what is measured."""
        return max(self.warmups) + self.n_steps
