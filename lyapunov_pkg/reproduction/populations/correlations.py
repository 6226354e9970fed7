"""Correlation of statistics of spectra with performance, over the networks of a study (figs 2.7, 2.8, 2.b)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from lyapunov_pkg.labels import LYAPUNOV_EXPONENT, Label, describe
from lyapunov_pkg.reproduction.populations.coefficients import (
    Correlation,
    PartialCorrelation,
    correlation,
    partial_correlation,
)
from lyapunov_pkg.reproduction.populations.selection import networks_with_spectra, spectrum_lengths
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

PERFORMANCES = ("validation_loss", "validation_accuracy")
EARLY = "early_"
"""Prefix of the names of coefficients of spectra at given epochs."""
COEFFICIENTS = (*Correlation._fields, *PartialCorrelation._fields)
DESCRIPTIONS = {
    "spectrum_statistic": Label("1", "statistic of the spectrum, in nats, steps and counts as its name says"),
    "statistic": Label("1", "name of the statistic"),
    "lyapunov_exponent": LYAPUNOV_EXPONENT.of("at the epoch of lowest validation loss"),
    "highlighted_network": Label("1", "position of a network that spans the range of spectra, with others"),
    "pearson": Label("1", "Pearson's correlation coefficient"),
    "pearson_low": Label("1", "lower end of its 95% confidence interval"),
    "pearson_high": Label("1", "upper end of its 95% confidence interval"),
    "spearman": Label("1", "Spearman's rank correlation coefficient"),
    "spearman_low": Label("1", "lower end of its 95% confidence interval"),
    "spearman_high": Label("1", "upper end of its 95% confidence interval"),
    "partial_pearson": Label("1", "Pearson's partial correlation coefficient, given the hyperparameters in `given`"),
    "partial_pearson_low": Label("1", "lower end of its 95% confidence interval"),
    "partial_pearson_high": Label("1", "upper end of its 95% confidence interval"),
    "partial_spearman": Label("1", "Spearman's partial rank correlation coefficient, given the same"),
    "partial_spearman_low": Label("1", "lower end of its 95% confidence interval"),
    "partial_spearman_high": Label("1", "upper end of its 95% confidence interval"),
    "n_used": Label("1", "networks of which both quantities are finite"),
    "quantity": Label("1", "what is correlated"),
    "performance": Label("1", "with what it is correlated"),
}
EARLY_DESCRIPTIONS = {
    "asked_epoch": Label("epoch", "epoch of which spectra were asked for"),
    "early_epoch": Label("epoch", "the nearest epoch that has spectra"),
    "early_median": Label("1", "median over networks of the statistic at that epoch"),
} | {
    f"{EARLY}{name}": Label("1", f"{DESCRIPTIONS[name].long_name}; statistic at that epoch with the lowest loss")
    for name in COEFFICIENTS
}


def spectrum_statistics(exponents: ArrayLike, near_zero: float) -> dict[str, NDArray]:
    """Return {name: (...)} of all statistics of `lyapunov_pkg.spectra.statistics`, for spectra (..., exponent).

    Exponents within `near_zero` (nats per step) of zero are counted as near zero.
    """
    statistics: dict[str, Callable[[ArrayLike], Any]] = {
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


def spanning(values: ArrayLike, count: int) -> NDArray:
    """Return the indices of up to `count` values at evenly spaced ranks of `values` (n,), including both ends."""
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
    early_epochs: Sequence[int] = (),
    any_epochs: bool = False,
) -> xr.Dataset:
    """Return the correlations of all statistics with performance at the epoch of lowest validation loss.

    Statistics at given early epochs are also correlated with that lowest loss. This shows whether early spectra predict
    it. The highlighted networks have evenly spaced ranks of one statistic, from its smallest to its largest value, so
    that they cover the range of shapes. The dissertation chose its six networks by eye.

    Args:
        spectra: spectra of a study, with `lyapunov_exponent(variant, epoch, exponent)`, `validation_loss(variant,
            epoch)`, `validation_accuracy` if the task has one, `best_epoch(variant)` and `diverged(variant)`.
        highlighted_by: name of the statistic.
        n_highlighted: number of highlighted networks.
        near_zero: exponents within this distance of zero, in nats per step, count as near zero.
        exponent_floor: lower exponents are replaced by this value in the statistics, because -inf of a singular
            Jacobian has no mean.
        n_resamples: number of bootstrap resamples.
        seed: seed of the bootstrap.
        early_epochs: epochs of the spectra that are correlated with the lowest loss. If an epoch has no spectra, the
            nearest epoch with spectra is used, once.
        any_epochs: whether the best epoch is chosen among the epochs with spectra only, which need not be all epochs.

    Returns:
        Dataset over `network`, see `selection.networks_with_spectra`: `spectrum_statistic(network, epoch, statistic)`;
        loss and accuracy of every epoch; `best_epoch`, and `lyapunov_exponent(network, exponent)` at that epoch; the
        indices `highlighted_network(highlight)`. The fields of `Correlation` are along `pair`, for one `quantity` with
        one `performance`. Those of `PartialCorrelation` are given the logarithm of the learning rate and p, if these
        differ between networks. The attribute `given` names them. The same fields with the prefix "early_", over
        (asked_epoch, statistic), are correlations of the statistic at `early_epoch(asked_epoch)` with the lowest loss.
        `early_median` is the median of the statistic over networks at that epoch.

    Raises:
        ValueError: the statistic is unknown, the best epoch of a network has no spectra, or all networks diverged.
    """
    networks = networks_with_spectra(spectra)
    if any_epochs:
        networks["best_epoch"] = _best_epochs_with_spectra(networks)
    statistics = statistics_of_networks(networks, near_zero, exponent_floor)
    if highlighted_by not in statistics:
        raise ValueError(f"statistic {highlighted_by!r} is unknown; expected one of {', '.join(statistics)}")
    _check_best_epochs(networks)
    performances = [name for name in PERFORMANCES if name in networks]
    result = networks[[*performances, "best_epoch"]].copy()
    result["spectrum_statistic"] = (("network", "epoch", "statistic"), np.stack(list(statistics.values()), axis=-1))
    result = result.assign_coords(statistic=list(statistics))
    at_best = result.sel(epoch=result["best_epoch"])
    result["lyapunov_exponent"] = networks["lyapunov_exponent"].sel(epoch=networks["best_epoch"]).drop_vars("epoch")
    chosen = spanning(at_best["spectrum_statistic"].sel(statistic=highlighted_by), n_highlighted)
    result["highlighted_network"] = ("highlight", chosen)
    controls = _controls(at_best)
    correlate = partial(_coefficients, given=list(controls.values()), n_resamples=n_resamples, seed=seed)
    result = result.merge(_at_best_epoch(at_best, performances, correlate))
    result = result.merge(_at_early_epochs(result, at_best["validation_loss"], early_epochs, correlate))
    result.attrs["given"] = list(controls)
    result.attrs |= {"highlighted_by": highlighted_by, "near_zero": near_zero, "exponent_floor": exponent_floor}
    return describe(result, DESCRIPTIONS)


def _best_epochs_with_spectra(networks: xr.Dataset) -> xr.DataArray:
    """Return the epoch of lowest validation loss of each network, among the epochs with spectra."""
    losses = networks["validation_loss"].transpose("network", "epoch").values
    best = networks["epoch"].values[np.where(np.isnan(losses), np.inf, losses).argmin(axis=1)]
    return networks["best_epoch"].copy(data=best)


def _check_best_epochs(networks: xr.Dataset) -> None:
    """Raise an error if the best epoch of a network has no spectra."""
    lacking = np.setdiff1d(networks["best_epoch"], networks["epoch"])
    if lacking.size:
        raise ValueError(
            f"spectra are those of epochs {networks['epoch'].values.tolist()}; expected epoch {lacking[0]} among them, "
            "the one of lowest validation loss of some network"
        )


def statistics_of_networks(networks: xr.Dataset, near_zero: float, exponent_floor: float) -> dict[str, NDArray]:
    """Return {name: (network, epoch)} of all statistics, over the exponents of each network."""
    exponents = networks["lyapunov_exponent"].transpose("network", "epoch", "exponent").values
    lengths = spectrum_lengths(exponents)
    exponents = np.clip(exponents, exponent_floor, None)
    statistics: dict[str, NDArray] = {}
    for length in np.unique(lengths):
        own = lengths == length
        for name, values in spectrum_statistics(exponents[own, :, :length], near_zero).items():
            statistics.setdefault(name, np.empty(exponents.shape[:2]))[own] = values
    return statistics


def _coefficients(
    pairs: Iterable[tuple[ArrayLike, ArrayLike]], given: Sequence[ArrayLike], n_resamples: int, seed: int
) -> dict[str, NDArray]:
    """Return {name: (pair,)} of the fields of `Correlation` and `PartialCorrelation`, for pairs of (network,)."""
    found = [
        [*correlation(*pair, n_resamples, seed), *partial_correlation(*pair, given, n_resamples, seed)]
        for pair in pairs
    ]
    return dict(zip(COEFFICIENTS, map(np.array, zip(*found, strict=True)), strict=True))


def _at_best_epoch(
    at_best: xr.Dataset, performances: list[str], correlate: Callable[..., dict[str, NDArray]]
) -> xr.Dataset:
    """Return coefficients along `pair` of every statistic with every performance, at one epoch of each network."""
    names = at_best["statistic"].values.tolist()
    quantities = {name: at_best["spectrum_statistic"].sel(statistic=name) for name in names}
    pairs = [(name, performance) for performance in performances for name in names]
    if len(performances) == 2:  # correlation of the two performances
        quantities["validation_accuracy"] = at_best["validation_accuracy"]
        pairs.append(("validation_accuracy", "validation_loss"))
    found = correlate([(quantities[name], at_best[performance]) for name, performance in pairs])
    return xr.Dataset(
        {field: ("pair", values) for field, values in found.items()},
        coords={
            "quantity": ("pair", [name for name, _ in pairs]),
            "performance": ("pair", [name for _, name in pairs]),
        },
    )


def _at_early_epochs(
    networks: xr.Dataset,
    lowest_loss: xr.DataArray,
    asked: Sequence[int],
    correlate: Callable[..., dict[str, NDArray]],
) -> xr.Dataset:
    """Return coefficients over (asked_epoch, statistic) of statistics at the epochs nearest to `asked`."""
    available = networks["epoch"].values
    nearest: dict[int, int] = {}
    for epoch in asked:
        found = int(available[abs(available - epoch).argmin()])
        if found not in nearest.values():
            nearest[epoch] = found
    if not nearest:
        return xr.Dataset()
    at_epochs = networks["spectrum_statistic"].sel(epoch=list(nearest.values()))
    statistics = at_epochs.transpose("epoch", "statistic", "network").values
    loss = lowest_loss.values
    coefficients = correlate([(values, loss) for values in statistics.reshape(-1, statistics.shape[-1])])
    dims = ("asked_epoch", "statistic")
    early = xr.Dataset(
        {f"{EARLY}{name}": (dims, values.reshape(statistics.shape[:2])) for name, values in coefficients.items()}
        | {"early_median": (dims, np.median(statistics, axis=-1))},
        coords={"asked_epoch": list(nearest), "early_epoch": ("asked_epoch", list(nearest.values()))},
    )
    return describe(early, EARLY_DESCRIPTIONS)


def _controls(networks: xr.Dataset) -> dict[str, NDArray]:
    """Return {name: values} of the varying hyperparameters that may influence both spectrum and performance."""
    known: dict[str, Callable[[NDArray], NDArray]] = {"learning_rate": np.log, "init_param": np.asarray}
    values = {name: scale(networks[name].values) for name, scale in known.items() if name in networks.coords}
    return {name: of_name for name, of_name in values.items() if np.ptp(of_name) > 0}
