"""Plots of results with matplotlib, which the extra `plot` installs.

Each function takes a result of the library and `ax`, the axes to draw in, and returns the axes. Without `ax` it creates
a new figure with one panel. Axis labels are the long names and units of the results.

If there are several sequences, lines show the mean over them, and bands show one standard deviation to each side.
Values that are not finite (lost directions, diverged trajectories) leave gaps. A mean has a gap if one of its sequences
has one.
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
"""Five colours of Okabe and Ito and a dark brown. Colour-blind readers can tell them apart."""

N_BINS = 45  # bins of histograms of angles, two degrees each
MOST_PAIRS = 10  # pairs of vectors whose histograms remain readable in one panel
LABEL_WIDTH = 40  # characters
OUTER_SHARE = 0.05  # share of the finite-time exponents below the band, and the same above it


def spectrum(result: xr.Dataset | xr.DataArray, ax: Axes | None = None, **line: Any) -> Axes:
    """Draw a Lyapunov spectrum against the index of the exponent, with its spread over sequences.

    Args:
        result: the result of `lyapunov_spectrum`, or a DataArray of exponents. Its dimensions are `exponent`,
            optionally `sequence`, and optionally one more, such as `variant`, with a line for each entry.
        ax: axes to draw in.
        line: arguments of `Axes.plot`, such as `label` and `color`.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the result has no exponents, or too many dimensions.

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
    r"""Draw the estimate of each exponent against time, to show its convergence.

    Args:
        running: the result of `lyapunov_pkg.running_exponents` for one system: (time, exponent), and optionally
            `sequence`.
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
        result: the Dataset of a `SpectrumMonitor`, or exponents (update, exponent) or (epoch, exponent), optionally
            with the dimension `sequence`.
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
    """Draw the median of the finite-time exponents by index, with a band that contains 90% of them.

    Median and band are over time and sequences. The band becomes narrower with longer intervals.

    Args:
        result: the result of `lyapunov_pkg.finite_time_exponents` for one system.
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
        result: the result of `vector_angles`, drawn as a histogram for each pair of different vectors, or of
            `subspace_angles`, drawn as one histogram of all angles. Select vectors or angles before you call this
            function.
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
            f"result: got {len(pairs)} pairs of different vectors, expected 1 to {MOST_PAIRS}; select some, for "
            "example with angles.sel(exponent=[1], other=[2, 3])"
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
    """Return the axes, or those of a new figure. Lines in empty axes get the colours of this module.

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
    """Return a variable of a Dataset, or the given DataArray, which must have the dimension `exponent`."""
    if isinstance(result, xr.Dataset):
        if name not in result:
            raise ValueError(f"result: got a Dataset with {sorted(map(str, result))}, expected one with {name}")
        result = result[name]
    if "exponent" not in result.dims:
        raise ValueError(f"result: got the dimensions {result.dims}, expected `exponent` among them")
    return result


def _other_dimensions(values: xr.DataArray, *known: str) -> list[Any]:
    return [dim for dim in values.dims if dim not in known]


def _exponents_along(dim: str, values: xr.DataArray, name: str, ax: Axes | None) -> Axes:
    """Draw a line for each exponent along a dimension, with colours by index."""
    if not {dim, "exponent"} <= set(values.dims) <= {dim, "exponent", "sequence"}:
        raise ValueError(
            f"{name}: got the dimensions {values.dims}, expected `{dim}`, `exponent` and optionally `sequence`"
        )
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
    """Draw values (dim,) or (sequence, dim): their mean over sequences, with one standard deviation to each side."""
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
    """Return values with NaN, which lines show as gaps, in place of infinite values."""
    return np.where(np.isfinite(values), values, np.nan)


def _positions(values: xr.DataArray, dim: str) -> NDArray:
    """Return the positions of values along a dimension: its coordinate, or 1, 2, and so on."""
    return np.asarray(values[dim].values) if dim in values.coords else np.arange(1, values.sizes[dim] + 1)


def _label(values: xr.DataArray, name: str | None = None) -> str:
    """Return the label of values, or of their coordinate `name`: long name and unit, if known.

    An explanation in brackets is removed from the long name, because the unit follows. Long labels have two lines.
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
    """Return the angles of each pair of different vectors as {name of the pair: angles}, each pair once."""
    first, second = (_positions(result, dim).tolist() for dim in ("exponent", "other"))
    found: dict[frozenset[Any], tuple[str, xr.DataArray]] = {}
    for i, one in enumerate(first):
        for j, other in enumerate(second):
            if one != other:
                found.setdefault(frozenset((one, other)), (f"{one} and {other}", result.isel(exponent=i, other=j)))
    return dict(found.values())
