"""Table of chapter 4: the participation ratio of the recurrent gradient."""

from __future__ import annotations

from typing import Any

import pandas as pd
import xarray as xr

from lyapunov_pkg.reproduction.records import Store, table

N_STEPS = 7  # number of shown steps, distributed over the sequence


@table(
    stores={"participation": Store("results/gradients/participation.zarr.zip", ("participation_ratio",))},
    chapter=4,
    caption="Participation ratio of the recurrent gradient by step and number of updates: the numbers of figure 4.B1.",
)
def table_extra_participation(participation: xr.Dataset) -> pd.DataFrame:
    """Return a row for each kind of initial weights and number of updates, with means over initial states."""
    times = participation["time"].values
    shown = [times[round(position * (len(times) - 1) / (N_STEPS - 1))] for position in range(N_STEPS)]
    ratios = participation["participation_ratio"].mean("sequence")
    rows = []
    for weights, of_weights in ratios.groupby("weights"):
        for update in ratios["update"].values:
            row: dict[str, Any] = {
                "weights": weights,
                "epoch": f"{update / participation.attrs['updates_per_epoch']:.3g}",
            }
            for time in dict.fromkeys(shown):
                of_networks = pd.Series(of_weights.sel(update=update, time=time).values)
                row |= {f"step_{time}_mean": of_networks.mean(), f"step_{time}_std": of_networks.std()}
            rows.append(row)
    frame = pd.DataFrame(rows)
    kinds = participation["weights"].values.tolist()
    counts = [f"{kinds.count(kind)} from {kind}" for kind in sorted(set(kinds))]
    frame.attrs["note"] = (
        f"Mean ± standard deviation over networks ({', '.join(counts)} weights) of the mean over "
        f"{participation.sizes['sequence']} initial states. After t steps the ratio is at least 1/t."
    )
    return frame
