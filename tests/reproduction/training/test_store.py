from __future__ import annotations

import numpy as np

from lyapunov_pkg.labels import EPOCH, Label
from lyapunov_pkg.reproduction.training.store import training_store
from lyapunov_pkg.reproduction.training.variants import Variant

LABELS = {name: Label("1", name) for name in ("train_loss", "validation_loss", "layer_0.weight")} | {"epoch": EPOCH}


def store(validation_loss: list[list[float]], weight: float = 1.0):
    """Return a store of three variants after the epochs 0, 5 and 9; `weight` is one weight of the last variant."""
    variants = [Variant(index, "rnn", 2, 0.1, 0.01, seed=index) for index in range(3)]
    weights = np.ones((3, 3, 2))
    weights[2, 1, 1] = weight
    variables = {
        "train_loss": (("variant", "epoch"), np.full((3, 3), np.nan)),
        "validation_loss": (("variant", "epoch"), np.array(validation_loss)),
        "layer_0.weight": (("variant", "epoch", "unit"), weights),
    }
    return training_store(variants, [0, 5, 9], variables, LABELS)


def test_the_best_epoch_is_the_one_with_the_lowest_loss_ignoring_nan():
    found = store([[3.0, 1.0, 2.0], [np.nan, 4.0, 3.0], [1.0, 1.0, 2.0]])
    assert found["best_epoch"].values.tolist() == [5, 9, 0]
    assert store([[np.nan] * 3, [np.inf, np.nan, 1e9], [1.0, 1.0, 0.5]])["best_epoch"].values.tolist() == [0, 9, 9]


def test_non_finite_values_except_training_losses_mark_divergence():
    fine = [[3.0, 1.0, 2.0]] * 3
    assert store(fine)["diverged"].values.tolist() == [False] * 3
    assert store([[3.0, np.inf, 2.0], *fine[1:]])["diverged"].values.tolist() == [True, False, False]
    assert store(fine, weight=np.nan)["diverged"].values.tolist() == [False, False, True]


def test_every_variable_is_labelled_and_the_design_is_stored():
    found = store([[3.0, 1.0, 2.0]] * 3)
    assert all({"units", "long_name"} <= set(variable.attrs) for variable in found.variables.values())
    assert found["best_epoch"].attrs["units"] == found["epoch"].attrs["units"] == "epoch"
    assert found["hidden_size"].values.tolist() == [2] * 3 and found["epoch"].values.tolist() == [0, 5, 9]
