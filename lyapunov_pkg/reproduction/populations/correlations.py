"""Which statistic of the spectrum goes with performance, over the networks of a study (chapter 2, figs 2.7-2.8, B)."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.stats import bootstrap, pearsonr, rankdata

from lyapunov_pkg.labels import describe
from lyapunov_pkg.reproduction.populations.evolution import networks_with_spectra
from lyapunov_pkg.spectra.statistics import (
    exponent_variance,
    final_slope,
    initial_slope,
    kaplan_yorke_dimension,
    maximum_exponent,
    mean_exponent,
    number_above_zero,
    number_near_zero,
)

CONFIDENCE = 0.95
PERFORMANCES = ("validation_loss", "validation_accuracy")
FEWEST = 4  # networks; the interval of Pearson's coefficient needs them


def spectrum_statistics(exponents: ArrayLike, near_zero: float) -> dict[str, NDArray]:
    """All statistics of `lyapunov_pkg.spectra.statistics` by name, each (...), of spectra (..., exponent).

    `near_zero` is how far from zero, in nats per step, an exponent may be to count as near it.
    """
    statistics = {
        "maximum_exponent": maximum_exponent,
        "mean_exponent": mean_exponent,
        "exponent_variance": exponent_variance,
        "number_near_zero": partial(number_near_zero, tolerance=near_zero),
        "number_above_zero": number_above_zero,
        "kaplan_yorke_dimension": kaplan_yorke_dimension,
        "initial_slope": initial_slope,
        "final_slope": final_slope,
    }
    return {name: statistic(exponents) for name, statistic in statistics.items()}


class Correlation(NamedTuple):
    """Correlation coefficients with the ends of their confidence intervals, and of how many networks."""

    pearson: float
    pearson_low: float
    pearson_high: float
    spearman: float
    spearman_low: float
    spearman_high: float
    n_used: int


def correlation(x: ArrayLike, y: ArrayLike, n_resamples: int, seed: int) -> Correlation:
    """Pearson's and Spearman's correlation of two quantities, with 95% confidence intervals.

    That of Pearson's is by Fisher's transformation, that of Spearman's by percentiles of the bootstrap over networks. A
    resample in which one of the quantities is constant counts as uncorrelated.

    Args:
        x: (n,).
        y: (n,). Pairs that are not both finite are left out.
        n_resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        The coefficients, NaN where fewer than four pairs are left or one of the quantities is constant.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = x[finite], y[finite]
    if len(x) < FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Correlation(*[np.nan] * 6, n_used=len(x))
    pearson = pearsonr(x, y)
    spearman = bootstrap(
        (x, y),
        spearman_coefficient,
        paired=True,
        n_resamples=n_resamples,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return Correlation(
        pearson.statistic,
        *pearson.confidence_interval(CONFIDENCE),
        float(spearman_coefficient(x, y)),
        *spearman.confidence_interval,
        n_used=len(x),
    )


def spearman_coefficient(x: NDArray, y: NDArray, axis: int = -1) -> NDArray:
    """Spearman's rank correlation of x and y (..., n) along the last axis: (...); 0 where one of them is constant."""
    ranks = [rankdata(values, axis=axis) for values in (x, y)]
    first, second = (rank - rank.mean(axis=axis, keepdims=True) for rank in ranks)
    norm = np.sqrt((first**2).sum(axis=axis) * (second**2).sum(axis=axis))
    return np.divide((first * second).sum(axis=axis), norm, out=np.zeros_like(norm), where=norm > 0)


def spanning(values: ArrayLike, count: int) -> NDArray:
    """Positions of up to `count` values that span the range of `values` (n,): at evenly spaced ranks, ends included."""
    order = np.argsort(np.asarray(values), kind="stable")
    ranks = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return order[ranks]


def performance_correlations(
    spectra: xr.Dataset,
    highlighted_by: str,
    n_highlighted: int,
    near_zero: float,
    exponent_floor: float,
    n_resamples: int,
    seed: int,
) -> xr.Dataset:
    """Correlate every statistic of the spectrum with performance, both at the epoch of lowest validation loss.

    Networks are highlighted at evenly spaced ranks of one statistic, from its smallest to its largest value, so that
    they span the range of shapes; the dissertation chose its six by eye.

    Args:
        spectra: of a study, with `lyapunov_exponent(variant, epoch, exponent)`, `validation_loss(variant, epoch)`,
            `validation_accuracy` where the task has one, `best_epoch(variant)` and `diverged(variant)`.
        highlighted_by: name of the statistic.
        n_highlighted: how many networks.
        near_zero: how far from zero, in nats per step, an exponent may be to count as near it.
        exponent_floor: exponents below it count as it in the statistics; a singular Jacobian's -inf has no mean.
        n_resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        Dataset over `network`, see `networks_with_spectra`: `spectrum_statistic(network, epoch, statistic)` beside loss
        and accuracy of every epoch, `best_epoch` and, at that, `lyapunov_exponent(network, exponent)`; positions
        `highlighted_network(highlight)`; and the fields of `Correlation` along `pair`, of one `quantity` with one
        `performance`.

    Raises:
        ValueError: an unknown statistic, no spectra at the best epoch of some network, or all networks diverged.
    """
    networks = networks_with_spectra(spectra)
    exponents = networks["lyapunov_exponent"].transpose("network", "epoch", "exponent").clip(min=exponent_floor)
    statistics = spectrum_statistics(exponents, near_zero)
    if highlighted_by not in statistics:
        raise ValueError(f"statistic {highlighted_by!r} is unknown; expected one of {', '.join(statistics)}")
    lacking = np.setdiff1d(networks["best_epoch"], networks["epoch"])
    if lacking.size:
        raise ValueError(
            f"spectra are those of epochs {networks['epoch'].values.tolist()}; expected epoch {lacking[0]} among them, "
            "the one of lowest validation loss of some network"
        )
    performances = [name for name in PERFORMANCES if name in networks]
    result = networks[[*performances, "best_epoch"]].copy()
    result["spectrum_statistic"] = (("network", "epoch", "statistic"), np.stack(list(statistics.values()), axis=-1))
    result = result.assign_coords(statistic=list(statistics))
    at_best = result.sel(epoch=result["best_epoch"])
    result["lyapunov_exponent"] = networks["lyapunov_exponent"].sel(epoch=networks["best_epoch"]).drop_vars("epoch")
    chosen = spanning(at_best["spectrum_statistic"].sel(statistic=highlighted_by), n_highlighted)
    result["highlighted_network"] = ("highlight", chosen)
    quantities = {name: at_best["spectrum_statistic"].sel(statistic=name) for name in statistics}
    pairs = [(name, performance) for performance in performances for name in statistics]
    if len(performances) == 2:  # how well one stands for the other
        quantities["validation_accuracy"] = at_best["validation_accuracy"]
        pairs.append(("validation_accuracy", "validation_loss"))
    found = [correlation(quantities[name], at_best[performance], n_resamples, seed) for name, performance in pairs]
    for field, values in zip(Correlation._fields, zip(*found, strict=True), strict=True):
        result[field] = ("pair", np.array(values))
    result = result.assign_coords(
        quantity=("pair", [name for name, _ in pairs]), performance=("pair", [name for _, name in pairs])
    )
    result.attrs |= {"highlighted_by": highlighted_by, "near_zero": near_zero, "exponent_floor": exponent_floor}
    return describe(result, DESCRIPTIONS)


DESCRIPTIONS = {
    "spectrum_statistic": ("1", "statistic of the spectrum, in nats, steps and counts as its name says"),
    "statistic": ("1", "name of the statistic"),
    "lyapunov_exponent": ("nat/step", "Lyapunov exponent at the epoch of lowest validation loss"),
    "highlighted_network": ("1", "position of a network that spans the range of spectra, with others"),
    "pearson": ("1", "Pearson's correlation coefficient"),
    "pearson_low": ("1", "lower end of its 95% confidence interval"),
    "pearson_high": ("1", "upper end of its 95% confidence interval"),
    "spearman": ("1", "Spearman's rank correlation coefficient"),
    "spearman_low": ("1", "lower end of its 95% confidence interval"),
    "spearman_high": ("1", "upper end of its 95% confidence interval"),
    "n_used": ("1", "networks of which both quantities are finite"),
    "quantity": ("1", "what is correlated"),
    "performance": ("1", "with what it is correlated"),
}
