"""The resources that the jobs of the workflow request from a cluster. They change no result."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from lyapunov_pkg.workflow.settings import Count, Natural, PartOf, Section, Text

Rule = Literal[
    "lorenz",
    "layered_jacobian",
    "stability_regimes",
    "estimator",
    "evolution",
    "correlations",
    "optimizers",
    "char_rnn_dataset",
    "mocap_dataset",
    "sequences_dataset",
    "smnist_dataset",
    "smnist_pixels_dataset",
    "train",
    "spectra",
    "train_target_learning",
    "spectra_target_learning",
    "aelle",
    "pruning",
    "prednet",
    "eigenvalues",
    "eigenvalue_prednets",
    "alignment",
    "participation",
    "flips",
    "draw_figure",
    "write_table",
]
"""The rules whose jobs request resources."""


class JobResources(Section):
    """The resources that one job requests. Time and memory increase with each attempt."""

    minutes: Count
    """Maximum run time of the job. Unit: minutes."""
    memory: Count
    """Memory. Unit: MB."""
    cpus: Count
    """Number of cores. Unit: cores."""
    gpus: Natural
    """Number of GPUs. Unit: GPUs."""
    partition: Text | None
    """Partition of the cluster. Null: the cluster's default."""
    account: Text | None
    """Account that is charged. Null: the cluster's default."""


class Resources(Section, extra="allow"):
    """The resources that jobs request from a cluster (profiles/slurm). They change no result. A rule's own values
    replace the default values."""

    __pydantic_extra__: dict[Rule, Annotated[dict[str, Any], PartOf(JobResources)]]  # type: ignore[assignment]
    default: JobResources
    """The resources for the jobs of every rule."""
