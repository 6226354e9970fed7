"""Display names and shown epochs for figures and tables."""

from __future__ import annotations

from collections.abc import Iterable

import xarray as xr

from lyapunov_pkg.cells.entries import CELLS

# In the order in which figures and tables list them.
ARCHITECTURE_LABELS = {name: entry.label for name, entry in CELLS.items()}

# In the order of chapter 3's figures.
STUDY_LABELS = {
    "target_learning": "Target learning",
    "char_rnn_sizes": "CharRNN",
    "smnist": "SMNIST",
}

CLASSIFIER_LABELS = {
    "lyapunov_mean": "LE mean",
    "lyapunov_max": "LE max",
    "spectrum_pca": "LE PCA",
    "aelle": "AeLLE",
    "loss_at_epoch": "loss at that epoch",
    "loss_at_epoch_chosen": "loss at that epoch, threshold chosen",
    "logistic_max_mean": "logistic regression on [LE max, LE mean]",
    "logistic_spectrum": "logistic regression on the spectrum",
    "gradient_boosting_spectrum": "gradient boosting on the spectrum",
    "random_forest_hyperparameters": "random forest on the hyperparameters",
}

# Statistics of spectra: name and unit.
STATISTIC_LABELS = {
    "maximum_exponent": ("LE max", "nats/step"),
    "mean_exponent": ("LE mean", "nats/step"),
    "exponent_variance": ("LE variance", "nats²/step²"),
    "number_near_zero": ("LE near zero", "number"),
    "number_above_zero": ("LE above zero", "number"),
    "kaplan_yorke_dimension": ("Kaplan-Yorke dimension", ""),
    "initial_slope": ("initial slope", "nats/step/index"),
    "final_slope": ("final slope", "nats/step/index"),
}

OPTIMIZER_LABELS = {"adam": "Adam", "adagrad": "Adagrad", "rmsprop": "RMSprop", "sgd": "SGD, momentum"}

# Statistics by which figures and tables of chapter 2 order the highlighted networks.
SERIES_NAMES = ("blue", "orange", "green", "red", "purple", "brown")

# Lyapunov vectors that are aligned with gradients (chapter 4).
ALIGNED_LABELS = {
    "dissertation": "Q of Jᵀ Q (eq. 4.11)",
    "released": "Q of Jᵀ Q, warm-up",
    "tangent": "Q of J Q",
    "settled": "Q of J Q, settled",
    "covariant": "covariant vectors",
}

# Rankings of pixels (chapter 4).
RANKING_LABELS = {
    "expansion": "largest R value",
    "expansion_settled": "largest R, warm-up",
    "transposed": "largest R of Jᵀ Q",
    "transposed_settled": "largest R of Jᵀ Q, warm-up",
    "mean_expansion": "largest mean log R",
    "gradient": "largest gradient",
    "intensity": "brightest",
    "random": "random",
}

CRITERION_LABELS = {
    "aelle": "AeLLE's prediction",
    "architecture": "architecture",
    "loss_at_epoch": "loss so far",
    "random": "chance",
}

PREDICTOR_LABELS = {
    "prednet": "PredNet",
    "training_mean": "mean of the training networks",
    "hyperparameters": "linear in p and log₂ hidden size",
    "loss_at_epoch": "linear in the loss at that epoch",
}

SHOWN_PERCENT = (0, 10, 20, 50)


def in_display_order(names: Iterable[str], labels: dict[str, str]) -> list[str]:
    """Return the distinct `names`: those in `labels` first, in its order, then the others alphabetically."""
    present = {str(name) for name in names}
    return [name for name in labels if name in present] + sorted(present - set(labels))


def shown_epochs(pretrained: xr.Dataset) -> list[tuple[int, float]]:
    """Return the epochs nearest to 0, 10, 20 and 50% of training, as (epoch, percentage of training), each once.

    Raises:
        ValueError: `pretrained` has no attribute `total_epochs`.
    """
    if "total_epochs" not in pretrained.attrs:
        raise ValueError(f"pretrained has attributes {sorted(pretrained.attrs)}; expected `total_epochs` among them")
    total = int(pretrained.attrs["total_epochs"])
    epochs = pretrained["epoch"].values
    nearest = {int(epochs[abs(epochs * 100 / total - percent).argmin()]) for percent in SHOWN_PERCENT}
    return [(epoch, 100 * epoch / total) for epoch in sorted(nearest)]
