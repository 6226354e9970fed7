"""Tables of how well groups of a study's networks do, and of how exponents of the ASRNN go with its loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from lyapunov_pkg.reproduction.figures.presentation import ARCHITECTURE_LABELS, STUDY_LABELS, in_display_order
from lyapunov_pkg.reproduction.populations.coefficients import spearman_coefficient
from lyapunov_pkg.reproduction.populations.selection import networks_that_count
from lyapunov_pkg.reproduction.records import Shards, table

GROUPED_BY = {"target_learning": "init_param", "char_rnn_sizes": "hidden_size", "smnist": "architecture"}
"""By which hyperparameter the networks of each study are grouped."""
GROUP_LABELS = {"init_param": "g", "hidden_size": "hidden size", "architecture": "architecture"}


@table(
    stores={study: Shards("training", study, ("validation_loss", "diverged")) for study in GROUPED_BY},
    chapter=3,
    caption=(
        "How well the networks of each task do, by what their study varies: share of low error, that is a final loss "
        "below the median of the task's networks, and quartiles of the final loss."
    ),
)
def table_extra_groups(**trainings: xr.Dataset) -> pd.DataFrame:
    """Shares of low error and quartiles of the final loss: by g, by hidden size and by architecture."""
    frame = pd.DataFrame([row for study, training in trainings.items() for row in _groups(study, training)])
    frame.attrs["note"] = (
        "Low error is as for the classifiers of chapter 3. Losses are of the networks that did not diverge, in the "
        "units of the task."
    )
    return frame


def _groups(study: str, training: xr.Dataset) -> Iterator[dict[str, Any]]:
    """Yield a row for each group of a study, in the order in which figures show them."""
    hyperparameter = GROUPED_BY[study]
    counts = networks_that_count(training)
    loss = training["validation_loss"].transpose("variant", "epoch").values[:, -1]
    low_error = loss < np.median(loss[counts])
    values = training[hyperparameter].values
    levels = in_display_order(values, ARCHITECTURE_LABELS) if hyperparameter == "architecture" else np.unique(values)
    for level in levels:
        of_group = values == level
        own = of_group & counts
        quartiles = np.quantile(loss[own], [0.25, 0.5, 0.75]) if own.any() else np.full(3, np.nan)
        yield {
            "task": STUDY_LABELS[study],
            "grouped_by": GROUP_LABELS[hyperparameter],
            "value": ARCHITECTURE_LABELS.get(level, f"{level}") if hyperparameter == "architecture" else f"{level:g}",
            "networks": int(own.sum()),
            "n_diverged": int((of_group & ~counts).sum()),
            "low_error_share": 100 * low_error[own].mean() if own.any() else np.nan,
            "lowest_loss": loss[own].min() if own.any() else np.nan,
            "lower_quartile": quartiles[0],
            "median_loss": quartiles[1],
            "upper_quartile": quartiles[2],
        }


@table(
    stores={"spectra": Shards("spectra", "asrnn", ("lyapunov_exponent", "validation_loss", "diverged"))},
    chapter=3,
    caption="Rank correlation of the ASRNN's first Lyapunov exponent with its loss, by step size and diffusion.",
)
def table_extra_asrnn(spectra: xr.Dataset) -> pd.DataFrame:
    """Rank correlation of the first exponent with the loss over the networks of each eps and gamma (figure 3.3)."""
    networks = spectra.isel(variant=np.flatnonzero(networks_that_count(spectra)), epoch=-1)
    eps, gamma = networks["eps"].values, networks["gamma"].values
    first = networks["lyapunov_exponent"].max("exponent").values
    loss = networks["validation_loss"].values
    rows = []
    for pair in sorted(set(zip(eps.tolist(), gamma.tolist(), strict=True))):
        own = (eps == pair[0]) & (gamma == pair[1])
        rows.append(
            {
                "eps": pair[0],
                "gamma": pair[1],
                "networks": int(own.sum()),
                "spearman": float(spearman_coefficient(first[own], loss[own])),
                "median_exponent": float(np.median(first[own])),
                "median_loss": float(np.median(loss[own])),
            }
        )
    frame = pd.DataFrame(rows)
    frame.attrs["note"] = (
        "Above zero: networks of smaller first exponents are better, as the dissertation says. "
        f"{spectra.sizes['variant'] - networks.sizes['variant']} networks that diverged are left out."
    )
    return frame
