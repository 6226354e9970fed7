from __future__ import annotations

import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from lyapunov_pkg.spectra import statistics
from lyapunov_pkg.spectra.statistics import (
    final_slope,
    initial_slope,
    kaplan_yorke_dimension,
    maximum_exponent,
    mean_exponent,
    number_above_zero,
    number_near_zero,
)

HENON = [0.41922, -1.62319]
LORENZ = [0.9056, 0.0, -14.5723]  # The source is Sprott 2003.
DIVERGED = [np.nan] * 4
SPECTRUM = [0.5, 0.01, -0.02, -4.0]


@pytest.mark.parametrize(("exponents", "dimension"), [(HENON, 1.258), (LORENZ, 2.062)])
def test_kaplan_yorke_dimensions_agree_with_the_literature(exponents, dimension):
    assert statistics.kaplan_yorke_dimension(exponents) == pytest.approx(dimension, abs=1e-3)


@pytest.mark.parametrize(
    ("exponents", "dimension"),
    [
        ([-0.1, -0.2], 0.0),
        ([0.0, -0.2], 1.0),
        ([0.0, 0.0, 0.0], 3.0),
        ([0.3, 0.2, -0.5], 3.0),
        ([0.3, 0.2, -0.6], 2.0 + 0.5 / 0.6),
        ([0.3, -np.inf], 1.0),
        ([-np.inf, -np.inf], 0.0),
        ([0.3], 1.0),
        ([np.nan, np.nan], np.nan),
    ],
)
def test_kaplan_yorke_dimension_of_limiting_cases(exponents, dimension):
    assert statistics.kaplan_yorke_dimension(exponents) == pytest.approx(dimension, nan_ok=True)


def test_kaplan_yorke_dimension_ignores_the_order_and_uses_the_last_axis():
    spectra = np.array([[[0.3, 0.2, -0.6]], [[-0.6, 0.3, 0.2]], [[-1.0, -2.0, -3.0]]])
    assert statistics.kaplan_yorke_dimension(spectra).shape == (3, 1)
    assert statistics.kaplan_yorke_dimension(spectra)[:, 0] == pytest.approx([2 + 0.5 / 0.6, 2 + 0.5 / 0.6, 0.0])


def test_moments_and_counts():
    spectra = np.array([SPECTRUM, DIVERGED])
    for statistic, value in [
        (statistics.maximum_exponent, 0.5),
        (statistics.mean_exponent, np.mean(SPECTRUM)),
        (statistics.exponent_variance, np.var(SPECTRUM)),
        (statistics.number_above_zero, 2),
        (lambda e: statistics.number_near_zero(e, 0.02), 2),
        (statistics.initial_slope, -0.49),
        (statistics.final_slope, -3.98),
    ]:
        assert statistic(spectra) == pytest.approx([value, np.nan], nan_ok=True)


def test_a_lost_direction_counts_as_minus_infinity():
    spectrum = [0.5, -1.0, -np.inf]
    assert statistics.maximum_exponent(spectrum) == 0.5
    assert statistics.mean_exponent(spectrum) == -np.inf
    assert statistics.exponent_variance(spectrum) == np.inf
    assert statistics.number_near_zero(spectrum, 1.0) == 2
    assert statistics.number_above_zero(spectrum) == 1
    assert statistics.final_slope(spectrum) == -np.inf
    assert np.isnan(statistics.final_slope([0.5, -np.inf, -np.inf]))


def test_slopes_are_differences_over_a_tenth_of_the_indices():
    index = np.arange(41)
    spectrum = np.where(index <= 20, -0.1 * index, -2.0 - 3.0 * (index - 20))
    assert statistics.slope_width(41, 0.1) == 4
    assert statistics.initial_slope(spectrum) == pytest.approx(-0.1)
    assert statistics.final_slope(spectrum) == pytest.approx(-3.0)
    assert statistics.initial_slope(spectrum, fraction=1.0) == pytest.approx((spectrum[-1] - spectrum[0]) / 40)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: statistics.mean_exponent([]), "exponents: got shape"),
        (lambda: statistics.mean_exponent(1.0), "exponents: got shape"),
        (lambda: statistics.number_near_zero(SPECTRUM, -0.1), "tolerance: got -0.1"),
        (lambda: statistics.initial_slope([0.1]), "exponents: got 1"),
        (lambda: statistics.final_slope(SPECTRUM, fraction=0.0), "fraction: got 0.0"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_statistics_do_not_import_torch():
    script = "import sys, lyapunov_pkg.spectra.statistics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_interpolation_keeps_both_ends_and_straight_lines() -> None:
    spectra = np.array([[0.5, -0.5, -1.5], [0.0, -4.0, -4.0]])
    expected = [[0.5, 0.0, -0.5, -1.0, -1.5], [0.0, -2.0, -4.0, -4.0, -4.0]]
    np.testing.assert_allclose(statistics.interpolate_spectrum(spectra, 5), expected)
    np.testing.assert_allclose(statistics.interpolate_spectrum(np.array(expected), 3), spectra)
    np.testing.assert_array_equal(statistics.interpolate_spectrum([-0.25], 3), [-0.25] * 3)


@given(st.integers(1, 70), st.integers(2, 70))
def test_interpolation_agrees_with_numpy_and_is_exact_at_the_same_length(n: int, length: int) -> None:
    spectrum = -np.sort(np.random.default_rng(n).normal(size=n))
    by_numpy = np.interp(np.linspace(0, 1, length), np.linspace(0, 1, n), spectrum)
    np.testing.assert_allclose(statistics.interpolate_spectrum(spectrum, length), by_numpy, atol=1e-12)
    if n > 1:
        np.testing.assert_array_equal(statistics.interpolate_spectrum(spectrum, n), spectrum)


def test_errors_name_spectra_that_cannot_be_interpolated() -> None:
    with pytest.raises(ValueError, match="length: got 1"):
        statistics.interpolate_spectrum([0.0, -1.0], 1)
    with pytest.raises(ValueError, match="got 1 infinite"):
        statistics.interpolate_spectrum([0.0, -np.inf], 3)


class TestLabels:
    spectra = xr.DataArray(
        [[[0.5, 0.0, -1.0], [0.1, -0.2, -0.3]]],
        dims=("variant", "sequence", "exponent"),
        coords={"variant": [4], "sequence": ["a", "b"], "exponent": [1, 2, 3], "rate": ("sequence", [0.1, 0.2])},
        attrs={"units": "nat/time unit", "long_name": "Lyapunov exponent"},
        name="lyapunov_exponent",
    )

    @pytest.mark.parametrize(
        ("statistic", "units"),
        [
            (maximum_exponent, "nat/time unit"),
            (mean_exponent, "nat/time unit"),
            (number_above_zero, "1"),
            (partial(number_near_zero, tolerance=0.1), "1"),
            (kaplan_yorke_dimension, "1"),
            (partial(initial_slope, fraction=1.0), "nat/time unit"),
            (final_slope, "nat/time unit"),
        ],
    )
    def test_statistics_keep_the_other_dimensions(self, statistic, units):
        found = statistic(self.spectra)
        np.testing.assert_array_equal(found, statistic(self.spectra.values))
        assert found.dims == ("variant", "sequence") and found["sequence"].values.tolist() == ["a", "b"]
        assert found["rate"].values.tolist() == [0.1, 0.2] and "exponent" not in found.coords
        assert found.attrs["units"] == units and found.attrs["long_name"]
        assert found.name == getattr(statistic, "func", statistic).__name__

    def test_the_dimension_is_found_by_its_name(self):
        moved = self.spectra.transpose("exponent", ...)
        xr.testing.assert_identical(kaplan_yorke_dimension(moved), kaplan_yorke_dimension(self.spectra))

    def test_arrays_without_an_exponent_dimension_are_refused(self):
        with pytest.raises(ValueError, match=r"exponents: got the dimensions .* expected 'exponent' among them"):
            mean_exponent(self.spectra.rename(exponent="index"))
        with pytest.raises(TypeError, match="exponents: got a Dataset, expected its variable"):
            mean_exponent(self.spectra.to_dataset())
