"""Settings of chapter 4: alignment of Lyapunov vectors with gradients, and flips of pixels."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Le, Len
from pydantic import ValidationInfo, field_validator

from lyapunov_pkg.workflow.settings import Count, Many, Natural, NonNegative, Section, refused


class AlignmentSettings(Section):
    """Alignment of Lyapunov vectors with singular vectors of gradients (figures 4.1, 4.2, 4.C2)."""

    n_initial_states: Count
    """Number of random initial states, each with its own test image. Unit: states. Dissertation: 25."""
    initial_state_std: NonNegative
    """Standard deviation of the units of an initial state, which are normal. Unit: 1. Dissertation: not stated."""
    warmup: Natural
    """Number of first steps for the transient of Q in products Jᵀ Q, for the vectors of the released programs. Unit:
    steps. Dissertation: not stated; 10 in the released programs."""
    n_modes: Count
    """Number of singular vectors from each end of the spectrum. Unit: vectors. Dissertation: 5."""
    n_vectors: Count
    """Number of Lyapunov vectors in each set: the first, the last, and random ones among the others. Unit: vectors.
    Dissertation: 10."""
    epochs: Annotated[Many[Natural], Len(2, 2)]
    """Epochs of training after which the vectors are compared; 0 is before training. Unit: epochs."""


class ParticipationSettings(Section):
    """Participation of units in the gradient (figure 4.B1)."""

    n_initial_states: Count
    """Number of random initial states, each with its own test image. Unit: states. Dissertation: 25."""
    initial_state_std: NonNegative
    """Standard deviation of the units of an initial state, which are normal. Unit: 1. Dissertation: not stated."""
    at_epochs: Annotated[Many[NonNegative], Len(1, 9)]
    """Epochs after which participation is measured; 0 is before training. Unit: epochs."""


class FlipSettings(Section):
    """Flips of pixels in test images (figures 4.3, 4.4, 4.5, 4.D, table 4.1)."""

    n_images: Annotated[int, Ge(2)]
    """Number of test images. Unit: images. Dissertation: 15."""
    n_images_text: Annotated[int, Ge(2)]
    """Number of these images, the first ones, for the test in the text, with the best network only. Unit: images.
    Dissertation: 15."""
    n_draws: Count
    """Number of random choices of pixels for each image. Unit: choices. Dissertation: 50."""
    n_flips: Annotated[Many[Count], Len(1)]
    """Numbers of flipped pixels. Unit: pixels. Dissertation: 1, 5, 10, 20, 30, 50, 75, 100, 200 of 784."""
    n_early: Natural
    """Number of first steps that are excluded when only pixels of later steps are chosen. Unit: steps."""
    warmup: Natural
    """Number of warm-up steps over the first inputs before settled R values are measured. Unit: steps. Dissertation:
    not stated; 10 in the released programs."""
    n_averaged: Annotated[Many[Count], Len(1, 4)]
    """Numbers of R values whose logarithms are averaged. The largest number ranks the flips. Unit: R values.
    Dissertation: 1, 10, 100."""
    n_flips_shown: Count
    """Number of flipped pixels for which outputs are stored. Unit: pixels. Dissertation: 100."""
    n_draws_shown: Annotated[int, Ge(0), Le(4)]
    """Number of random choices for which outputs are stored. Unit: choices."""

    @field_validator("n_draws_shown")
    @classmethod
    def _are_drawn(cls, n_draws_shown: int, info: ValidationInfo) -> int:
        """Check that at least as many choices are drawn as are stored."""
        n_draws = info.data.get("n_draws")
        if n_draws is not None and n_draws_shown > n_draws:
            raise refused(f"at most n_draws = {n_draws}")
        return n_draws_shown
