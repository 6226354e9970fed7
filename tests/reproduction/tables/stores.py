from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import xarray as xr

from lyapunov_pkg.reproduction.populations.correlations import performance_correlations
from tests.reproduction.populations.synthetic import make_study

SCORES = ("recall", "precision", "f1")


DIFFERENCE = ("f1_difference", "f1_difference_low", "f1_difference_high")


def _partition(n_seeds: int) -> tuple:
    return ("seed", "network"), [["train", "validation", "test", "test"]] * n_seeds


def autoencoder(works: list[bool]) -> xr.Dataset:
    """Return reconstruction errors of 0.2, errors of the median spectrum of 1.0, and R² of 0.9, on every part."""
    parts, of_part = ["train", "validation", "test"], ("seed", "part")
    values = {"reconstruction_error": 0.2, "median_error": 1.0, "r_squared": 0.9}
    return xr.Dataset(
        {name: (of_part, np.full((len(works), len(parts)), value)) for name, value in values.items()}
        | {"autoencoder_works": ("seed", works)},
        coords={"part": parts},
    )


def pretrained(values, classifiers=("aelle", "loss_at_epoch", "lyapunov_max", "my_own"), total_epochs=10) -> xr.Dataset:
    """Return scores values[seed] + 0.1 * classifier + 0.01 * epoch, equal for recall, precision and F1."""
    values = np.array(values)
    steps = 0.1 * np.arange(len(classifiers))[:, None] + 0.01 * np.arange(6)
    scores = values[:, None, None] + steps
    return xr.Dataset(
        {name: (("seed", "classifier", "epoch"), scores) for name in SCORES}
        | {name: (("classifier", "epoch"), 0.1 + scores[0]) for name in DIFFERENCE}
        | {"orthant_f1": (("seed", "n_components", "epoch"), scores[:, :2]), "partition": _partition(len(values))},
        coords={"classifier": list(classifiers), "epoch": np.arange(6), "n_components": [1, 10]},
        attrs={"total_epochs": total_epochs, "n_networks": 40, "n_diverged": 3},
    )


def final() -> xr.Dataset:
    return xr.Dataset(
        {name: (("seed", "classifier"), [[0.5, 0.7], [0.6, 0.9]]) for name in SCORES}
        | {name: ("classifier", [0.0, value]) for name, value in zip(DIFFERENCE, (-0.25, -0.5, 0.25), strict=True)}
        | {
            "partition": _partition(2),
            "share_above_median": (("seed", "share_architecture"), [[10.0, 90.0], [30.0, 70.0]]),
            "share_above_mean": (("seed", "share_architecture"), [[0.0, 100.0], [0.0, 100.0]]),
        },
        coords={"classifier": ["aelle", "lyapunov_mean"], "share_architecture": ["lem", "rnn"]},
        attrs={"n_networks": 40, "n_diverged": 3},
    )


@cache
def correlations(n_diverged=1, **options) -> xr.Dataset:
    """Return the correlations of a study. Tests share the Dataset, and do not change it."""
    study = make_study(13, n_diverged=n_diverged, **options)
    return performance_correlations(
        study, "mean_exponent", 6, near_zero=0.1, exponent_floor=-20.0, n_resamples=100, seed=0, early_epochs=[0, 15]
    )


def prednet() -> xr.Dataset:
    errors = [[0.02, 0.10], [0.04, 0.12]]
    return xr.Dataset(
        {name: (("seed", "predictor"), errors) for name in ("mean_absolute_error", "rms_error")}
        | {"r_squared": (("seed", "predictor"), [[0.9, -0.1], [0.8, -0.3]])},
        coords={"predictor": ["prednet", "training_mean"]},
        attrs={"n_networks": 40, "n_diverged": 3},
    )


def row(frame: pd.DataFrame, **values) -> pd.Series:
    """Return the only row with these values."""
    chosen = frame
    for name, value in values.items():
        chosen = chosen[chosen[name] == value]
    assert len(chosen) == 1
    return chosen.iloc[0]


def pruning():
    """Return results of successive halving for pools of 8 and 16 and two seeds."""
    by_pool = ("seed", "criterion", "pool_size")
    values = np.arange(8.0).reshape(2, 2, 2)
    variables = {name: (by_pool, values) for name in ("best_loss", "better_in_pool", "saved", "saved_in_all")}
    return xr.Dataset(
        variables | {"budget": ("pool_size", [14, 28])},
        coords={"seed": [0, 1], "criterion": ["random", "aelle"], "pool_size": [8, 16]},
        attrs={"n_networks": 60, "n_diverged": 1},
    )
