"""The table of chapter 4: what flips of ranked pixels do to the loss."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from lyapunov_pkg.reproduction.figures.presentation import RANKING_LABELS, in_display_order
from lyapunov_pkg.reproduction.records import Store, table
from lyapunov_pkg.reproduction.tables.dissertation import DISSERTATION_4_1, DISSERTATION_PIXELS

ESTIMATES = ("mean_excess", "standard_error", "p_pooled")
TESTS = ("p_paired", "p_holm", "effect_size", "up_share")


@table(
    stores={
        "flips": Store(
            "results/gradients/flips.zarr.zip", (*ESTIMATES, *TESTS, "up_share_random", "loss_random", "mean_log_r")
        )
    },
    caption=(
        "Rise of the loss by flips of ranked pixels over that by random flips, with one-sided tests: all flipped "
        "images taken as independent, as in the dissertation, and paired by image."
    ),
)
def table_4_1(flips: xr.Dataset) -> pd.DataFrame:
    """Rise of the loss by flips of ranked pixels over that by random flips, with one-sided tests, by ranking and k.

    The dissertation's numbers stand beside those of sequences as long as its own.
    """
    rows = []
    for ranking in in_display_order(flips["ranking"].values, RANKING_LABELS):
        is_printed = ranking == "expansion" and flips.sizes["time"] == DISSERTATION_PIXELS
        for count in flips["n_flips"].values:
            found = flips.sel(ranking=ranking, n_flips=count)
            printed = DISSERTATION_4_1.get(int(count)) if is_printed else None
            row = {"ranking": RANKING_LABELS[ranking], "n_flips": count}
            for name, number in zip(ESTIMATES, printed or (np.nan,) * len(ESTIMATES), strict=True):
                row |= {name: found[name].item(), f"{name}_dissertation": number}
            rows.append(row | {name: found[name].item() for name in TESTS})
    frame = pd.DataFrame(rows).round(4)
    shown = flips.attrs["n_flips_shown"]
    early = 100 * flips.attrs["early_share"]
    sizes, random_share = flips.sizes, flips["up_share_random"].mean().item()
    frame.attrs["note"] = (
        f"{sizes['image']} images of {sizes['time']} pixels, {sizes['draw']} random choices of pixels for each; the "
        f"network's validation accuracy is {flips.attrs['validation_accuracy']:.3f}. Tests are one-sided; Holm's "
        f"correction is for the {sizes['n_flips']} numbers of flips. Mean log R: of the first "
        f"{flips['n_averaged'].values.max()} R values. Up flips: share of flips from 0 to 1, of random "
        f"ones {random_share:.2f}. Of the {shown} pixels of largest R value {early:.0f}% are "
        f"among the first {shown} steps. The dissertation, of {DISSERTATION_PIXELS} pixels, calls its standard errors "
        "variances (docs/differences.md)."
    )
    return frame
