"""Tables of the performance of groups of a study's networks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from lyapunov_pkg.reproduction.figures.presentation import ARCHITECTURE_LABELS, in_display_order
from lyapunov_pkg.reproduction.populations.selection import networks_that_count
from lyapunov_pkg.reproduction.records import Shards, table

QUARTILES = ("lowest_loss", "lower_quartile", "median_loss", "upper_quartile")
VARIABLES = ("validation_loss", "diverged")
NOTE = (
    "Low error, as for the classifiers of chapter 3, is a final loss below the median of all networks that did not "
    "diverge. Losses are final losses, in the unit of the task."
)


@table(
    stores={"training": Shards("training", "smnist", VARIABLES)},
    chapter=3,
    caption="SMNIST: performance of the networks of each architecture.",
)
def table_extra_architectures(training: xr.Dataset) -> pd.DataFrame:
    """Return the share of low error and quartiles of the final loss of the networks of each architecture."""
    return _groups(training, "architecture", in_display_order(training["architecture"].values, ARCHITECTURE_LABELS))


@table(
    stores={"training": Shards("training", "char_rnn_sizes", VARIABLES)},
    chapter=3,
    caption="CharRNN: performance of the networks of each size.",
)
def table_extra_sizes(training: xr.Dataset) -> pd.DataFrame:
    """Return the share of low error and quartiles of the final loss of the networks of each hidden size."""
    return _groups(training, "hidden_size", np.unique(training["hidden_size"]))


@table(
    stores={"training": Shards("training", "target_learning", VARIABLES)},
    chapter=3,
    caption="Target learning: performance of the networks of each gain g.",
)
def table_extra_gains(training: xr.Dataset) -> pd.DataFrame:
    """Return the share of low error and quartiles of the final error of the networks of each g."""
    return _groups(training, "init_param", np.unique(training["init_param"])).rename(columns={"init_param": "g"})


def _groups(training: xr.Dataset, hyperparameter: str, levels: Iterable[Any]) -> pd.DataFrame:
    """Return a row for the networks of each level of a hyperparameter."""
    counts = networks_that_count(training)
    loss = training["validation_loss"].transpose("variant", "epoch").values[:, -1]
    low_error = loss < np.median(loss[counts])
    rows = []
    for level in levels:
        of_group = training[hyperparameter].values == level
        own = of_group & counts
        row = {hyperparameter: ARCHITECTURE_LABELS.get(level, level), "networks": int(own.sum())}
        row["n_diverged"] = int((of_group & ~counts).sum())
        if own.any():
            row["low_error_share"] = 100 * low_error[own].mean()
            row |= dict(zip(QUARTILES, np.quantile(loss[own], [0, 0.25, 0.5, 0.75]), strict=True))
        rows.append(row)
    frame = pd.DataFrame(rows)
    frame.attrs["note"] = NOTE
    return frame
