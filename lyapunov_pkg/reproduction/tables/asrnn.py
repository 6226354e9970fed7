"""Tables of chapter 3: eigenvalues and spectra of ASRNNs, and their losses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from lyapunov_pkg.reproduction.populations.coefficients import correlation
from lyapunov_pkg.reproduction.populations.selection import networks_that_count
from lyapunov_pkg.reproduction.records import Shards, Store, table

N_RESAMPLES = 2000  # of the bootstrap
DIFFERENCE_OF_ERRORS = ("difference", "difference_low", "difference_high")
FEATURES = {"spectrum": "spectra", "eigenvalues": "eigenvalues"}


@table(
    stores={
        "prednets": Store(
            "results/aelle/asrnn_eigenvalue_prednets.zarr.zip",
            ("validation_error", "baseline_error", *DIFFERENCE_OF_ERRORS),
        )
    },
    chapter=3,
    caption=(
        "Mean square error, in nats², of PredNets that predict the loss of ASRNNs from eigenvalues and from spectra."
    ),
)
def table_extra_eigenvalues(prednets: xr.Dataset) -> pd.DataFrame:
    """Return the validation errors at the last epoch and at the lowest error, and the excess error of eigenvalues."""
    errors = prednets["validation_error"]
    rows = []
    for summary, found in (("last", errors.isel(prednet_epoch=-1)), ("lowest", errors.min("prednet_epoch"))):
        row: dict[str, Any] = {"error": {"last": "last epoch", "lowest": "lowest of each curve"}[summary]}
        for feature, label in FEATURES.items():
            of_feature = found.sel(feature=feature).values
            row |= {f"from_{label}_mean": of_feature.mean(), f"from_{label}_std": of_feature.std(ddof=1)}
        row |= {name: float(prednets[name].sel(summary=summary)) for name in DIFFERENCE_OF_ERRORS}
        rows.append(row)
    frame = pd.DataFrame(rows)
    baseline = prednets["baseline_error"].values
    frame.attrs["note"] = (
        f"Mean ± standard deviation over {prednets.sizes['seed']} splits of {prednets.attrs['n_networks']} networks, "
        f"and {prednets.attrs['n_diverged']} that diverged and were left out. Difference: the error from eigenvalues "
        "minus that from spectra, with its 95% interval corrected for the overlap of splits (Nadeau & Bengio 2003). "
        f"The mean of the training part has {baseline.mean():.2f} ± {baseline.std(ddof=1):.2f}."
    )
    return frame


@table(
    stores={"spectra": Shards("spectra", "asrnn", ("lyapunov_exponent", "validation_loss", "diverged"))},
    chapter=3,
    caption="Spearman's rank correlation of the first exponent and the loss of ASRNNs, by eps and gamma (figure 3.3).",
)
def table_extra_first_exponent(spectra: xr.Dataset) -> pd.DataFrame:
    """Return a row for each eps and gamma, and one for all networks."""
    networks = spectra.isel(variant=np.flatnonzero(networks_that_count(spectra)))
    first = networks["lyapunov_exponent"].isel(epoch=-1, exponent=0).values
    loss = networks["validation_loss"].isel(epoch=-1).values

    def rows() -> Iterator[dict[str, Any]]:
        eps, gamma = networks["eps"].values, networks["gamma"].values
        levels = [(low, high) for low in np.unique(eps) for high in np.unique(gamma)]
        for eps_level, gamma_level in levels:
            chosen = (eps == eps_level) & (gamma == gamma_level)
            yield {"eps": f"{eps_level:g}", "gamma": f"{gamma_level:g}"} | _coefficient(first[chosen], loss[chosen])
        yield {"eps": "all", "gamma": "all"} | _coefficient(first, loss)

    frame = pd.DataFrame(rows())
    frame.attrs["note"] = (
        "A positive coefficient means that better networks have smaller first exponents, as the dissertation says. "
        "Brackets are 95% confidence intervals of the bootstrap over networks."
    )
    return frame


def _coefficient(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Return Spearman's coefficient with its interval, and the number of networks."""
    found = correlation(x, y, N_RESAMPLES, seed=0)._asdict()
    return {name: found[name] for name in ("spearman", "spearman_low", "spearman_high", "n_used")}
