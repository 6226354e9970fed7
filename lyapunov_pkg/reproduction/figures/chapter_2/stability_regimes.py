"""A tanh RNN that is stable, marginal or chaotic: figure 2.3."""

from __future__ import annotations

from string import ascii_lowercase

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lyapunov_pkg.plots import zero_line
from lyapunov_pkg.reproduction.figures.panels import EXPONENT_LABEL, legend_below
from lyapunov_pkg.reproduction.figures.style import DOUBLE_WIDTH
from lyapunov_pkg.reproduction.records import Store, figure

# Input x (light) and x' (dark) of the three regimes: blue, grey, green.
REGIME_COLORS = (("#7FB8DA", "#00507D"), ("0.7", "0.25"), ("#7CCDB4", "#006B4E"))


@figure(
    stores={
        "regimes": Store("results/networks/stability_regimes.zarr.zip", ("lyapunov_exponent", "activation", "gain"))
    },
    caption=(
        "A tanh RNN with orthogonal recurrent weights times a gain: (a-c) activations of a unit under two inputs "
        "(light, dark) from ten initial states each, (d) Lyapunov spectra, (e) their first 20 exponents."
    ),
)
def fig_2_3(regimes: xr.Dataset) -> Figure:
    """Draw a tanh RNN in three regimes: activations of a unit, whole spectra, and their first 20 exponents.

    `regimes` is the Dataset of `reproduction.untrained.stability_regimes`; light and dark lines are two realisations of
    the input, each from all initial states.
    """
    shown_steps = 40
    fig = Figure(figsize=(DOUBLE_WIDTH, 4.6), layout="constrained")
    grid = fig.add_gridspec(2, 6)
    spectra = [fig.add_subplot(grid[1, columns]) for columns in (slice(3), slice(3, 6))]
    for index, (name, gain) in enumerate(zip(regimes["regime"].values, regimes["gain"].values, strict=True)):
        regime, colors = regimes.isel(regime=index), REGIME_COLORS[index]
        ax = fig.add_subplot(grid[0, 2 * index : 2 * index + 2], sharey=fig.axes[2] if index else None)
        for color, activation in zip(colors, regime["activation"].values, strict=False):
            ax.plot(regime["time"][:shown_steps], activation[:, :shown_steps].T, color=color, linewidth=0.6)
        largest = float(regime["lyapunov_exponent"].isel(exponent=0).mean())
        sign = f"{largest:+.3f}".replace("-", "−")
        ax.set(title=f"({ascii_lowercase[index]}) gain {gain:g}: λ₁ = {sign}", xlabel="time [steps]")
        if index == 0:
            ax.set_ylabel("activation of a unit")
        _regime_spectra(spectra[0], regime["lyapunov_exponent"], colors, f"{name}, gain {gain:g}")
        _regime_spectra(spectra[1], regime["lyapunov_exponent"].isel(exponent=slice(20)), colors, "")
    for ax in spectra:
        zero_line(ax)
        ax.set(xlabel="index of exponent", ylabel=EXPONENT_LABEL)
    spectra[0].set_title("(d) spectra")
    spectra[1].set_title("(e) the first 20 exponents, ± standard deviation")
    spectra[1].xaxis.set_major_locator(MaxNLocator(integer=True))
    light, dark = REGIME_COLORS[1]
    for color, label in ((light, "first input (light colours)"), (dark, "second input (dark)")):
        spectra[0].plot([], [], color=color, label=label)
    legend_below(fig, spectra, columns=5)
    return fig


def _regime_spectra(ax: Axes, exponents: xr.DataArray, colors: tuple[str, str], label: str) -> None:
    """Draw the mean spectrum of each input over initial states, with a band of the standard deviation over both."""
    index = exponents["exponent"]
    for color, of_input in zip(colors, exponents.mean("initial_state"), strict=False):
        ax.plot(index, of_input, color=color, linewidth=0.9)
    over = ("input", "initial_state")
    mean, spread = exponents.mean(over), exponents.where(np.isfinite(exponents)).std(over)
    ax.errorbar(
        index, mean, spread, color=colors[1], linestyle="none", elinewidth=0.8, marker=".", markersize=2, label=label
    )
