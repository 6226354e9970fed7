"""Tables for every study: correlations of its spectra with performance, and classifiers of spectra."""

from __future__ import annotations

import pandas as pd
import xarray as xr

from lyapunov_pkg.reproduction.records import Store, table
from lyapunov_pkg.reproduction.tables.chapter_2 import correlation_rows, note_on_correlations
from lyapunov_pkg.reproduction.tables.chapter_3 import scores_of_classifiers
from lyapunov_pkg.reproduction.tables.variables import COEFFICIENTS, DIFFERENCE, SCORES


@table(
    stores={"networks": Store("results/populations/{study}.zarr.zip", COEFFICIENTS)},
    caption="Correlation of statistics of the Lyapunov spectrum with performance, with 95% confidence intervals.",
)
def table_study_correlations(networks: xr.Dataset) -> pd.DataFrame:
    """Correlation of every statistic of the spectrum with performance, with 95% confidence intervals."""
    frame = pd.DataFrame(correlation_rows(networks))
    frame.attrs["note"] = note_on_correlations(networks, " among those with spectra")
    return frame


@table(
    stores={"final": Store("results/aelle/{study}_final.zarr.zip", (*SCORES, *DIFFERENCE))},
    caption="Scores on the test networks of classifiers of the trained networks' spectra; thresholds are medians.",
)
def table_study_classifiers(final: xr.Dataset) -> pd.DataFrame:
    """Scores on the test networks of classifiers of the trained networks' spectra; thresholds are medians."""
    return scores_of_classifiers(final)
