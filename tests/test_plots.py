from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from lyapunov_pkg import (
    covariant_vectors,
    finite_time_exponents,
    lyapunov_spectrum,
    plots,
    running_exponents,
    subspace_angles,
    vector_angles,
)
from lyapunov_pkg.systems import Henon, Lorenz
from tests.house.base_dependencies import ROOT


@pytest.fixture
def ax() -> Axes:
    return Figure().subplots()


@pytest.fixture(scope="module")
def gru() -> xr.Dataset:
    """Return finite-time exponents of a GRU for three sequences."""
    torch.manual_seed(0)
    return finite_time_exponents(torch.nn.GRU(2, 5), torch.randn(60, 3, 2), warmup=10)


def band(ax: Axes) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and the upper end of the only band, by position."""
    (drawn,) = [collection for collection in ax.collections if isinstance(collection, PolyCollection)]
    x, y = drawn.get_paths()[0].vertices.T
    places = np.unique(x)
    return tuple(np.array([end(y[x == place]) for place in places]) for end in (np.min, np.max))


def test_a_spectrum_shows_the_mean_over_sequences_and_a_band_of_one_standard_deviation(ax: Axes) -> None:
    torch.manual_seed(0)
    result = lyapunov_spectrum(torch.nn.GRU(2, 5), torch.randn(60, 3, 2))
    assert plots.spectrum(result, ax, label="GRU") is ax
    exponents = result["lyapunov_exponent"].values.astype(float)
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), np.arange(1, 6))
    np.testing.assert_allclose(ax.lines[0].get_ydata(), exponents.mean(axis=0))
    spread = exponents.std(axis=0, ddof=1)
    np.testing.assert_allclose(band(ax), (exponents.mean(axis=0) - spread, exponents.mean(axis=0) + spread))
    assert ax.get_legend_handles_labels()[1] == ["GRU"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("index of the exponent", "Lyapunov exponent [nat/step]")


def test_one_sequence_has_no_band_and_a_flow_has_its_own_unit(ax: Axes) -> None:
    result = lyapunov_spectrum(Lorenz(), duration=2.0)
    plots.spectrum(result, ax)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), result["lyapunov_exponent"].values[0])
    assert not ax.collections and ax.get_ylabel() == "Lyapunov exponent [nat/time unit]"


def test_each_network_has_a_line_and_a_name(ax: Axes) -> None:
    exponents = xr.DataArray(
        [[0.1, -0.2, -np.inf], [0.0, np.nan, -0.4]], dims=("network", "exponent"), coords={"network": ["a", "b"]}
    )
    plots.spectrum(exponents, ax)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [0.1, -0.2, np.nan])
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), [0.0, np.nan, -0.4])
    assert ax.get_legend_handles_labels()[1] == ["network a", "network b"]
    assert [to_hex(line.get_color()).upper() for line in ax.lines[:2]] == list(plots.COLORS[:2])


def test_running_estimates_end_at_the_spectrum(ax: Axes, gru: xr.Dataset) -> None:
    plots.running_exponents(running_exponents(gru), ax)
    for number, line in zip(range(5), ax.lines, strict=False):
        np.testing.assert_array_equal(line.get_xdata(), gru["time"])
        mean = gru["finite_time_exponent"].isel(exponent=number).mean().item()
        np.testing.assert_allclose(line.get_ydata()[-1], mean, rtol=1e-5)
    assert len(ax.lines) == 6 and ax.get_ylabel() == "Lyapunov exponent as estimated up to\nthis time [nat/step]"
    assert len({line.get_color() for line in ax.lines[:5]}) == 5
    (colorbar,) = [other for other in ax.figure.axes if other is not ax]
    assert colorbar.get_ylabel() == "index of the exponent"


def test_exponents_over_training_are_drawn_at_their_update_or_epoch(ax: Axes) -> None:
    values = np.random.default_rng(0).normal(size=(4, 3, 2))
    by_update = xr.DataArray(
        values, dims=("update", "sequence", "exponent"), coords={"update": ("update", [0, 10, 20, 30])}
    )
    plots.over_training(by_update.to_dataset(name="lyapunov_exponent"), ax)
    np.testing.assert_array_equal(ax.lines[1].get_xdata(), [0, 10, 20, 30])
    np.testing.assert_allclose(ax.lines[1].get_ydata(), values[:, :, 1].mean(axis=1))
    by_epoch = by_update.isel(sequence=0, exponent=[0]).rename(update="epoch")
    by_epoch["epoch"].attrs.update(units="epoch", long_name="passes over the training samples; 0 is before training")
    other = plots.over_training(by_epoch, Figure().subplots())
    assert other.get_xlabel() == "passes over the training samples; 0 is\nbefore training [epoch]"
    np.testing.assert_array_equal(other.lines[0].get_ydata(), values[:, 0, 0])


def test_finite_time_exponents_show_the_median_and_a_band_of_90_percent(ax: Axes, gru: xr.Dataset) -> None:
    plots.finite_time_exponents(gru, ax, color="black")
    values = gru["finite_time_exponent"].values.reshape(-1, 5)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), np.median(values, axis=0), atol=0.02)
    low, high = band(ax)
    inside = (values >= low) & (values <= high)
    np.testing.assert_allclose(inside.mean(axis=0), 0.9, atol=0.02)


def test_lost_directions_do_not_change_the_band_of_others(ax: Axes) -> None:
    values = np.array([[0.0, -np.inf], [1.0, -np.inf], [2.0, -1.0]])
    plots.finite_time_exponents(xr.DataArray(values, dims=("time", "exponent")), ax)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [1.0, np.nan])


def test_the_histogram_of_angles_is_per_pair(ax: Axes) -> None:
    vectors = covariant_vectors(Henon(), n_steps=400)["covariant_vector"]
    angles = vector_angles(vectors)
    plots.angles(angles, ax)
    (outline,) = ax.patches
    heights = np.unique(outline.get_xy()[:, 1])
    counts = np.histogram(angles.sel(exponent=1, other=2), bins=45, range=(0, np.pi / 2), density=True)[0]
    np.testing.assert_allclose(heights, np.unique(np.append(counts, 0)))
    assert ax.get_legend_handles_labels()[1] == ["1 and 2"]
    assert ax.get_xlabel() == "angle between two vectors [rad]"
    smallest = plots.angles(subspace_angles(vectors[..., :1], vectors[..., 1:]), Figure().subplots())
    np.testing.assert_allclose(smallest.patches[0].get_xy(), outline.get_xy(), atol=1e-6)


def test_errors_name_data_that_cannot_be_drawn(gru: xr.Dataset) -> None:
    with pytest.raises(ValueError, match="expected one with lyapunov_exponent"):
        plots.spectrum(gru)
    with pytest.raises(ValueError, match=r"running: got the dimensions .*, expected `time`"):
        plots.running_exponents(gru["finite_time_exponent"].isel(time=0))
    with pytest.raises(ValueError, match="at most one other"):
        plots.spectrum(gru["finite_time_exponent"].expand_dims("variant"))
    with pytest.raises(ValueError, match="got 15 pairs of different vectors, expected 1 to 10"):
        plots.angles(xr.DataArray(np.zeros((6, 6)), dims=("exponent", "other")))


def test_without_axes_a_new_figure_is_created(gru: xr.Dataset) -> None:
    import matplotlib.pyplot as plt

    first, second = plots.finite_time_exponents(gru), plots.finite_time_exponents(gru)
    assert first.figure is not second.figure
    plt.close("all")


def test_without_matplotlib_the_error_names_the_extra(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import numpy, xarray\nfrom lyapunov_pkg import plots\nplots.spectrum(xarray.DataArray([0.], dims='exponent'))"
    )
    command = [sys.executable, "-m", "tests.house.base_dependencies", str(program)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    expected = 'ImportError: lyapunov_pkg.plots needs matplotlib: pip install "lyapunov-pkg[plot]"'
    assert result.stderr.splitlines()[-1] == expected
