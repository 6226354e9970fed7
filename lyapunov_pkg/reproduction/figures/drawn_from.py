"""Which variables of its stores each figure is drawn from; they are kept beside the figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import xarray as xr

ALIGNMENT = ("alignment_density", "alignment_std")
OUTPUTS = ("input", "shown_input", "logits", "label", "pixel")
EMBEDDING = ("aelle_component", "threshold", "low_is_above", "low_error", "partition")
OVER_TRAINING = ("spectrum_statistic", "validation_loss", "highlighted_network", "best_epoch")
AT_BEST_EPOCH = (*OVER_TRAINING, "lyapunov_exponent", "pearson", "spearman")
STATISTICS = (*EMBEDDING, "f1", "lyapunov_mean", "lyapunov_max", "spectrum_component")
ASRNN = ("validation_loss", "diverged", "eps", "gamma")
DRAWN_FROM: dict[str, dict[str, tuple[str, ...]]] = {
    "fig_1_1": {"lorenz": ("trajectory", "fixed_point", "fixed_point_exponent")},
    "fig_1_2": {
        "lorenz": ("short_run_exponent", "long_run_exponent", "long_run_standard_error", "fixed_point_exponent")
    },
    "fig_2_1": {"layers": ("jacobian", "layer", "previous_layer")},
    "fig_2_2": {"estimator": ("running_exponent", "lyapunov_exponent", "lyapunov_exponent_std")},
    "fig_2_3": {"regimes": ("lyapunov_exponent", "activation", "gain")},
    "fig_2_4": {"estimator": ("running_exponent", "early_change", "early_bias")},
    "fig_2_5": {"estimator": ("interval_exponent", "largest_change")},
    "fig_2_6": {
        "evolution": ("lyapunov_exponent", "mean_squared_change", "mean_difference", "decay_power", "init_param")
    },
    "fig_2_7": {"char_rnn": AT_BEST_EPOCH, "mocap": AT_BEST_EPOCH},
    "fig_2_8": {"char_rnn": OVER_TRAINING},
    "fig_2_b1": {"char_rnn": AT_BEST_EPOCH, "mocap": AT_BEST_EPOCH},
    "fig_2_b2": {"char_rnn": (*OVER_TRAINING, "validation_accuracy", "pearson", "spearman")},
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
    "fig_3_11": {"pretrained": STATISTICS},
    "fig_3_12": {"final": (*EMBEDDING, "lyapunov_exponent", "final_loss", "example_network")},
    "fig_3_13": {"final": (*EMBEDDING, "shifted_component")},
    "fig_3_14": {"final": (*EMBEDDING, "lyapunov_exponent", "shifted_exponent", "example_network")},
    "fig_3_15": {"final": (*EMBEDDING, "zero_loss_component", "zero_loss_exponent")},
    "fig_3_b1": {"final": STATISTICS},
    "fig_3_b2": {"final": STATISTICS},
    "fig_3_b3": {"final": STATISTICS},
    "fig_3_b4": {"target_learning": STATISTICS, "char_rnn_sizes": STATISTICS, "smnist": STATISTICS},
    "fig_4_1": {"alignment": ALIGNMENT},
    "fig_4_2": {"alignment": ("alignment_std_by_index",)},
    "fig_4_3": {"flips": ("mean_log_r", "running_exponent")},
    "fig_4_4": {"flips": ("loss", "loss_ranked", "loss_random")},
    "fig_4_5": {"flips": OUTPUTS},
    "fig_4_b1": {"participation": ("participation_ratio", "batch_loss")},
    "fig_4_c2": {"alignment": ALIGNMENT},
    "fig_4_d": {"flips": OUTPUTS},
    "fig_extra_pruning": {
        "pruning": ("best_loss", "budget", "complete_loss", "complete_budget", "saved", "saved_in_all")
    },
    "fig_extra_clv_alignment": {"alignment": ALIGNMENT},
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
