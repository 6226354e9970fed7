"""What the jobs of the workflow ask of a cluster; it changes no result."""

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
"""The rules whose jobs ask for resources."""


class JobResources(Section):
    """What one job asks for; the time and the memory grow with each attempt."""

    minutes: Count
    """Longest time that the job may take. Unit: minutes."""
    memory: Count
    """Memory. Unit: MB."""
    cpus: Count
    """Cores. Unit: cores."""
    gpus: Natural
    """GPUs. Unit: GPUs."""
    partition: Text | None
    """Partition of the cluster. Null: the cluster's default."""
    account: Text | None
    """Account that is charged. Null: the cluster's default."""


class Resources(Section, extra="allow"):
    """What jobs ask of a cluster (profiles/slurm); it changes no result. A rule's own values replace the default
    ones."""

    __pydantic_extra__: dict[Rule, Annotated[dict[str, Any], PartOf(JobResources)]]  # type: ignore[assignment]
    default: JobResources
    """What the jobs of every rule ask for."""
