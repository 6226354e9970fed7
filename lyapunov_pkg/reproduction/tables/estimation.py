"""Tables of chapter 2: untrained networks, and the effect of the warm-up and T_ON on estimated exponents."""

from __future__ import annotations

from typing import Any

import pandas as pd
import xarray as xr

from lyapunov_pkg.reproduction.records import Store, table

ESTIMATOR = "results/networks/estimator.zarr.zip"


@table(
    stores={"regimes": Store("results/networks/stability_regimes.zarr.zip", ("lyapunov_exponent", "gain"))},
    chapter=2,
    caption="Largest and mean exponent, in nats per step, of the tanh RNN with orthogonal weights times a gain.",
)
def table_extra_regimes(regimes: xr.Dataset) -> pd.DataFrame:
    """Return a row for each gain; ± is the standard deviation over inputs and initial states."""
    exponents = regimes["lyapunov_exponent"]
    rows = []
    for regime in regimes["regime"].values:
        row: dict[str, Any] = {"regime": str(regime), "gain": f"{regimes['gain'].sel(regime=regime).item():g}"}
        of_regime = exponents.sel(regime=regime)
        for name, found in (("largest", of_regime.isel(exponent=0)), ("mean", of_regime.mean("exponent"))):
            of_runs = pd.Series(found.values.ravel())
            row |= {f"{name}_exponent_mean": of_runs.mean(), f"{name}_exponent_std": of_runs.std()}
        rows.append(row)
    frame = pd.DataFrame(rows)
    frame.attrs["note"] = (
        f"{regimes.sizes['exponent']} units, {regimes.sizes['input']} inputs with {regimes.sizes['initial_state']} "
        "initial states each. ± is the standard deviation over these."
    )
    frame.attrs["decimals"] = 3
    return frame


@table(
    stores={"estimator": Store(ESTIMATOR, ("early_change", "early_bias", "lyapunov_exponent_std"))},
    chapter=2,
    caption="Effect of the warm-up on estimates of the exponents of a trained network, in nats per step.",
)
def table_extra_warmup(estimator: xr.Dataset) -> pd.DataFrame:
    """Return a row for each warm-up: change and bias of early estimates, and the spread over sequences by half."""
    half = estimator.sizes["exponent"] // 2
    rows = []
    for warmup in estimator["warmup"].values:
        found = estimator.sel(warmup=warmup)
        spread = found["lyapunov_exponent_std"].values
        row: dict[str, Any] = {"warmup": int(warmup), "early_change": found["early_change"].item()}
        row |= {"early_bias": found["early_bias"].item()}
        rows.append(row | {"spread_in_first_half": spread[:half].mean(), "spread_in_second_half": spread[half:].mean()})
    frame = pd.DataFrame(rows)
    frame.attrs["note"] = (
        f"For the network of p = {estimator.attrs['init_param']:g} with {estimator.attrs['hidden_size']} units after "
        f"epoch {estimator.attrs['epoch']}. Change: mean absolute difference of the estimates in the first "
        f"{estimator.attrs['early_steps']} steps from the last ones. Bias: from those of the longest warm-up at the "
        f"same steps. Spread: standard deviation over {estimator.attrs['n_sequences']} sequences, mean over "
        "exponents."
    )
    return frame
