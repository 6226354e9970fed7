"""Comparison of PredNets on spectra and on eigenvalues of Jacobians (dissertation, figure 3.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lyapunov_pkg.aelle.dense import Progress
from lyapunov_pkg.aelle.fitting import EXPONENT_FLOOR, two_parts
from lyapunov_pkg.labels import Label, describe, in_unit
from lyapunov_pkg.reproduction.prediction.comparison import over_splits
from lyapunov_pkg.reproduction.prediction.networks import select_networks
from lyapunov_pkg.reproduction.prediction.prednet import PredNetHistory, PredNetSettings, train_prednet

SUMMARIES: dict[str, Callable[[NDArray], NDArray]] = {
    "last": lambda errors: errors[..., -1],
    "lowest": lambda errors: errors.min(axis=-1),
}
DESCRIPTIONS = {
    "seed": Label("1", "seed of split and PredNet"),
    "feature": Label("1", "what PredNet predicts from"),
    "prednet_epoch": Label("epoch", "steps of PredNet's training"),
    "summary": Label("1", "which error of a curve: that after the last epoch, or the lowest"),
    "better": Label("1", "feature with the lower error, or undecided where the interval holds zero"),
}
SQUARED_LOSSES = {
    "train_error": "mean square error of PredNet on its training part",
    "validation_error": "mean square error of PredNet on the validation part",
    "baseline_error": "mean square error of the training part's mean on the validation part",
    "difference": "mean square error from eigenvalues minus that from spectra, mean over seeds",
    "difference_low": "lower end of the 95 % interval of the difference",
    "difference_high": "upper end of the 95 % interval of the difference",
}


def eigenvalue_experiment(
    spectra: xr.Dataset,
    eigenvalues: xr.Dataset,
    settings: PredNetSettings,
    seeds: Sequence[int],
    validation_share: float = 0.2,
    exponent_floor: float = EXPONENT_FLOOR,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Return the errors of PredNets on spectra of trained networks, and on eigenvalues of Jacobians at one point.

    Both use the same splits. They are compared by the difference of their mean square errors on the validation parts.
    The result is the mean over the seeds, with the interval of the t distribution and a variance that is corrected for
    overlapping splits (Nadeau & Bengio 2003).

    Args:
        spectra: as in `networks.select_networks`. The spectra of the last epoch are used.
        eigenvalues: the result of `populations.eigenvalues.eigenvalues_of_training` for the same variants.
        settings: settings of the PredNets.
        seeds: seeds, each with one split and one PredNet per kind of feature.
        validation_share: share of the networks for validation. The others are for training.
        exponent_floor: lower exponents are replaced by this value.
        progress: reports the progress of PredNet's training, e.g. `lyapunov_pkg.progress.progress`.

    Returns:
        Dataset over seed, feature ("spectrum", "eigenvalues") and prednet_epoch: `train_error` and `validation_error`,
        mean square errors; `baseline_error` (seed), the error of the training part's mean as prediction. Over summary
        ("last" epoch, "lowest" error): `difference`, eigenvalues minus spectra, `difference_low` and `difference_high`,
        and `better`, the feature with the better prediction, or "undecided" if the interval contains zero. Losses above
        the ceiling are replaced by the ceiling. Attributes: n_networks, n_diverged.

    Raises:
        ValueError: `eigenvalues` and `spectra` have different variants, there are fewer than two seeds, or a part has
            no networks.
    """
    if not np.array_equal(spectra["seed"].values, eigenvalues["seed"].values):
        raise ValueError("eigenvalues are of other variants than spectra; expected the same ones in the same order")
    if len(seeds) < 2:
        raise ValueError(f"there are {len(seeds)} seeds; expected at least 2, for a spread")
    networks, features = _spectra_and_eigenvalues(spectra, eigenvalues, exponent_floor)
    final_loss = np.minimum(networks["final_loss"].values, settings.loss_ceiling)
    train, validation = two_parts(networks.sizes["network"], validation_share, seeds)
    loss = final_loss[train], final_loss[validation]
    histories = [
        train_prednet(values[train], loss[0], values[validation], loss[1], seeds, settings, progress)[1]
        for values in features.values()
    ]
    result = xr.Dataset(
        _variables(histories, *loss),
        coords={
            "seed": list(seeds),
            "feature": list(features),
            "prednet_epoch": np.arange(1, settings.epochs + 1),
            "summary": list(SUMMARIES),
        },
        attrs={name: networks.attrs[name] for name in ("n_networks", "n_diverged")},
    )
    unit = f"{networks['final_loss'].attrs['units']}^2"
    return describe(result, DESCRIPTIONS | in_unit(unit, SQUARED_LOSSES))


def _variables(histories: Sequence[PredNetHistory], train_loss: NDArray, validation_loss: NDArray) -> dict[str, Any]:
    """Return the variables of the experiment, from a history for each feature and the losses (seed, n) of the parts."""
    curves = ("seed", "feature", "prednet_epoch")
    errors = np.stack([history.validation_error for history in histories], axis=1)
    training_mean = train_loss.mean(axis=1, keepdims=True)
    return {
        "train_error": (curves, np.stack([history.train_error for history in histories], axis=1)),
        "validation_error": (curves, errors),
        "baseline_error": ("seed", np.square(validation_loss - training_mean).mean(axis=1)),
        **_differences(errors, validation_loss.shape[1] / train_loss.shape[1]),
    }


def _spectra_and_eigenvalues(
    spectra: xr.Dataset, eigenvalues: xr.Dataset, exponent_floor: float
) -> tuple[xr.Dataset, dict[str, NDArray]]:
    """Return the networks that did not diverge, after their last epoch, and their features (network, d) by kind."""
    rows = spectra.assign_coords(row=("variant", np.arange(spectra.sizes["variant"])))
    networks = select_networks(rows, exponent_floor).isel(epoch=-1)
    parts = [eigenvalues[f"eigenvalue_{part}"].values[networks["row"].values] for part in ("real", "imaginary")]
    return networks, {
        "spectrum": networks["lyapunov_exponent"].values,
        "eigenvalues": np.concatenate(parts, axis=1),
    }


def _differences(errors: NDArray, validation_to_train: float) -> dict[str, Any]:
    """Return the excess error of eigenvalues over spectra with its interval, from errors (seed, feature, epoch)."""
    rows = []
    for summary in SUMMARIES.values():
        of_spectra, of_eigenvalues = summary(errors).T
        mean, low, high = over_splits(of_eigenvalues - of_spectra, validation_to_train)
        better = "spectrum" if low > 0 else "eigenvalues" if high < 0 else "undecided"
        rows.append((mean, low, high, better))
    names = ("difference", "difference_low", "difference_high", "better")
    return {name: ("summary", np.array(values)) for name, values in zip(names, zip(*rows, strict=True), strict=True)}
