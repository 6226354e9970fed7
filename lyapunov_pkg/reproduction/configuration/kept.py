"""The epochs after which training stores keep parameters: those that something reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BEST_IS_READ = ("char_rnn_initialisation",)
"""Studies of which the network of lowest validation loss is read, at any epoch: by the rule `estimator`."""


def kept_parameters(name: str, study: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `reproduction.training.store.Kept` for a study that is trained by back-propagation.

    Kept are the last epoch, those of spectra and of the alignment, and each network's best one where pixels are flipped
    or estimators are compared. Where spectra are taken after all epochs, all are kept.

    Args:
        name: of the study.
        study: its section of the configuration.
    """
    spectra, alignment = study.get("spectra"), study.get("alignment")
    if spectra and spectra["epochs"] is None:
        return {"epochs": None, "best": False}
    epochs = {study["training"]["epochs"]}
    epochs.update(spectra["epochs"] if spectra else (), alignment["epochs"] if alignment else ())
    return {"epochs": sorted(epochs), "best": bool(study.get("flips")) or name in BEST_IS_READ}
