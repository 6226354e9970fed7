"""Successive halving with known losses: survivors, costs, and the results of each criterion."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import xarray as xr

from lyapunov_pkg.reproduction.prediction.pruning import (
    PruningSettings,
    expected_best,
    median_by_architecture,
    pruning_experiment,
    survivors,
    training_budget,
)

SETTINGS = PruningSettings(pool_sizes=(8, 16), epochs=(0, 1, 2), kept_share=0.5, n_draws=50, loss_ceiling=1e3)


def pretrained(n_networks: int = 60, n_seeds: int = 3) -> xr.Dataset:
    """Return an experiment in which AeLLE ranks the final losses perfectly and early losses are uninformative."""
    rng = np.random.default_rng(0)
    final_loss = rng.uniform(0.1, 2.5, n_networks)
    partition = np.array(["train"] * 12 + ["validation"] * 8 + ["test"] * (n_networks - 20))
    return xr.Dataset(
        {
            "partition": (("seed", "network"), np.stack([rng.permutation(partition) for _ in range(n_seeds)])),
            "predicted_loss": (("seed", "network", "epoch"), np.tile(final_loss[:, None] ** 2, (n_seeds, 1, 4))),
            "loss": (("network", "epoch"), rng.uniform(1, 2, (n_networks, 4))),
        },
        coords={
            "seed": np.arange(n_seeds),
            "epoch": np.arange(4),
            "final_loss": ("network", final_loss, {"units": "nat"}),
            "architecture": ("network", np.where(final_loss < 0.9, "good", "bad")),
        },
        attrs={"total_epochs": 10, "n_networks": n_networks, "n_diverged": 0},
    )


def test_survivors_are_the_lowest_at_each_rung():
    scores = np.array([[3, 0, 0], [0, 3, 0], [1, 1, 9], [2, 2, 1], [9, 0, 0], [8, 0, 0]])
    assert survivors(scores[:, :1], 0.5).tolist() == [1, 2, 3]
    # They are chosen from 1, 2 and 3; half of 3 is rounded to 2.
    assert survivors(scores[:, :2], 0.5).tolist() == [2, 3]
    assert survivors(scores, 0.5).tolist() == [3]
    assert survivors(scores, 0.01).tolist() == [1]  # At least one network survives.


def test_budget_counts_every_epoch_of_every_network():
    # Of 16 networks, 8 are not trained, 4 are trained for 1 epoch, 2 for 2 and 2 for 10.
    assert training_budget(16, SETTINGS, 10) == 4 * 1 + 2 * 2 + 2 * 10
    assert training_budget(16, SETTINGS.model_copy(update={"epochs": ()}), 10) == 160


def test_expected_best_is_the_mean_over_all_subsets():
    losses = np.random.default_rng(1).uniform(size=7)
    expected = [np.mean([min(chosen) for chosen in combinations(losses, k)]) for k in range(1, 8)]
    np.testing.assert_allclose(expected_best(losses), expected, rtol=1e-12)
    assert np.isfinite(expected_best(np.arange(1000.0))).all()


def test_an_architecture_has_the_median_loss_of_its_known_networks():
    architecture, losses = np.array(["a", "a", "a", "b", "b", "c"]), np.array([1.0, 2.0, 9.0, 4.0, 5.0, 6.0])
    known = np.array([0, 1, 3])  # No network of c is known, so c gets the median of all known networks.
    assert median_by_architecture(architecture, losses, known).tolist() == [1.5, 1.5, 1.5, 4, 4, 2]


def test_a_perfect_predictor_finds_the_best_network_and_saves_epochs():
    result = pruning_experiment(pretrained(), SETTINGS)
    aelle, architecture, loss, chance = (
        result.sel(criterion=name) for name in ("aelle", "architecture", "loss_at_epoch", "random")
    )
    assert (aelle["better_in_pool"] == 0).all()
    assert (aelle["best_loss"] < architecture["best_loss"]).all()
    assert (architecture["best_loss"] < loss["best_loss"]).all()
    # Without information, the result is the best of 1 (of 8) or of 2 (of 16) random networks.
    for uninformed in (loss, chance):
        found = uninformed["best_loss"].mean("seed")
        np.testing.assert_allclose(found, result["complete_loss"].mean("seed")[:2], rtol=0.25)
    # With pools of 8, the best of 8 is found in 1 * 10 + 1 * 2 + 2 * 1 epochs instead of 80.
    assert result["budget"].values.tolist() == [14, 28]
    np.testing.assert_allclose(aelle["saved"].sel(pool_size=8).mean(), 100 * (1 - 14 / 80), atol=3)
    learnt = 20 * 10
    expected = 100 * (1 - (14 + learnt) / aelle["equal_budget"].sel(pool_size=8))
    np.testing.assert_allclose(aelle["saved_in_all"].sel(pool_size=8), expected)
    assert (architecture["saved_in_all"] < architecture["saved"]).all()
    np.testing.assert_allclose(chance["saved_in_all"], chance["saved"])


def test_a_huge_loss_is_replaced_by_the_ceiling():
    exploded = pretrained()
    final_loss = exploded["final_loss"].values.copy()
    final_loss[final_loss > 2] = 1e9
    exploded["final_loss"] = ("network", final_loss, exploded["final_loss"].attrs)
    result = pruning_experiment(exploded, SETTINGS.replaced(loss_ceiling=5.0))
    assert result["best_loss"].max() < 5
    assert result["complete_loss"].max() < 5


def test_results_are_reproducible_and_labelled():
    first, second = (pruning_experiment(pretrained(), SETTINGS) for _ in range(2))
    xr.testing.assert_identical(first, second)
    assert all({"units", "long_name"} <= set(variable.attrs) for variable in first.variables.values())


def test_unavailable_pool_sizes_and_epochs_are_refused():
    with pytest.raises(ValueError, match="pool_sizes has 41; expected 1 to 40, the networks of the test part"):
        pruning_experiment(pretrained(), SETTINGS.replaced(pool_sizes=(8, 41)))
    with pytest.raises(ValueError, match=r"epochs is \[0, 4\]; expected rising numbers out of \[0, 1, 2, 3\]"):
        pruning_experiment(pretrained(), SETTINGS.replaced(epochs=(0, 4)))


def test_a_pool_of_all_test_networks_has_the_same_best_survivor_in_every_draw():
    experiment = pretrained(n_seeds=2)
    settings = SETTINGS.replaced(pool_sizes=(40,), n_draws=2)
    result = pruning_experiment(experiment, settings).sel(pool_size=40)
    for seed in range(2):
        test = np.flatnonzero(experiment["partition"].values[seed] == "test")
        losses = experiment["final_loss"].values[test]
        left = test[survivors(experiment["loss"].values[test, :3], 0.5)]
        best = experiment["final_loss"].values[left].min()
        found = result.isel(seed=seed).sel(criterion="loss_at_epoch")
        assert found["best_loss"].item() == pytest.approx(best)
        better = np.count_nonzero(losses < best)
        assert found["better_in_pool"].item() == pytest.approx(100 * better / 40) and better > 0
        equal = np.interp(best, expected_best(losses)[::-1], 10.0 * np.arange(40, 0, -1))
        assert found["equal_budget"].item() == pytest.approx(equal)
        assert found["saved"].item() == pytest.approx(100 * (1 - training_budget(40, SETTINGS, 10) / equal))
    assert result.attrs["n_test"] == 40 and result.attrs["epochs"] == [0, 1, 2]
