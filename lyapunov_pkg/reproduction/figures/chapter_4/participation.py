"""The participation ratio of the recurrent gradient early in training: figure 4.B1."""

from __future__ import annotations

from string import ascii_lowercase

import xarray as xr
from matplotlib.figure import Figure

from lyapunov_pkg.reproduction.figures.panels import legend_below
from lyapunov_pkg.reproduction.figures.style import DOUBLE_WIDTH
from lyapunov_pkg.reproduction.records import Store, figure

KIND_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")


@figure(
    stores={"participation": Store("results/gradients/participation.zarr.zip", ("participation_ratio", "batch_loss"))},
    caption=(
        "Training loss, and participation ratio of the recurrent gradient by step in the first two epochs, for each "
        "kind of initial weights: mean and standard deviation over initial states and networks. The grey line is "
        "the smallest possible ratio for a gradient over so many steps."
    ),
)
def fig_4_b1(participation: xr.Dataset) -> Figure:
    """Draw the training loss of the first epochs, and the participation ratio of the gradient by step at some updates.

    `participation` is the Dataset of `reproduction.gradients.participation`; error bars are the standard deviation
    over initial states and networks.
    """
    moments = participation["update"].values
    n_columns = -(-(len(moments) + 1) // 2)
    fig = Figure(figsize=(DOUBLE_WIDTH, 4), layout="constrained")
    axes = fig.subplots(2, n_columns).flat
    per_epoch = participation.attrs["updates_per_epoch"]
    by_weights = dict(list(participation.groupby("weights")))
    kinds = dict(zip(sorted(by_weights), KIND_COLORS * len(by_weights), strict=False))
    course = axes[0]
    for kind, color in kinds.items():
        loss = by_weights[kind]["batch_loss"]
        course.plot(loss["batch"].values / per_epoch, loss.mean("variant"), color=color, linewidth=0.7)
    for moment in moments:
        course.axvline(moment / per_epoch, color="0.5", linewidth=0.7, linestyle=":")
    course.set(title="(a) training", xlabel="epoch", ylabel="training loss [nats]", ylim=(0, None))
    for ax, letter, moment in zip(axes[1:], ascii_lowercase[1:], moments, strict=False):
        for kind, color in kinds.items():
            of_moment = by_weights[kind]["participation_ratio"].sel(update=moment)
            over = ["variant", "sequence"]
            ax.errorbar(
                participation["time"].values,
                of_moment.mean(over),
                of_moment.std(over),
                color=color,
                marker="o",
                markersize=2.5,
                elinewidth=0.8,
                label=f"{kind} weights",
            )
        ax.plot(participation["time"].values, 1 / participation["time"].values, color="0.6", linewidth=0.7, zorder=0)
        ax.set(title=f"({letter}) epoch {moment / per_epoch:.3g}", xlabel="step", ylim=(0, 1.05))
    for ax in (axes[1], axes[n_columns]):
        ax.set_ylabel("participation ratio")
    for ax in axes[len(moments) + 1 :]:
        ax.remove()
    legend_below(fig, [axes[1]], columns=len(kinds))
    return fig
