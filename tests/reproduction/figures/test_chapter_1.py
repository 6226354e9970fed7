from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from lyapunov_pkg.reproduction.catalogue import figures
from lyapunov_pkg.reproduction.figures import chapter_1
from lyapunov_pkg.reproduction.figures.style import SERIES_COLORS, SERIES_MARKERS
from lyapunov_pkg.reproduction.sources import select_variables
from tests.reproduction.figures.checks import (
    assert_complete,
    assert_says,
    assert_text_inside_and_panels_apart,
    reference_lines,
    texts,
)

FIGURES = ["fig_1_1", "fig_1_2"]


def make_lorenz(rho=(28.0, 16.0, 5.0, 1.0)) -> xr.Dataset:
    """Return a Dataset like that of `lorenz_experiment`.

    Trajectories are circles that shrink after the transient; fixed points are unstable above rho = 24.74.
    """
    rho = np.array(rho)
    time = np.arange(0, 50, 0.1)
    radius = np.where(time < 10, 5 + time, np.where(rho[:, None] > 24.74, 15, 1)) * np.sqrt(rho)[:, None] / 3
    trajectory = np.stack([radius * np.cos(time), radius * np.sin(time), radius * np.sin(2 * time) + 20], axis=-1)
    exponents = np.stack([0.1 * rho - 2, 0 * rho - 2, -11 - 0.05 * rho], axis=-1)
    dims = ("rho", "exponent")
    return xr.Dataset(
        {
            "trajectory": (("rho", "time", "axis"), trajectory),
            "short_run_exponent": (dims, exponents - 0.2),
            "steps_run_exponent": (
                ("rho", "run", "exponent"),
                exponents[:, None] + np.linspace(0, 1, 5)[:, None] * (rho[:, None, None] > 2),
            ),
            "long_run_exponent": (dims, exponents),
            "long_run_standard_error": (dims, np.full_like(exponents, 0.001)),
            "fixed_point_exponent": (dims, np.where(rho[:, None] > 24.74, np.nan, exponents)),
            "fixed_point": (("rho", "axis"), np.stack([rho / 3, rho / 3, rho - 1], axis=-1)),
        },
        coords={"rho": rho, "time": time, "axis": ["x", "y", "z"], "exponent": [1, 2, 3]},
        attrs={
            "transient": 10.0,
            "duration": 40.0,
            "steps_run_transient": 10,
            "steps_run_measured": 4000,
            "long_run_duration": 200.0,
            "n_trajectories": 32,
        },
    )


@pytest.mark.parametrize("rho", [(28.0, 16.0, 5.0, 1.0), (28.0,), (100.0, 28.0, 24.5, 16.0, 5.0, 0.0)])
@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_complete_for_any_number_of_rho(name, rho):
    fig = getattr(chapter_1, name)(make_lorenz(rho))
    assert_complete(fig)
    assert_text_inside_and_panels_apart(fig, name)
    assert all(any(f"{value:g}" in text for text in texts(fig)) for value in rho)


@pytest.mark.parametrize("name", FIGURES)
def test_the_stored_data_of_a_figure_suffice_to_draw_it(name):
    data = select_variables(figures()[name], {"lorenz": make_lorenz()})
    fig = getattr(chapter_1, name)(**data)
    assert_complete(fig)
    assert_says(fig, name)


def lines(ax, label: str) -> list[np.ndarray]:
    return [line.get_xydata() for line in ax.lines if line.get_label() == label]


def test_fig_1_1_draws_the_transient_separately_and_only_stable_fixed_points():
    lorenz = make_lorenz()
    axes = chapter_1.fig_1_1(lorenz).axes
    (transient,) = lines(axes[1], "transient")
    np.testing.assert_allclose(transient[:, 0].max(), 9.9)
    np.testing.assert_allclose(transient[:, 1], lorenz["trajectory"].values[0, :100, 0])
    after = lorenz["time"].values >= 10
    for row, (portrait, course) in enumerate(zip(axes[::2], axes[1::2], strict=True)):
        x, _, z = lorenz["trajectory"].values[row].T
        for ax, points in ((portrait, np.stack([x, z], axis=1)), (course, np.stack([lorenz["time"], x], axis=1))):
            grey, colored = ax.lines[:2]
            np.testing.assert_array_equal(grey.get_xydata(), points[~after])
            np.testing.assert_array_equal(colored.get_xydata(), points[after])
            assert (grey.get_color(), colored.get_color()) == ("0.65", list(SERIES_COLORS.values())[row])
    circles = [lines(ax, "stable fixed point") for ax in axes[::2]]
    assert circles[0] == []
    np.testing.assert_allclose(circles[1][0], [[-16 / 3, 15], [16 / 3, 15]])


def test_fig_1_2_shows_the_short_run_next_to_the_converged_value():
    lorenz = make_lorenz()
    fig = chapter_1.fig_1_2(lorenz)
    largest = fig.axes[1]
    drawn = [line.get_xydata() for line in largest.lines if len(line.get_xydata()) == 1]
    short, in_steps, converged = (np.concatenate(drawn[kind::3]) for kind in range(3))
    np.testing.assert_allclose(in_steps[:, 1], lorenz["steps_run_exponent"].mean("run")[:, 0])
    assert [text.get_text().split("\n")[1] for text in largest.get_xticklabels()] == [
        "5 of 5",
        "3 of 5",
        "0 of 5",
        "0 of 5",
    ]
    np.testing.assert_allclose(short[:, 1], lorenz["short_run_exponent"].values[:, 0])
    np.testing.assert_allclose(converged[:, 1], lorenz["long_run_exponent"].values[:, 0])
    for drawn, at in ((short, -0.125), (in_steps, 0), (converged, 0.125)):
        np.testing.assert_allclose(drawn[:, 0], np.arange(4) + at)
    runs = lorenz["steps_run_exponent"].values[..., 0]
    errors = lorenz["long_run_standard_error"].values[:, 0]
    for rho, (of_steps, of_long) in enumerate(zip(largest.containers[::2], largest.containers[1::2], strict=True)):
        for container, ends in (
            (of_steps, (runs[rho].min(), runs[rho].max())),
            (of_long, converged[rho, 1] + errors[rho] * np.array([-1, 1])),
        ):
            (bar,) = container.lines[2][0].get_segments()
            np.testing.assert_allclose(bar[:, 1], ends)
    segments = [segment for collection in largest.collections for segment in collection.get_segments()]
    known = [ends for ends in segments if len(ends) and ends[0, 1] == ends[1, 1] and ends[0, 0] != ends[1, 0]]
    expected = lorenz["fixed_point_exponent"].values[1:, 0]
    np.testing.assert_allclose(known, [[[rho - 0.25, y], [rho + 0.25, y]] for rho, y in enumerate(expected, start=1)])
    assert largest.get_xlim() == (-0.5, 3.5) and largest.get_xticks().tolist() == [0, 1, 2, 3]
    assert "short run, 40 time units" in texts(fig) and "converged, 32 × 200 time units" in texts(fig)
    assert "Lyapunov exponent [nats/time unit]" in texts(fig)
    assert reference_lines(fig.axes[0]) == reference_lines(largest) == [("y", 0)]


def test_panel_a_of_fig_1_2_shows_all_exponents_of_each_rho_next_to_each_other():
    lorenz = make_lorenz()
    ax = chapter_1.fig_1_2(lorenz).axes[0]
    assert ax.get_xticks().tolist() == [1, 2, 3]
    drawn = [line for line in ax.lines if len(line.get_xdata()) == 3]
    for rho, (short, in_steps, converged) in enumerate(zip(*[iter(drawn)] * 3, strict=True)):
        middle = np.arange(1, 4) + 0.16 * (rho - 1.5)
        for line, at, name in ((short, -0.03, "short_run"), (in_steps, 0, "steps_run"), (converged, 0.03, "long_run")):
            values = lorenz[f"{name}_exponent"].isel(rho=rho)
            values = values.mean("run") if "run" in values.dims else values
            np.testing.assert_allclose(line.get_xydata(), np.stack([middle + at, values], axis=1))
            assert line.get_color() == list(SERIES_COLORS.values())[rho]
        assert (short.get_markerfacecolor(), in_steps.get_marker()) == ("white", "x")
        assert short.get_marker() == converged.get_marker() == SERIES_MARKERS[rho]
