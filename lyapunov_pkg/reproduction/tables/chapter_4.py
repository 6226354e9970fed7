"""Tables of chapter 4: alignment of Lyapunov vectors with gradients, and the effect of flips on the loss."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from lyapunov_pkg.reproduction.figures.presentation import ALIGNED_LABELS, RANKING_LABELS, in_display_order
from lyapunov_pkg.reproduction.records import Store, table
from lyapunov_pkg.reproduction.tables.dissertation import DISSERTATION_4_1, DISSERTATION_FIGURE_4_1, DISSERTATION_PIXELS

ESTIMATES = ("mean_excess", "standard_error", "p_pooled")
TESTS = ("p_paired", "p_holm", "effect_size")


@table(
    stores={"alignment": Store("results/gradients/alignment.zarr.zip", ("alignment_std", "alignment_std_averaged"))},
    chapter=4,
    caption=(
        "Standard deviation of the alignment of Lyapunov vectors with the first singular vectors of the recurrent "
        "gradient, before and after training, by kind of initial weights and by reading of the text."
    ),
)
def table_extra_alignment(alignment: xr.Dataset) -> pd.DataFrame:
    """Return the standard deviations of figure 4.1 in all readings of the text, and the dissertation's.

    Each is given twice: for all alignments together, and averaged over steps and singular vectors as in the
    dissertation's programs.
    """
    first = alignment.sel(modes="first")
    before, after = first["epoch"].values[[0, -1]]
    rows = []
    for weights in sorted(set(first["weights"].values.tolist())):
        of_weights = first.isel(variant=first["weights"].values == weights)
        for vectors in in_display_order(first["vectors"].values, ALIGNED_LABELS):
            for side in ("right", "left"):
                for group in first["group"].values:
                    found = of_weights.sel(vectors=vectors, side=side, group=group)
                    row = {"weights": weights, "vectors": ALIGNED_LABELS[vectors], "side": side, "group": group}
                    for name, stds in (("", found["alignment_std"]), ("averaged_", found["alignment_std_averaged"])):
                        for moment, epoch in (("before", before), ("after", after)):
                            values = stds.sel(epoch=epoch).values
                            row[f"{name}{moment}_mean"] = values.mean()
                            row[f"{name}{moment}_std"] = values.std(ddof=1) if len(values) > 1 else np.nan
                    is_printed = (vectors, side) == ("dissertation", "right")
                    printed = DISSERTATION_FIGURE_4_1[group] if is_printed else (np.nan, np.nan)
                    rows.append(row | dict(zip(("before_dissertation", "after_dissertation"), printed, strict=True)))
    frame = pd.DataFrame(rows)
    kinds = first["weights"].values.tolist()
    counts = [f"{kinds.count(kind)} from {kind}" for kind in sorted(set(kinds))]
    frame.attrs["note"] = (
        f"First {alignment.attrs['n_modes']} singular vectors, {alignment.attrs['n_vectors']} Lyapunov vectors of "
        f"{alignment.attrs['hidden_size']}; epochs {before} and {after}. Mean ± standard deviation over networks "
        f"({', '.join(counts)} weights). Unrelated frames have {alignment.attrs['null_std']:.3f}. Averaged: the mean "
        "over steps and singular vectors of the standard deviation for each, as in the dissertation's programs. The "
        "dissertation's numbers are for 128 units."
    )
    frame.attrs["decimals"] = 3
    return frame


@table(
    stores={
        "flips": Store(
            "results/gradients/flips.zarr.zip",
            (
                *ESTIMATES,
                *TESTS,
                *("excess", "excess_std", "up_share", "up_share_random", "early_share", "best_accuracy"),
                *("loss_random", "mean_log_r"),
            ),
        )
    },
    caption=(
        "Increase of the loss by flips of ranked pixels over other flips, with one-sided tests. The dissertation's "
        "test uses one network and treats all flipped images as independent. The paired tests use all images and "
        "networks, paired by image."
    ),
)
def table_4_1(flips: xr.Dataset) -> pd.DataFrame:
    """Return the increase of the loss by ranked flips over other flips, with one-sided tests, by ranking and number.

    The dissertation's numbers are included for sequences of its own length.
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
            for comparison in found["comparison"].values:
                of = found.sel(comparison=comparison)
                suffix = "" if comparison == "random" else f"_{comparison}"
                row |= {f"excess{suffix}_mean": of["excess"].item(), f"excess{suffix}_std": of["excess_std"].item()}
                names = TESTS if comparison == "random" else ("p_paired",)
                row |= {f"{name}{suffix}": of[name].item() for name in names}
            rows.append(row | {"up_share": found["up_share"].item()})
    frame = pd.DataFrame(rows)
    frame.attrs["most_decimals"] = 4
    attrs, sizes = flips.attrs, flips.sizes
    shares = [
        f"{100 * share:.0f}% ({RANKING_LABELS[name]})"
        for name, share in zip(flips["ranking"].values, flips["early_share"].values, strict=True)
        if name in ("expansion", "expansion_settled", "transposed", "transposed_settled")
    ]
    accuracies = ", ".join(f"{accuracy:.3f}" for accuracy in np.sort(flips["best_accuracy"].values)[::-1])
    frame.attrs["note"] = (
        f"{sizes['image']} images of {sizes['time']} pixels, {sizes['draw']} random choices of pixels for each; "
        f"{sizes['variant']} networks with validation accuracies {accuracies}. The first three numbers are the "
        f"dissertation's test, for the first {min(attrs['n_images_text'], sizes['image'])} images and the network of "
        "lowest validation loss. The others are for all images, averaged over networks. ± is the standard deviation "
        "over networks. Same steps: compared with the pixels that rank highest in other images. Later: both choices "
        f"exclude the first {attrs['n_early']} steps. Tests are one-sided. Holm's correction is for the "
        f"{sizes['n_flips']} numbers of flips. Warm-up: {attrs['warmup']} steps. Mean log R: of the first "
        f"{flips['n_averaged'].values.max()} R values. Up flips: share of flips from 0 to 1; it is "
        f"{flips['up_share_random'].mean().item():.2f} for random flips. Of the first {attrs['n_flips_shown']} "
        f"pixels of a ranking, {', '.join(shares)} are among the first {attrs['n_flips_shown']} steps. The "
        f"dissertation, of {DISSERTATION_PIXELS} pixels, calls its standard errors variances (docs/differences.md)."
    )
    return frame
