"""Verdicts on classifiers and the quality of autoencoders, compared with numbers that are computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.stats import t

from lyapunov_pkg.aelle import AutoencoderSettings
from lyapunov_pkg.reproduction.prediction.classifiers import Threshold, best_f1_threshold, fitted_classifiers
from lyapunov_pkg.reproduction.prediction.comparison import over_splits
from lyapunov_pkg.reproduction.prediction.embedding import (
    _samples_of,
    autoencoder_quality,
    fit_on_training_part,
    on_part,
    stored_components,
)
from lyapunov_pkg.reproduction.prediction.judging import (
    Verdict,
    judge_classifiers,
    judge_loss_by_epoch,
    judge_thresholds,
    score_epochs,
    verdict_variables,
)

PARTITION = np.array(["train", "test", "train", "test", "validation", "validation", "train", "test"])
LOW = np.array([True, True, False, False, True, False, False, True])


def networks(n_epochs: int = 2) -> xr.Dataset:
    """Return eight networks with exponents 10 * network + epoch, and losses that separate the classes at epoch 1."""
    value = 10.0 * np.arange(8)[:, None] + np.arange(n_epochs)
    loss = np.where(LOW[:, None], 1.0, 2.0) * np.arange(n_epochs)
    per_epoch = ("network", "epoch")
    return xr.Dataset(
        {
            "lyapunov_exponent": ((*per_epoch, "exponent"), value[..., None] - np.arange(3)),
            "lyapunov_mean": (per_epoch, value - 1),
            "lyapunov_max": (per_epoch, value),
            "loss": (per_epoch, loss),
            "low_error": ("network", LOW),
        },
        coords={
            "final_loss": ("network", np.where(LOW, 1.0, 3.0)),
            "init_param": ("network", np.where(LOW, 0.1, 0.9) + 0.01 * np.arange(8)),
        },
    )


def test_thresholds_are_chosen_on_their_part_and_scored_on_the_test_part() -> None:
    seen: list[tuple[list, list]] = []

    def choose(values: np.ndarray, is_low: np.ndarray) -> Threshold:
        seen.append((values.tolist(), is_low.tolist()))
        return Threshold(25.0, False)

    values = networks()["lyapunov_max"].values
    for part, samples, classes in (
        ("train", [0, 1, 20, 21, 60, 61], [True] * 2 + [False] * 4),
        ("validation", [40, 41, 50, 51], [True] * 2 + [False] * 2),
    ):
        (verdict,) = judge_thresholds(networks(), PARTITION, {"own": values}, choose, part).values()
        assert seen.pop() == (samples, classes)
        # Of the test networks 1, 3 and 7, number 1 is at 10, below the threshold, and 1 and 7 are low.
        np.testing.assert_allclose(verdict.scores, [[1 / 2, 1, 2 / 3]] * 2)
        assert verdict.threshold == (25.0, False)


def test_every_number_has_its_threshold_and_every_classifier_its_features() -> None:
    data = networks()
    aelle = np.stack([-data["lyapunov_max"].values, np.zeros((8, 2))], axis=-1)
    spectrum = np.stack([2 * data["lyapunov_max"].values, np.zeros((8, 2))], axis=-1)
    chosen: list[list[float]] = []

    def choose(values: np.ndarray, is_low: np.ndarray) -> Threshold:
        chosen.append(values.tolist())
        return Threshold(0.0, True)

    verdicts = judge_classifiers(data, PARTITION, aelle, spectrum, choose, seed=3)
    trained = np.array([0.0, 1, 20, 21, 60, 61])
    np.testing.assert_array_equal(chosen, [-trained, trained - 1, trained, 2 * trained])
    assert list(verdicts)[:4] == ["aelle", "lyapunov_mean", "lyapunov_max", "spectrum_pca"]
    # The initialisation parameter separates the classes, and the exponents do not.
    np.testing.assert_array_equal(verdicts["random_forest_hyperparameters"].scores, np.ones((2, 3)))
    assert verdicts["logistic_max_mean"].scores[0, 2] < 1
    assert all(np.isnan(verdicts[name].threshold.value) for name in fitted_classifiers(0))


def test_thresholds_of_the_loss_are_chosen_at_each_epoch() -> None:
    verdict = judge_loss_by_epoch(networks(3), PARTITION, best_f1_threshold, "validation")
    assert np.isnan(verdict.threshold.value)
    # Before training all losses are equal, and all networks are predicted low.
    np.testing.assert_allclose(verdict.scores, [[1, 2 / 3, 0.8], [1, 1, 1], [1, 1, 1]])
    high = networks().assign(low_error=("network", PARTITION == "test"))
    assert np.isnan(judge_loss_by_epoch(high, PARTITION, best_f1_threshold, "validation").scores).all()


def test_scores_are_those_of_the_test_part_at_each_epoch() -> None:
    predicted = np.stack([LOW, ~LOW], axis=1)
    predicted[0] = ~predicted[0]  # a training network
    np.testing.assert_array_equal(score_epochs(networks(), PARTITION, predicted), [[1, 1, 1], [0, 0, 0]])


def test_verdicts_of_all_seeds_are_variables_with_differences_from_aelle() -> None:
    def verdict(f1: float, value: float) -> Verdict:
        return Verdict(Threshold(value, value > 0), np.array([[0.1, 0.2, f1], [0.3, 0.4, f1 + 0.05]]))

    verdicts = [
        {"own": verdict(0.5, 1.0), "aelle": verdict(0.7, -1.0)},
        {"own": verdict(0.4, 2), "aelle": verdict(0.8, -2)},
    ]
    partition = np.stack([PARTITION] * 2)
    found = xr.Dataset(verdict_variables(verdicts, partition, by_epoch=True))
    assert found["f1"].dims == ("seed", "classifier", "epoch")
    assert found["classifier"].values.tolist() == ["own", "aelle"]
    np.testing.assert_array_equal(found["threshold"], [[1, -1], [2, -2]])
    np.testing.assert_array_equal(found["low_is_above"], [[True, False]] * 2)
    np.testing.assert_allclose(found["precision"], np.broadcast_to([0.2, 0.4], (2, 2, 2)))
    np.testing.assert_allclose(found["f1_difference"], [[0.3, 0.3], [0, 0]], atol=1e-12)
    # Differences of 0.2 and 0.4 over two splits with three networks for tests and three for training.
    reach = t.ppf(0.975, 1) * np.sqrt((1 / 2 + 3 / 3) * 0.02)
    np.testing.assert_allclose(found["f1_difference_low"][0], [0.3 - reach] * 2)
    np.testing.assert_allclose(found["f1_difference_high"][0], [0.3 + reach] * 2)
    single = xr.Dataset(verdict_variables(verdicts, partition, by_epoch=False))
    assert single["f1"].dims == ("seed", "classifier") and single["f1_difference"].dims == ("classifier",)
    np.testing.assert_allclose(single["f1"], [[0.5, 0.7], [0.4, 0.8]])
    np.testing.assert_allclose(single["recall"], np.full((2, 2), 0.1))


def test_intervals_of_differences_over_splits() -> None:
    differences = np.array([[0.1, 0.0], [0.3, np.nan], [0.2, 1.0]])
    mean, low, high = over_splits(differences, test_to_train=0.25)
    reach = t.ppf(0.975, 2) * np.sqrt((1 / 3 + 0.25) * 0.01)
    assert (mean[0], low[0], high[0]) == pytest.approx((0.2, 0.2 - reach, 0.2 + reach))
    assert np.isnan([mean[1], low[1], high[1]]).all()
    alone = over_splits(differences[:1], 0.25)
    np.testing.assert_array_equal(alone.mean, [0.1, 0.0])
    assert np.isnan([alone.low, alone.high]).all()


def test_the_quality_of_an_autoencoder_on_each_part() -> None:
    data = networks()
    exponents = data["lyapunov_exponent"].values
    target = np.minimum(data["final_loss"].values, 2.0)  # losses of 1 and 2
    partition = np.stack([PARTITION, PARTITION])
    decoded = np.stack([exponents + 1, exponents - 20])
    predicted = np.stack([np.stack([target + 0.1] * 2, axis=1), np.full((8, 2), 1.5)])
    found = xr.Dataset(autoencoder_quality(data, partition, decoded, predicted, loss_ceiling=2.0))
    assert found["part"].values.tolist() == ["train", "validation", "test"]
    np.testing.assert_allclose(found["reconstruction_error"], [[1] * 3, [20] * 3])
    for seed, of_seed in enumerate(partition):
        median = np.median(exponents[of_seed == "train"].reshape(-1, 3), axis=0)
        for part in found["part"].values:
            chosen = of_seed == part
            expected = np.abs(median - exponents[chosen]).mean()
            assert found["median_error"].isel(seed=seed).sel(part=part) == pytest.approx(expected)
            unexplained = np.square(predicted[seed, chosen, 0] - target[chosen]).mean()
            r_squared = 1 - unexplained / target[chosen].var()
            assert found["r_squared"].isel(seed=seed).sel(part=part) == pytest.approx(r_squared)
    assert found["autoencoder_works"].values.tolist() == [True, False]
    # An error of exactly half of the median spectrum's still counts, and an R² of zero does not.
    half = found["median_error"].sel(part="test").values[0] / 2
    for error, loss, works in ((half, target + 0.1, True), (1.001 * half, target + 0.1, False)):
        again = autoencoder_quality(
            data, partition[:1], decoded[:1] - 1 + error, np.stack([loss] * 2, axis=1)[None], 2.0
        )
        assert again["autoencoder_works"][1].tolist() == [works]
    mean = np.full((1, 8, 2), target[PARTITION == "test"].mean())
    assert not autoencoder_quality(data, partition[:1], decoded[:1], mean, 2.0)["autoencoder_works"][1]
    constant = data.assign_coords(final_loss=("network", np.ones(8)))
    assert np.isnan(autoencoder_quality(constant, partition[:1], decoded[:1], mean, 2.0)["r_squared"][1]).all()


def test_samples_of_networks_are_all_their_epochs() -> None:
    assert _samples_of(np.array([[0, 2], [3, 1]]), 3).tolist() == [[0, 1, 2, 6, 7, 8], [9, 10, 11, 3, 4, 5]]
    values, loss, low = on_part(networks(), PARTITION, networks()["lyapunov_exponent"].values, "validation")
    assert values[:, 0].tolist() == [40, 41, 50, 51] and loss.tolist() == [1, 1, 3, 3]
    assert low.tolist() == [True, True, False, False]


def test_components_are_those_of_the_training_part() -> None:
    points = np.zeros((8, 2, 2))
    points[PARTITION == "train", :, 0] = np.array([1.0, -1.0, -2.0])[:, None]
    points[PARTITION == "test", :, 1] = 100.0
    embedding = fit_on_training_part(networks(), PARTITION, points, 1)
    np.testing.assert_allclose(embedding.components, [[1, 0]])  # The low network is at 1, so that PC1 has this sign.
    np.testing.assert_allclose(embedding.mean, [-2 / 3, 0])


def test_ten_components_are_stored_or_as_many_as_there_are() -> None:
    partition, wide = PARTITION[None], AutoencoderSettings(latent_size=32)
    long = networks(8).isel(exponent=[0] * 12)
    assert stored_components(long, partition, wide) == 10
    assert stored_components(networks(2).isel(exponent=[0] * 12), partition, wide) == 3 * 2
    assert stored_components(networks(8), partition, wide) == 3
    assert stored_components(long, partition, AutoencoderSettings(latent_size=2)) == 2
