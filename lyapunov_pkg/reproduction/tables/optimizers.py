"""Table of chapter 2: influence of the optimiser on the correlation of spectra with performance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from lyapunov_pkg.reproduction.figures.presentation import ARCHITECTURE_LABELS, OPTIMIZER_LABELS, STATISTIC_LABELS
from lyapunov_pkg.reproduction.records import Store, table

ENDS = ("", "_low", "_high")
COMPARED = tuple(f"{name}{end}" for name in ("spearman", "difference") for end in ENDS)


@table(
    stores={"comparison": Store("results/optimizers/comparison.zarr.zip", (*COMPARED, "n_used", "final_loss"))},
    chapter=2,
    caption=(
        "Spearman's rank correlation of statistics of the spectrum with the loss after the last epoch, for the same "
        "networks trained by several optimisers, and the difference from the first optimiser."
    ),
)
def table_extra_optimizers(comparison: xr.Dataset) -> pd.DataFrame:
    """Return a row for each architecture, statistic and optimiser."""
    reference = OPTIMIZER_LABELS[comparison.attrs["reference"]]
    rows = []
    for architecture in comparison["architecture"].values:
        for statistic in comparison["statistic"].values:
            for optimizer in comparison["optimizer"].values:
                found = comparison.sel(architecture=architecture, statistic=statistic, optimizer=optimizer)
                row: dict[str, Any] = {"architecture": ARCHITECTURE_LABELS[str(architecture)]}
                row |= {"statistic": STATISTIC_LABELS[str(statistic)][0], "optimizer": OPTIMIZER_LABELS[str(optimizer)]}
                row |= {name: float(found[name]) for name in COMPARED}
                if optimizer == comparison.attrs["reference"]:
                    row |= {name: np.nan for name in COMPARED if name.startswith("difference")}
                row |= {"n_used": int(found["n_used"]), "median_loss": float(found["final_loss"].median())}
                rows.append(row)
    frame = pd.DataFrame(rows)
    frame.attrs["note"] = (
        "Brackets are 95% confidence intervals of the bootstrap over networks. Difference: the coefficient minus "
        f"that of {reference}, over networks that diverged with neither optimiser."
    )
    return frame
