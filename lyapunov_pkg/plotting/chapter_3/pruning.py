"""What is saved by stopping networks early, by AeLLE and by other criteria: an extra figure."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.figure import Figure

from lyapunov_pkg.plotting.panels import legend_below
from lyapunov_pkg.plotting.presentation import CRITERION_LABELS, in_display_order
from lyapunov_pkg.plotting.style import DOUBLE_WIDTH, HIGH_ERROR_COLOR, LOW_ERROR_COLOR, PAPER_STYLE

CRITERION_LOOKS = {
    "aelle": (LOW_ERROR_COLOR, "o"),
    "architecture": ("#009E73", "v"),
    "loss_at_epoch": (HIGH_ERROR_COLOR, "D"),
    "random": ("black", "x"),
}
LOSS_UNIT = "nats"


@rc_context(PAPER_STYLE)
def fig_extra_pruning(pruning: xr.Dataset) -> Figure:
    """Final loss of the best survivor of halving against the training spent, and what is saved for the same loss.

    `pruning` is the Dataset of `lyapunov_pkg.aelle.pruning`. Bands and bars are standard deviations over seeds.
    """
    fig = Figure(figsize=(DOUBLE_WIDTH, 3.0), layout="constrained")
    losses, saved = fig.subplots(1, 2)
    shown = pruning["complete_budget"] <= 1.5 * pruning["budget"].max()
    complete = pruning["complete_loss"].isel(n_complete=np.flatnonzero(shown))
    budget, mean, deviation = pruning["complete_budget"].values[shown], *_over_seeds(complete)
    losses.plot(budget, mean, color="0.4", label="none is stopped")
    losses.fill_between(budget, mean - deviation, mean + deviation, color="0.4", alpha=0.2, linewidth=0)
    for name in in_display_order(pruning["criterion"].values, CRITERION_LABELS):
        of_name, (color, marker) = pruning.sel(criterion=name), CRITERION_LOOKS[name]
        look = {"color": color, "marker": marker, "capsize": 2, "label": f"halving by {CRITERION_LABELS[name]}"}
        losses.errorbar(pruning["budget"], *_over_seeds(of_name["best_loss"]), **look)
        saved.errorbar(pruning["pool_size"], *_over_seeds(of_name["saved"]), **look)
    look |= {"color": CRITERION_LOOKS["aelle"][0], "marker": "s", "linestyle": "--"}
    look["label"] = "by AeLLE, with the networks that it learns from"
    saved.errorbar(pruning["pool_size"], *_over_seeds(pruning["saved_in_all"].sel(criterion="aelle")), **look)
    losses.set(xlabel="training of all networks [epochs]", ylabel=f"final loss of the best [{LOSS_UNIT}]")
    losses.set_title(f"(a) pools of {', '.join(map(str, pruning['pool_size'].values))} networks")
    saved.axhline(0, color="0.6", linewidth=0.6, zorder=0)
    saved.set(xlabel="networks in the pool", ylabel="training saved for the same loss [%]", xscale="log")
    saved.set_xticks(pruning["pool_size"].values, labels=pruning["pool_size"].values, minor=False)
    saved.set_xticks([], minor=True)
    saved.set_title("(b) against stopping none")
    legend_below(fig, (losses, saved), columns=3)
    return fig


def _over_seeds(values: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over seeds; of one seed, 0."""
    return values.mean("seed").values, values.std("seed", ddof=min(1, values.sizes["seed"] - 1)).values
