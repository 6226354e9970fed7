from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from lyapunov_pkg.cells.entries import DEFAULT_LOOKS
from lyapunov_pkg.reproduction.figures.panels import robust_limits
from lyapunov_pkg.reproduction.figures.presentation import ARCHITECTURE_LABELS, in_display_order
from lyapunov_pkg.reproduction.figures.style import HIGH_ERROR_COLOR, LOW_ERROR_COLOR, architecture_style

# Simulated colour-vision deficiency: linear RGB to linear RGB (Machado, Oliveira and Fernandes 2009, severity 1).
VISION = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def seen_as(color: str, vision: str) -> np.ndarray:
    """Return CIELAB coordinates (D65) of a colour as people with this colour vision see it."""
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(VISION[vision]) @ linear, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ linear / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISION)
def test_colours_differ_for_every_colour_vision(vision):
    # No figure shows the rank-1 network together with another architecture.
    colors = [architecture_style(name).color for name in ARCHITECTURE_LABELS if name != "rank_one"]
    colors += {look.color for look in DEFAULT_LOOKS}
    for first, second in [*combinations(colors, 2), (LOW_ERROR_COLOR, HIGH_ERROR_COLOR)]:
        assert np.linalg.norm(seen_as(first, vision) - seen_as(second, vision)) > 15


def test_markers_differ():
    assert len({architecture_style(name).marker for name in ARCHITECTURE_LABELS}) == len(ARCHITECTURE_LABELS)


def test_architectures_have_a_fixed_display_order():
    assert in_display_order(np.array(["zeta", "lem", "rnn", "lem", "alpha"]), ARCHITECTURE_LABELS) == [
        "rnn",
        "lem",
        "alpha",
        "zeta",
    ]


def test_limits_contain_all_values_without_outliers():
    low, high = robust_limits(np.linspace(-2, 3, 30))
    assert low < -2 and high > 3 and high - low < 6


def test_limits_exclude_outliers_and_non_finite_values():
    values = np.concatenate([np.linspace(0, 1, 50), [-20.0, np.nan, -np.inf]])
    low, high = robust_limits(values)
    assert -0.2 < low < 0 and 1 < high < 1.2


def test_limits_contain_the_threshold():
    assert robust_limits(np.linspace(0, 1, 50), include=[4.0, np.nan])[1] > 4


@pytest.mark.parametrize("values", [[], [np.nan], [3.0], [0.0, 0.0]])
def test_limits_of_few_values_have_positive_width(values):
    low, high = robust_limits(np.array(values))
    assert np.isfinite([low, high]).all() and low < high
