"""The plane of AeLLE's first two principal components, for figures of chapter 3."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from lyapunov_pkg.reproduction.figures.panels import robust_limits

MEDIAN_LABEL = "median of PC1"
AELLE_PC1, AELLE_PC2 = "AeLLE PC1", "AeLLE PC2"


def set_aelle_axes(ax: Axes, points: np.ndarray, include_x: Iterable[float] = ()) -> None:
    """Set the labels of the AeLLE plane, and limits for `points` (2, ...)."""
    limits = robust_limits(points[0], include_x), robust_limits(points[1])
    ax.set(xlabel=AELLE_PC1, ylabel=AELLE_PC2, xlim=limits[0], ylim=limits[1])
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
