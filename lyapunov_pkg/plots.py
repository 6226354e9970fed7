"""Plots of results with matplotlib, which the extra `plot` installs.

Every function takes what a function of the library returned and `ax`, the axes to draw in. Without `ax` it makes a new
figure with one panel. It returns the axes. Axes are labelled with the long names and units that the results hold.

Where there are several sequences, lines are means over them, and bands are one standard deviation to each side. Values
that are not finite (lost directions, diverged trajectories) leave gaps. A mean over
sequences has a gap where one of them has.
"""

from __future__ import annotations

from itertools import cycle
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["angles", "finite_time_exponents", "over_training", "running_exponents", "spectrum"]

COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#6B3E1E")
"""Five of Okabe and Ito and a dark brown, which can be told apart without seeing all colours."""

N_BINS = 45  # of histograms of angles, two degrees each
MOST_PAIRS = 10  # of vectors, of which the angles can be told apart in one panel
LABEL_WIDTH = 40  # characters
OUTER_SHARE = 0.05  # of the finite-time exponents lies below the band, and as much above


def spectrum(result: xr.Dataset | xr.DataArray, ax: Axes | None = None, **line: Any) -> Axes:
    """Draw a Lyapunov spectrum against the index of the exponent, with its spread over sequences.

    Args:
        result: of `lyapunov_spectrum`, or a DataArray of exponents with the dimension `exponent`, perhaps `sequence`,
            and perhaps one more, such as `variant`, of which each entry is a line.
        ax: axes to draw in.
        line: arguments of `Axes.plot`, such as `label` and `color`.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the result has no exponents, or more dimensions.

    Example:
        >>> import torch
        >>> from lyapunov_pkg import lyapunov_spectrum, plots
        >>> result = lyapunov_spectrum(torch.nn.GRU(3, 8), torch.randn(100, 5, 3))
        >>> ax = plots.spectrum(result, label="GRU")
        >>> ax.get_ylabel()
        'Lyapunov exponent [nat/step]'
    """
    exponents = _variable(result, "lyapunov_exponent")
    others = _other_dimensions(exponents, "exponent", "sequence")
    if len(others) > 1:
        raise ValueError(f"result: got the dimensions {exponents.dims}, expected at most one other")
    ax = _axes(ax)
    for entry in range(exponents.sizes[others[0]]) if others else ():
        of_entry = exponents.isel({others[0]: entry})
        _line_with_spread(ax, of_entry, "exponent", **({"label": _entry_label(of_entry, others[0], entry)} | line))
    if not others:
        _line_with_spread(ax, exponents, "exponent", **line)
    _label_index(ax, exponents)
    return ax


def running_exponents(running: xr.DataArray, ax: Axes | None = None) -> Axes:
    r"""Draw how the estimate of each exponent converges with time.

    Args:
        running: of `lyapunov_pkg.running_exponents`, of one system: (time, exponent), and perhaps `sequence`.
        ax: axes to draw in.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the DataArray has other dimensions.

    Example:
        >>> from lyapunov_pkg import finite_time_exponents, plots, running_exponents
        >>> from lyapunov_pkg.systems import Henon
        >>> ax = plots.running_exponents(running_exponents(finite_time_exponents(Henon(), n_steps=200)))
        >>> ax.get_xlabel()
        'steps of the inputs taken at the end of\nthe interval [step]'
    """
    return _exponents_along("time", running, "running", ax)


def over_training(result: xr.Dataset | xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw each exponent against the update of the weights, or against the epoch.

    Args:
        result: the Dataset of a `SpectrumMonitor`, or exponents (update, exponent) or (epoch, exponent), and perhaps
            `sequence`.
        ax: axes to draw in.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the result has no exponents, or other dimensions.

    Example:
        >>> from lyapunov_pkg import plots
        >>> exponents = xr.DataArray([[0.1, -0.4], [0.0, -0.2]], dims=("epoch", "exponent"), coords={"epoch": [0, 5]})
        >>> plots.over_training(exponents).get_xlabel()
        'epoch'
    """
    exponents = _variable(result, "lyapunov_exponent")
    return _exponents_along("epoch" if "epoch" in exponents.dims else "update", exponents, "result", ax)


def finite_time_exponents(result: xr.Dataset | xr.DataArray, ax: Axes | None = None, **line: Any) -> Axes:
    """Draw the median of the finite-time exponents by index, and the band in which 90% of them lie.

    Median and band are over time and sequences. The band narrows as intervals get longer.

    Args:
        result: of `lyapunov_pkg.finite_time_exponents`, of one system.
        ax: axes to draw in.
        line: arguments of `Axes.plot`, such as `label` and `color`.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the result has no finite-time exponents.

    Example:
        >>> from lyapunov_pkg import finite_time_exponents, plots
        >>> from lyapunov_pkg.systems import Henon
        >>> ax = plots.finite_time_exponents(finite_time_exponents(Henon(), n_steps=200))
        >>> [len(line.get_xdata()) for line in ax.lines[:1]]
        [2]
    """
    exponents = _variable(result, "finite_time_exponent")
    _other_dimensions(exponents, "exponent")
    ax = _axes(ax)
    values = exponents.transpose(..., "exponent").values.reshape(-1, exponents.sizes["exponent"])
    low, middle, high = (
        np.quantile(values, share, axis=0, method="inverted_cdf") for share in (OUTER_SHARE, 0.5, 1 - OUTER_SHARE)
    )
    _line_and_band(ax, _positions(exponents, "exponent"), middle, low, high, **line)
    _label_index(ax, exponents)
    return ax


def angles(result: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Draw histograms of angles between vectors or subspaces over time and sequences.

    Args:
        result: of `vector_angles`, with a histogram for each pair of different vectors; or of `subspace_angles`, with
            one of all angles. Select the vectors, or the angle, to be drawn beforehand.
        ax: axes to draw in.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: there are more than 10 pairs, or none.

    Example:
        >>> from lyapunov_pkg import covariant_vectors, plots, vector_angles
        >>> from lyapunov_pkg.systems import Henon
        >>> vectors = covariant_vectors(Henon(), n_steps=500)["covariant_vector"]
        >>> ax = plots.angles(vector_angles(vectors))
        >>> ax.get_legend_handles_labels()[1]
        ['1 and 2']
    """
    pairs = _pairs(result) if {"exponent", "other"} <= set(result.dims) else {"": result}
    if not 1 <= len(pairs) <= MOST_PAIRS:
        raise ValueError(
            f"result: got {len(pairs)} pairs of different vectors, expected 1 to {MOST_PAIRS}; select some, such as "
            "angles.sel(exponent=[1], other=[2, 3])"
        )
    ax = _axes(ax)
    bins = np.linspace(0, np.pi / 2, N_BINS + 1)
    for (name, of_pair), color in zip(pairs.items(), cycle(COLORS), strict=False):
        values = of_pair.values.ravel()
        look: dict[str, Any] = {"histtype": "step", "density": True, "color": color, "label": name or None}
        ax.hist(values[np.isfinite(values)], bins=bins.tolist(), **look)
    ax.set(xlabel=_label(result, "angle"), ylabel="probability density [1/rad]", xlim=(0, np.pi / 2))
    if any(pairs):
        ax.legend(title="vectors")
    return ax


def zero_line(ax: Axes) -> None:
    """Draw a thin grey line at zero."""
    ax.axhline(0, color="0.6", linewidth=0.6, zorder=0)


def _axes(ax: Axes | None) -> Axes:
    """Return the axes, or those of a new figure. Lines in axes that are empty so far take the colours of this module.

    Raises:
        ImportError: matplotlib is not installed.
    """
    if ax is None:
        try:
            import matplotlib.pyplot as plt
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] != "matplotlib":
                raise
            raise ImportError('lyapunov_pkg.plots needs matplotlib: pip install "lyapunov-pkg[plot]"') from error
        ax = plt.subplots(layout="constrained")[1]
    if not ax.has_data():
        ax.set_prop_cycle(color=COLORS)
    return ax


def _variable(result: xr.Dataset | xr.DataArray, name: str) -> xr.DataArray:
    """Return a variable of a Dataset, or the DataArray that was given, which has the dimension `exponent`."""
    if isinstance(result, xr.Dataset):
        if name not in result:
            raise ValueError(f"result: got a Dataset of {sorted(map(str, result))}, expected one with {name}")
        result = result[name]
    if "exponent" not in result.dims:
        raise ValueError(f"result: got the dimensions {result.dims}, expected `exponent` among them")
    return result


def _other_dimensions(values: xr.DataArray, *known: str) -> list[Any]:
    return [dim for dim in values.dims if dim not in known]


def _exponents_along(dim: str, values: xr.DataArray, name: str, ax: Axes | None) -> Axes:
    """Draw a line for each exponent along a dimension, coloured by its index."""
    if not {dim, "exponent"} <= set(values.dims) <= {dim, "exponent", "sequence"}:
        raise ValueError(f"{name}: got the dimensions {values.dims}, expected `{dim}`, `exponent`, perhaps `sequence`")
    ax = _axes(ax)
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    index = _positions(values, "exponent")
    colors = ListedColormap(colormaps["viridis"](np.linspace(0, 0.9, 256)))
    scale = ScalarMappable(Normalize(index.min(), index.max()), colors)
    for number in range(len(index)):
        _line_with_spread(ax, values.isel(exponent=number), dim, color=scale.to_rgba(index[number]))
    zero_line(ax)
    ax.set(xlabel=_label(values, dim), ylabel=_label(values))
    if len(index) > 1:
        ax.figure.colorbar(scale, ax=ax, label="index of the exponent").locator = _whole_numbers()
    return ax


def _line_with_spread(ax: Axes, values: xr.DataArray, dim: str, **line: Any) -> None:
    """Draw values (dim,) or (sequence, dim): their mean over sequences, and a standard deviation to each side."""
    x = _positions(values, dim)
    if "sequence" not in values.dims or values.sizes["sequence"] == 1:
        of_dim = values.isel(sequence=0) if "sequence" in values.dims else values
        ax.plot(x, _finite(of_dim.values), **line)
        return
    by_sequence = _finite(values.transpose("sequence", dim).values.astype(np.float64))
    mean, deviation = by_sequence.mean(axis=0), by_sequence.std(axis=0, ddof=1)
    _line_and_band(ax, x, mean, mean - deviation, mean + deviation, **line)


def _line_and_band(ax: Axes, x: NDArray, middle: NDArray, low: NDArray, high: NDArray, **line: Any) -> None:
    (drawn,) = ax.plot(x, _finite(middle), **line)
    ax.fill_between(x, _finite(low), _finite(high), color=drawn.get_color(), alpha=0.25, linewidth=0)


def _finite(values: NDArray) -> NDArray:
    """Return values with NaN, at which lines have gaps, in place of infinite ones."""
    return np.where(np.isfinite(values), values, np.nan)


def _positions(values: xr.DataArray, dim: str) -> NDArray:
    """Return where values stand along a dimension: its coordinate, or from 1."""
    return np.asarray(values[dim].values) if dim in values.coords else np.arange(1, values.sizes[dim] + 1)


def _label(values: xr.DataArray, name: str | None = None) -> str:
    """Return the label of values, or of their coordinate `name`: long name and unit, where they are known.

    An explanation in brackets is left out, because the unit is there. Long labels have two lines.
    """
    described = values if name is None or name not in values.coords else values[name]
    fallback = str(values.name or "") if name is None else name
    long_name = str(described.attrs.get("long_name", fallback)).partition(" (")[0]
    units = described.attrs.get("units", "1")
    return fill(long_name if units == "1" else f"{long_name} [{units}]", LABEL_WIDTH)


def _entry_label(of_entry: xr.DataArray, dim: str, entry: int) -> str:
    return f"{dim} {of_entry[dim].item() if dim in of_entry.coords else entry}"


def _label_index(ax: Axes, exponents: xr.DataArray) -> None:
    """Label a panel of exponents by index."""
    zero_line(ax)
    ax.set(xlabel="index of the exponent", ylabel=_label(exponents))
    ax.xaxis.set_major_locator(_whole_numbers())


def _whole_numbers() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=6, integer=True)


def _pairs(result: xr.DataArray) -> dict[str, xr.DataArray]:
    """Return the angles of each pair of different vectors, by its name, each pair once."""
    first, second = (_positions(result, dim).tolist() for dim in ("exponent", "other"))
    found: dict[frozenset[Any], tuple[str, xr.DataArray]] = {}
    for i, one in enumerate(first):
        for j, other in enumerate(second):
            if one != other:
                found.setdefault(frozenset((one, other)), (f"{one} and {other}", result.isel(exponent=i, other=j)))
    return dict(found.values())
