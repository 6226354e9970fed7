"""Which variables of its stores each figure is drawn from; they are kept beside the figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import xarray as xr

EMBEDDING = ("aelle_component", "threshold", "low_is_above", "low_error", "partition")
STATISTICS = (*EMBEDDING, "f1", "lyapunov_mean", "lyapunov_max", "spectrum_component")
ASRNN = ("validation_loss", "diverged", "eps", "gamma")
DRAWN_FROM: dict[str, dict[str, tuple[str, ...]]] = {
    "fig_1_1": {"lorenz": ("trajectory", "fixed_point", "fixed_point_exponent")},
    "fig_1_2": {
        "lorenz": ("short_run_exponent", "long_run_exponent", "long_run_standard_error", "fixed_point_exponent")
    },
    "fig_3_1": {"prednet": ("final_loss", "held_out_prediction", "rms_error")},
    "fig_3_2": {"eigenvalues": ("eigenvalue_real", "eigenvalue_imaginary", *ASRNN)},
    "fig_3_3": {"spectra": ("lyapunov_exponent", *ASRNN)},
    "fig_3_4": {
        "prednets": (
            *("validation_error", "baseline_error"),
            *("difference", "difference_low", "difference_high", "better"),
        )
    },
    "fig_3_5": {"spectra": ("lyapunov_exponent", "validation_loss", "diverged")},
    "fig_3_6": {"final": (*EMBEDDING, "f1", "lyapunov_exponent", "reconstructed_exponent")},
    "fig_3_7": {"final": EMBEDDING, "free_runs": ("target", "free_output", "validation_loss", "diverged")},
    "fig_3_8": {"final": EMBEDDING, "text": ("test_input", "test_target", "alphabet")},
    "fig_3_9": {"final": EMBEDDING, "examples": ("test_input", "test_label")},
    "fig_3_10": {"pretrained": (*EMBEDDING, "f1")},
    "fig_3_11": {"pretrained": (*EMBEDDING, "f1", "lyapunov_mean", "lyapunov_max", "spectrum_component")},
    "fig_3_12": {"final": (*EMBEDDING, "lyapunov_exponent", "final_loss", "example_network")},
    "fig_3_13": {"final": (*EMBEDDING, "shifted_component")},
    "fig_3_14": {"final": (*EMBEDDING, "lyapunov_exponent", "shifted_exponent", "example_network")},
    "fig_3_15": {"final": (*EMBEDDING, "zero_loss_component", "zero_loss_exponent")},
    "fig_3_b1": {"final": STATISTICS},
    "fig_3_b2": {"final": STATISTICS},
    "fig_3_b3": {"final": STATISTICS},
    "fig_3_b4": {"target_learning": STATISTICS, "char_rnn_sizes": STATISTICS, "smnist": STATISTICS},
}


def figure_data(figure: str, stores: Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """Return the part of each store that a figure is drawn from; of a task's samples, the one that is shown.

    Raises:
        KeyError: a store lacks a variable that the figure needs.
    """
    data = {name: stores[name][list(variables)] for name, variables in DRAWN_FROM[figure].items()}
    return {name: dataset.isel(test_sample=slice(0, 1), missing_dims="ignore").load() for name, dataset in data.items()}


def joined(data: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Return what a figure is drawn from as one Dataset; names that several stores use get their store's in front."""
    names = Counter(name for dataset in data.values() for name in {*dataset.variables, *dataset.dims})
    told_apart = [
        dataset.rename({name: f"{store}_{name}" for name in {*dataset.variables, *dataset.dims} if names[name] > 1})
        for store, dataset in data.items()
    ]
    return xr.merge(told_apart, combine_attrs="drop_conflicts")
