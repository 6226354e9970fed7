"""Settings of studies. A study is a population of networks on one task with different hyperparameters and seeds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, Len
from pydantic import Field

from lyapunov_pkg.reproduction.configuration.gradients import AlignmentSettings, FlipSettings, ParticipationSettings
from lyapunov_pkg.reproduction.configuration.prediction import Aelle
from lyapunov_pkg.reproduction.configuration.spectra import FreeRunSpectraSettings, SpectraSettings
from lyapunov_pkg.reproduction.configuration.training import ForceSettings, Optimizers, TrainingSettings
from lyapunov_pkg.workflow.settings import Count, FileName, PartOf, Section

Hyperparameters = dict[str, Any]
"""Values, grids and distributions by name. `lyapunov_pkg.reproduction.training.design` checks them."""
Design = Annotated[dict[FileName, Hyperparameters], Len(1)]


class AnyStudy(Section):
    """Settings that all studies have."""

    variants: Annotated[int, Ge(1), Le(1_000_000)]
    """Number of random draws for each entry of the design and each combination of its grids. Unit: networks.
    Dissertation: 200 (smnist), 60 (char_rnn_regularisation), 30 (mocap), 300 (char_rnn_sizes), 120 of each g
    (target_learning), 1 (row_rnn, pixel_rnn)."""
    shard_size: Count
    """Number of networks that one job trains. It changes no result. Unit: networks."""
    hyperparameters: Hyperparameters = Field(default={})
    """Hyperparameters of the whole study. Dissertation: hidden size 64 (smnist), 512 (char_rnn_initialisation,
    char_rnn_regularisation, target_learning, pixel_rnn), 256 (mocap), 128 (asrnn, row_rnn)."""
    design: Design
    """Groups of networks by name, with their own hyperparameters. The default of `architecture` is the name of the
    group."""
    aelle: Annotated[dict[str, Any], PartOf(Aelle)] = Field(default={})
    """Settings of AeLLE for this study that differ from the section `aelle`."""


class Study(AnyStudy):
    """A population of networks trained by back-propagation through time."""

    task: Literal["smnist", "smnist_pixels", "char_rnn", "mocap", "sequences"]
    """Task of the networks."""
    training: TrainingSettings
    """Settings of the training."""
    spectra: SpectraSettings | None = None
    """Settings of the spectra. If left out, no spectra are computed."""
    alignment: AlignmentSettings | None = None
    """Settings of the alignment of Lyapunov vectors; only for row_rnn."""
    participation: ParticipationSettings | None = None
    """Settings of the participation of units; only for row_rnn."""
    flips: FlipSettings | None = None
    """Settings of the flips of pixels; only for pixel_rnn."""
    optimizers: Optimizers | None = None
    """Settings of the compared optimizers; only for optimizers."""


class StudyWithSpectra(Study):
    """A population of networks with spectra."""

    spectra: SpectraSettings
    """How their spectra are taken."""


class OptimizersStudy(StudyWithSpectra):
    """Networks trained by several optimizers from the same initial weights; not in the dissertation."""

    optimizers: Optimizers
    """The compared optimizers. `training.optimizer` has no effect."""


class RowRnnStudy(Study):
    """Vanilla networks of one size on rows of an image (figures 4.1, 4.2, 4.B1, 4.C2)."""

    task: Literal["smnist", "smnist_pixels", "sequences"]
    """Task of the networks. Each sequence must have a class."""
    alignment: AlignmentSettings
    """Settings of the alignment of Lyapunov vectors."""
    participation: ParticipationSettings
    """Settings of the participation of units."""


class PixelRnnStudy(Study):
    """Vanilla networks of one size on permuted pixels (figures 4.3, 4.4, 4.5, 4.D, table 4.1)."""

    task: Literal["smnist_pixels"]
    """Task of the networks, with one pixel per step."""
    flips: FlipSettings
    """Settings of the flips of pixels."""


class TargetLearningStudy(AnyStudy):
    """Rank-1 networks that learn by FORCE to generate a signal (figures 3.7, 3.b1, table 3.b2)."""

    task: Literal["target_learning"]
    """Task of the networks: a sum of four sines, different for each network."""
    training: ForceSettings
    """Settings of the training."""
    spectra: FreeRunSpectraSettings
    """Settings of the spectra of their free runs."""


class Studies(Section, extra="allow"):
    """Studies by name. You can add studies. A study that is null or missing is left out, with the figures and tables
    that need it (docs/own-data.md)."""

    __pydantic_extra__: dict[FileName, Study | None]
    smnist: StudyWithSpectra | None = None
    """Architectures on sequential MNIST (chapter 3)."""
    char_rnn_initialisation: StudyWithSpectra | None = None
    """LSTM on text with different initial weights (figures 2.2, 2.4, 2.5, 2.6)."""
    char_rnn_regularisation: StudyWithSpectra | None = None
    """LSTM on text with different learning rates and dropout (figures 2.7, 2.8, 2.b1, 2.b2, table 2.a1)."""
    mocap: StudyWithSpectra | None = None
    """LSTM on motion with different initial weights (figures 2.7, 2.b1, table 2.a2)."""
    char_rnn_sizes: StudyWithSpectra | None = None
    """LSTM on text with different hidden sizes and initial weights (figures 3.1 and 3.8)."""
    optimizers: OptimizersStudy | None = None
    """Networks on sequential MNIST, trained by several optimizers (fig_extra_optimizers)."""
    asrnn: StudyWithSpectra | None = None
    """ASRNN as in Chang et al. 2019: eigenvalues against spectra (figures 3.2, 3.3 and 3.4)."""
    target_learning: TargetLearningStudy | None = None
    """Rank-1 networks that learn by FORCE to generate a signal (figures 3.7, 3.b1, table 3.b2)."""
    row_rnn: RowRnnStudy | None = None
    """Vanilla networks on rows of an image (figures 4.1, 4.2, 4.B1, 4.C2)."""
    pixel_rnn: PixelRnnStudy | None = None
    """Vanilla networks on permuted pixels, one pixel per step (figures 4.3, 4.4, 4.5, 4.D, table 4.1)."""
