"""Savings of early stopping of networks, by AeLLE and by other criteria: an extra figure."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from lyapunov_pkg.reproduction.figures.panels import legend_below
from lyapunov_pkg.reproduction.figures.presentation import CRITERION_LABELS, in_display_order
from lyapunov_pkg.reproduction.figures.style import DOUBLE_WIDTH, HIGH_ERROR_COLOR, LOW_ERROR_COLOR
from lyapunov_pkg.reproduction.records import Store, figure

CRITERION_LOOKS = {
    "aelle": (LOW_ERROR_COLOR, "o"),
    "architecture": ("#009E73", "v"),
    "loss_at_epoch": (HIGH_ERROR_COLOR, "D"),
    "random": ("black", "x"),
}


@figure(
    stores={
        "pruning": Store(
            "results/aelle/smnist_pruning.zarr.zip",
            ("best_loss", "budget", "complete_loss", "complete_budget", "saved", "saved_in_all"),
        )
    },
    chapter=3,
    caption=(
        "Successive halving of networks after 0, 1 and 2 epochs by AeLLE's prediction, by architecture, by the "
        "present loss and by chance. (a) Final loss of the best survivor against the total training, compared with "
        "full training of networks. (b) Total training, relative to full training for the same loss."
    ),
)
def fig_extra_pruning(pruning: xr.Dataset) -> Figure:
    """Draw the final loss of the best survivor against the total training, compared with full training.

    `pruning` is the Dataset of `reproduction.prediction.pruning`. Bands and bars are standard deviations over seeds.
    """
    fig = Figure(figsize=(DOUBLE_WIDTH, 3.0), layout="constrained")
    losses, spent = fig.subplots(1, 2)
    shown = pruning["complete_budget"] <= 1.5 * pruning["budget"].max()
    complete = pruning["complete_loss"].isel(n_complete=np.flatnonzero(shown))
    budget, mean, deviation = pruning["complete_budget"].values[shown], *_over_seeds(complete)
    losses.plot(budget, mean, color="0.4", label="full training of all networks")
    losses.fill_between(budget, mean - deviation, mean + deviation, color="0.4", alpha=0.2, linewidth=0)
    for name in in_display_order(pruning["criterion"].values, CRITERION_LABELS):
        of_name, (color, marker) = pruning.sel(criterion=name), CRITERION_LOOKS[name]
        look = {"color": color, "marker": marker, "capsize": 2, "label": f"halving by {CRITERION_LABELS[name]}"}
        losses.errorbar(pruning["budget"], *_over_seeds(of_name["best_loss"]), **look)
        spent.errorbar(pruning["pool_size"], *_over_seeds(1 - of_name["saved"] / 100), **look)
    look |= {"color": CRITERION_LOOKS["aelle"][0], "marker": "s", "linestyle": "--"}
    look["label"] = "halving by AeLLE, including its training networks"
    in_all = 1 - pruning["saved_in_all"].sel(criterion="aelle") / 100
    spent.errorbar(pruning["pool_size"], *_over_seeds(in_all), **look)
    losses.set(xlabel="total training [epochs]", ylabel="final loss of the best network [nats]")
    losses.set_title(f"(a) pools of {', '.join(map(str, pruning['pool_size'].values))} networks")
    spent.axhline(1, color="0.6", linewidth=0.6, zorder=0)
    spent.set(xlabel="networks in the pool", ylabel="training relative to full training", xscale="log", yscale="log")
    spent.set_xticks(pruning["pool_size"].values, labels=pruning["pool_size"].values, minor=False)
    spent.set_xticks([], minor=True)
    spent.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    spent.set_title("(b) training for the same loss")
    legend_below(fig, (losses, spent), columns=3)
    return fig


def _over_seeds(values: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation over seeds; the latter is 0 for one seed."""
    return values.mean("seed").values, values.std("seed", ddof=min(1, values.sizes["seed"] - 1)).values
