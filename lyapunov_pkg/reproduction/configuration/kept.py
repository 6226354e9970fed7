"""The epochs for which training stores contain parameters, because a later stage reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BEST_IS_READ = ("char_rnn_initialisation",)
"""Studies for which the rule `estimator` reads the network with the lowest validation loss of all epochs."""


def kept_parameters(name: str, study: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `reproduction.training.store.Kept` for a study that is trained by back-propagation.

    The stored epochs are the last one and those of spectra and of the alignment. If pixels are flipped or estimators
    are compared, each network's best epoch is also stored. If spectra are computed after all epochs, all epochs are
    stored.

    Args:
        name: name of the study.
        study: its section of the configuration.
    """
    spectra, alignment = study.get("spectra"), study.get("alignment")
    if spectra and spectra["epochs"] is None:
        return {"epochs": None, "best": False}
    epochs = {study["training"]["epochs"]}
    epochs.update(spectra["epochs"] if spectra else (), alignment["epochs"] if alignment else ())
    return {"epochs": sorted(epochs), "best": bool(study.get("flips")) or name in BEST_IS_READ}
