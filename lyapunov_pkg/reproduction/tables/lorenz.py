"""Table of chapter 1: exponents of the Lorenz system."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from lyapunov_pkg.reproduction.records import Store, table

READINGS = {
    "short_run_exponent": "T_init in time units",
    "steps_run_exponent": "T_init in steps",
    "long_run_exponent": "converged",
    "fixed_point_exponent": "eigenvalues at the fixed point",
}


@table(
    stores={
        "lorenz": Store("results/systems/lorenz.zarr.zip", (*READINGS, "long_run_standard_error")),
    },
    chapter=1,
    caption=(
        "Lyapunov exponents of the Lorenz system in nats per time unit: in both readings of the text's short run, "
        "converged, and the real parts of the eigenvalues at the fixed point where it is stable."
    ),
)
def table_extra_lorenz(lorenz: xr.Dataset) -> pd.DataFrame:
    """Return a row for each rho and each kind of estimate. ± is the standard deviation over runs."""
    rows = []
    for rho in lorenz["rho"].values:
        for name, label in READINGS.items():
            found = lorenz[name].sel(rho=rho)
            runs = found.values.reshape(-1, found.sizes["exponent"])
            if np.isnan(runs).any():
                continue
            row: dict[str, Any] = {"rho": f"{rho:g}", "found": label}
            for number, exponents in enumerate(runs.T, start=1):
                row |= {f"exponent_{number}_mean": exponents.mean()}
                row |= {f"exponent_{number}_std": exponents.std(ddof=1) if len(runs) > 1 else np.nan}
            sums = runs.sum(axis=1)
            row |= {"smallest_sum": sums.min(), "largest_sum": sums.max()}
            positive = f"{(runs[:, 0] > 0).sum()} of {len(runs)}" if len(runs) > 1 else "–"
            rows.append(row | {"runs_with_a_positive_exponent": positive})
    frame = pd.DataFrame(rows)
    errors = lorenz["long_run_standard_error"].max().item()
    frame.attrs["note"] = (
        f"T_init in time units: a transient of {lorenz.attrs['transient']:g} and {lorenz.attrs['duration']:g} time "
        f"units measured, one run. T_init in steps: a transient of {lorenz.attrs['steps_run_transient']} steps and "
        f"{lorenz.attrs['steps_run_measured']} steps measured. Converged: mean over {lorenz.attrs['n_trajectories']} "
        f"trajectories of {lorenz.attrs['long_run_duration']:g} time units, with standard errors of at most "
        f"{errors:.1g}."
    )
    frame.attrs["decimals"] = 3
    return frame
