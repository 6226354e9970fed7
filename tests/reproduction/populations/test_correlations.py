from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from lyapunov_pkg.reproduction.populations.coefficients import (
    correlation,
    difference_of_spearman,
    partial_correlation,
    spearman_coefficient,
)
from lyapunov_pkg.reproduction.populations.correlations import performance_correlations, spanning, spectrum_statistics
from lyapunov_pkg.spectra import kaplan_yorke_dimension, maximum_exponent
from tests.reproduction.populations.synthetic import make_study


def correlate(spectra: xr.Dataset, by: str = "maximum_exponent", n_highlighted: int = 6) -> xr.Dataset:
    return performance_correlations(
        spectra, by, n_highlighted, near_zero=0.2, exponent_floor=-20.0, n_resamples=200, seed=1
    )


def test_a_line_has_correlation_one_and_a_monotone_curve_rank_correlation_one():
    x = np.linspace(1, 2, 20)
    line = correlation(x, 3 - 2 * x, 100, seed=0)
    assert line.pearson == pytest.approx(-1) and line.spearman == pytest.approx(-1)
    curve = correlation(x, np.exp(5 * x), 100, seed=0)
    assert curve.spearman == pytest.approx(1) and curve.pearson < 0.95
    assert (curve.spearman_low, curve.spearman_high) == pytest.approx((1, 1))
    assert curve.n_used == 20


def test_intervals_agree_with_fisher_and_cover_the_true_correlation():
    """The samples are bivariate normal with correlation 0.6, for which Spearman's coefficient is 6/pi asin(0.3)."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(400)
    y = 0.6 * x + 0.8 * rng.standard_normal(400)
    found = correlation(x, y, 500, seed=0)
    half_width = 1.96 / np.sqrt(397)
    expected = np.tanh(np.arctanh(found.pearson) + np.array([-half_width, half_width]))
    np.testing.assert_allclose([found.pearson_low, found.pearson_high], expected, atol=1e-4)
    assert found.pearson_low < 0.6 < found.pearson_high
    assert found.spearman_low < 6 / np.pi * np.arcsin(0.3) < found.spearman_high
    assert found.spearman == pytest.approx(stats.spearmanr(x, y).statistic)
    assert found.spearman_high - found.spearman_low == pytest.approx(2 * half_width * (1 - 0.6**2), rel=0.3)
    assert correlation(x, y, 500, seed=0) == found


def test_ties_are_ranked_as_in_scipy():
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 4, (2, 5, 30)).astype(float)
    expected = [stats.spearmanr(*pair).statistic for pair in zip(x, y, strict=True)]
    np.testing.assert_allclose(spearman_coefficient(x, y), expected)


def test_undefined_pairs_are_omitted_and_undefined_correlations_are_nan():
    x = np.array([1.0, 2, 3, 4, 5, -np.inf, 7])
    y = np.array([2.0, 4, 6, 8, 11, 3, np.nan])
    assert correlation(x, y, 50, seed=0).n_used == 5
    for few in (correlation(x[:3], y[:3], 50, seed=0), correlation(np.ones(6), np.arange(6), 50, seed=0)):
        assert np.isnan(few[:6]).all()


def test_a_count_that_is_almost_always_zero_has_an_interval():
    found = correlation([0.0] * 19 + [1.0], np.arange(20), 200, seed=0)
    assert np.isfinite(found[:6]).all() and found.spearman_low >= 0


def test_highlighted_networks_span_the_range_and_do_not_depend_on_order():
    values = np.random.default_rng(3).permutation(np.arange(11.0))
    np.testing.assert_array_equal(values[spanning(values, 6)], [0, 2, 4, 6, 8, 10])
    np.testing.assert_array_equal(values[spanning(values, 20)], np.arange(11))
    np.testing.assert_array_equal(spanning([-np.inf, 2.0, 1.0], 2), [0, 1])


def test_statistics_agree_with_the_spectra():
    exponents = np.array([[0.3, 0.1, -1.0], [-0.1, -0.3, -2.0]])
    statistics = spectrum_statistics(exponents, near_zero=0.2)
    np.testing.assert_array_equal(statistics["maximum_exponent"], maximum_exponent(exponents))
    np.testing.assert_array_equal(statistics["number_near_zero"], [1, 1])
    np.testing.assert_array_equal(statistics["kaplan_yorke_dimension"], kaplan_yorke_dimension(exponents))
    assert len(statistics) == 8


def test_spectrum_and_loss_are_from_the_epoch_of_lowest_loss():
    spectra = make_study(30, n_diverged=2)
    found = correlate(spectra)
    assert (found.attrs["n_networks"], found.attrs["n_diverged"]) == (28, 2)
    kept = spectra.isel(variant=slice(28))
    at_best = kept.sel(epoch=kept["best_epoch"])
    np.testing.assert_array_equal(found["lyapunov_exponent"], at_best["lyapunov_exponent"])
    pair = found.isel(pair=0)
    assert (pair["quantity"], pair["performance"]) == ("maximum_exponent", "validation_loss")
    largest = at_best["lyapunov_exponent"].isel(exponent=0)
    expected = stats.pearsonr(largest, at_best["validation_loss"]).statistic
    assert float(pair["pearson"]) == pytest.approx(expected) and expected < -0.7
    highlighted = largest.values[found["highlighted_network"].values]
    assert (np.diff(highlighted) > 0).all()
    assert highlighted[0] == largest.min() and highlighted[-1] == largest.max()


def test_the_best_epoch_is_one_with_spectra_whatever_the_order_of_dimensions():
    spectra = make_study(8, 7, n_diverged=0).sel(epoch=[1, 4, 7])
    spectra["validation_loss"][0, 1] = np.nan
    settings = {"n_highlighted": 3, "near_zero": 0.2, "exponent_floor": -20.0, "n_resamples": 20, "seed": 1}
    found, turned = (
        performance_correlations(study, "maximum_exponent", any_epochs=True, **settings)
        for study in (spectra, spectra.transpose("exponent", "epoch", ...))
    )
    lowest = np.nanargmin(spectra["validation_loss"], axis=1)
    np.testing.assert_array_equal(found["best_epoch"], spectra["epoch"].values[lowest])
    xr.testing.assert_equal(turned.transpose(*found.dims), found)


def test_accuracy_is_correlated_if_the_task_has_one():
    with_accuracy, without = correlate(make_study()), correlate(make_study(classification=False), "mean_exponent")
    assert with_accuracy.sizes["pair"] == 17 and without.sizes["pair"] == 8
    last = with_accuracy.isel(pair=-1)
    assert (last["quantity"], last["performance"]) == ("validation_accuracy", "validation_loss")
    assert float(last["pearson"]) == pytest.approx(-1)  # In the synthetic study, accuracy is linear in the loss.


def test_errors_name_wrong_settings_and_spectra():
    with pytest.raises(ValueError, match="statistic 'maximum' is unknown; expected one of maximum_exponent"):
        correlate(make_study(), "maximum")
    spectra = make_study()
    spectra["best_epoch"][0] = 5
    with pytest.raises(ValueError, match="expected epoch 5 among them"):
        correlate(spectra.isel(epoch=slice(5)))


def test_exponents_of_singular_jacobians_are_replaced_by_the_floor() -> None:
    study = make_study(8)
    study["lyapunov_exponent"][..., -1] = -np.inf
    found = correlate(study)
    floored = study.copy(deep=True)
    floored["lyapunov_exponent"][..., -1] = -20.0
    expected = correlate(floored)
    xr.testing.assert_equal(found["spectrum_statistic"], expected["spectrum_statistic"])
    assert np.isneginf(found["lyapunov_exponent"].values).any()  # The highlighted spectra are unchanged.


def test_statistics_use_only_the_exponents_that_a_network_has() -> None:
    study = make_study(12, n_diverged=0)
    expected = correlate(study.isel(exponent=slice(10)))["spectrum_statistic"][:5]
    shorter = study.copy(deep=True)
    shorter["lyapunov_exponent"][:5, :, 10:] = np.nan
    found = correlate(shorter)
    assert (found.attrs["n_networks"], found.attrs["n_diverged"]) == (12, 0)
    np.testing.assert_array_equal(found["spectrum_statistic"][:5], expected)
    np.testing.assert_array_equal(found["spectrum_statistic"][5:], correlate(study)["spectrum_statistic"][5:])


def test_partial_correlations_are_correlations_of_regression_residuals() -> None:
    rng = np.random.default_rng(5)
    given = rng.standard_normal((2, 60))
    x, y = given.sum(0) + rng.standard_normal(60), 2 * given[0] + rng.standard_normal(60)

    def left(values: np.ndarray, controls: np.ndarray) -> np.ndarray:
        design = np.vstack([np.ones(60), controls]).T
        return values - design @ np.linalg.lstsq(design, values, rcond=None)[0]

    found = partial_correlation(x, y, list(given), 200, seed=0)
    expected = stats.pearsonr(left(x, given), left(y, given)).statistic
    assert found.partial_pearson == pytest.approx(expected)
    half_width = 1.96 / np.sqrt(60 - 3 - 2)
    ends = np.tanh(np.arctanh(expected) + np.array([-half_width, half_width]))
    np.testing.assert_allclose([found.partial_pearson_low, found.partial_pearson_high], ends, atol=1e-4)
    ranks, given_ranks = stats.rankdata([x, y], axis=1), stats.rankdata(given, axis=1)
    by_ranks = stats.pearsonr(left(ranks[0], given_ranks), left(ranks[1], given_ranks)).statistic
    assert found.partial_spearman == pytest.approx(by_ranks)
    assert found.partial_spearman_low < by_ranks < found.partial_spearman_high
    assert np.isnan(partial_correlation(x, y, [], 100, seed=0)).all()


def test_partial_correlations_control_for_the_hyperparameters_that_vary() -> None:
    found = correlate(make_study(20))
    assert found.attrs["given"] == ["learning_rate", "init_param"]
    assert np.isfinite(found["partial_pearson"].isel(pair=0))
    alike = make_study(20).assign_coords(init_param=("variant", np.full(20, 0.1)))
    assert correlate(alike).attrs["given"] == ["learning_rate"]


def test_differences_of_rank_correlations_are_paired() -> None:
    rng = np.random.default_rng(6)
    x, noise = rng.standard_normal((2, 50))
    low, close = x + 2 * noise, x + 0.3 * noise
    found, first, last = difference_of_spearman((x, low), (x, close), 300, seed=0)
    assert found == pytest.approx(spearman_coefficient(x, low) - spearman_coefficient(x, close))
    assert first < found < last < 0
    assert difference_of_spearman((x, low), (x, low), 100, seed=0) == (0, 0, 0)
    assert np.isnan(difference_of_spearman((x[:3], low[:3]), (x[:3], low[:3]), 100, seed=0)).all()


def early(spectra: xr.Dataset, epochs: list[int], **options) -> xr.Dataset:
    settings = {"near_zero": 0.2, "exponent_floor": -20.0, "n_resamples": 200, "seed": 1} | options
    return performance_correlations(spectra, "maximum_exponent", 6, early_epochs=epochs, **settings)


def test_early_spectra_are_correlated_with_the_lowest_loss():
    spectra = make_study(30, n_diverged=2)
    found = early(spectra, [0, 4]).sel(asked_epoch=4, statistic="maximum_exponent")
    kept = spectra.isel(variant=slice(28))
    largest = kept["lyapunov_exponent"].sel(epoch=4).isel(exponent=0)
    lowest = kept["validation_loss"].sel(epoch=kept["best_epoch"])
    assert found["early_pearson"].item() == pytest.approx(stats.pearsonr(largest, lowest).statistic)
    assert found["early_spearman"].item() == pytest.approx(stats.spearmanr(largest, lowest).statistic)
    assert found["early_pearson_low"] < found["early_pearson"] < found["early_pearson_high"]
    assert found["early_median"].item() == pytest.approx(np.median(largest))
    given = [np.log(kept["learning_rate"]), kept["init_param"]]
    expected = partial_correlation(largest, lowest, given, 200, seed=1).partial_pearson
    assert found["early_partial_pearson"].item() == pytest.approx(expected)
    assert found["early_n_used"] == 28


def test_an_epoch_without_spectra_is_replaced_once_by_the_nearest_one():
    found = early(make_study(n_epochs=6), [0, 4, 15, 20])
    assert found["asked_epoch"].values.tolist() == [0, 4, 15]
    assert found["early_epoch"].values.tolist() == [0, 4, 6]
    assert "early_pearson" not in early(make_study(), [])


def test_four_pairs_suffice_and_partial_correlations_need_one_more_for_each_given_quantity() -> None:
    x, y = np.array([1.0, 2, 3, 4, 5]), np.array([1.0, 3, 2, 5, 4])
    assert np.isfinite(correlation(x[:4], y[:4], 20, seed=0)).all()
    assert np.isnan(correlation(x[:3], y[:3], 20, seed=0)[:6]).all()
    given = np.array([1.0, -1, 1, 1, -1])
    assert np.isfinite(partial_correlation(x, y, [given], 20, seed=0)).all()
    assert np.isnan(partial_correlation(x[:4], y[:4], [given[:4]], 20, seed=0)).all()
    assert np.isnan(partial_correlation(x, y, [np.ones(5)], 20, seed=0)).all()
    missing = np.append(y, np.nan)
    assert np.isfinite(partial_correlation(np.append(x, 6), missing, [np.append(given, 1)], 20, seed=0)).all()
    assert np.isfinite(difference_of_spearman((x[:4], y[:4]), (x[:4], x[:4]), 20, seed=0)).all()
    infinite = np.array([1.0, 3, 2, np.inf])
    assert np.isnan(difference_of_spearman((x[:4], infinite), (x[:4], x[:4]), 20, seed=0)).all()
