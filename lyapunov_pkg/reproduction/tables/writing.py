"""Writing of tables: CSV with all digits of numbers, and Markdown for readers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

SMALL = 0.2  # numbers below it have three decimals

COLUMN_LABELS = {
    "asked_epoch": "epoch asked for",
    "interval": "T_ON [steps]",
    "warmup": "warm-up [steps]",
    "quantity": "quantity",
    "performance": "correlated with",
    "pearson": "Pearson's r",
    "spearman": "Spearman's ρ",
    "partial_pearson": "partial r",
    "partial_spearman": "partial ρ",
    "n_used": "networks",
    "n_diverged": "diverged",
    "color": "colour",
    "dropout": "dropout",
    "learning_rate": "learning rate",
    "init_param": "init. parameter",
    "best_epoch": "best epoch",
    "validation_loss": "validation loss",
    "relative_loss": "loss / repeating the last frame",
    "maximum_exponent": "LE max [nats/step]",
    "largest_exponent": "LE max [nats/step]",
    "mean_exponent": "LE mean [nats/step]",
    "weights": "initial weights",
    "vectors": "Lyapunov vectors",
    "side": "singular vectors",
    "group": "which",
    "before": "σ before training",
    "after": "σ after",
    "averaged_before": "averaged σ before",
    "averaged_after": "averaged σ after",
    "ranking": "flipped",
    "n_flips": "k",
    "mean_excess": "μ - μ rand [nats]",
    "excess": "excess over random [nats]",
    "excess_same_steps": "excess over same steps [nats]",
    "excess_later": "excess, later [nats]",
    "p_paired_same_steps": "p, same steps",
    "p_paired_later": "p, later",
    "standard_error": "standard error [nats]",
    "p_pooled": "p, images independent",
    "p_paired": "p, paired by image",
    "p_holm": "p, paired, Holm",
    "effect_size": "effect size d",
    "up_share": "up flips",
    "training_percent": "training [%]",
    "classifier": "classifier",
    "n_components": "principal components",
    "recall": "recall",
    "precision": "precision",
    "f1": "F1",
    "f1_difference": "F1 of AeLLE − F1",
    "task": "task",
    "experiment": "experiment",
    "part": "part",
    "reconstruction_error": "reconstruction error [nats/step]",
    "median_error": "error of the median spectrum [nats/step]",
    "works": "works",
    "architecture": "architecture",
    "hidden_size": "hidden size",
    "init_param_low": "init. parameter from",
    "init_param_high": "init. parameter to",
    "networks": "networks",
    "loss": "loss",
    "low_error_share": "low error [%]",
    "lowest_loss": "lowest loss",
    "lower_quartile": "first quartile",
    "median_loss": "median loss",
    "upper_quartile": "third quartile",
    "eps": "ε",
    "gamma": "γ",
    "median_exponent": "median first exponent [nats/step]",
    "decay_power": "power of t",
    "first_change": "first change [nats²/step²]",
    "last_change": "last change [nats²/step²]",
    "start_difference": "mean before training less that at the end [nats/step]",
    "lowest_difference": "lowest mean less that at the end [nats/step]",
    "late_difference": "mean one epoch before the end less that at the end [nats/step]",
    "orthonormalize_every": "T_ON [steps]",
    "n_decompositions": "QR decompositions",
    "relative_operations": "operations, relative to T_ON = 1",
    "change_first_half": "largest change, first half [nats/step]",
    "change_second_half": "largest change, second half [nats/step]",
    "right_of_median": "right of median of PC1 [%]",
    "right_of_mean": "right of mean of PC1 [%]",
    "predictor": "predictor",
    "mean_absolute_error": "mean absolute error [nats]",
    "rms_error": "RMS error [nats]",
    "r_squared": "R²",
    "pool_size": "networks started",
    "criterion": "stopped by",
    "budget": "training [epochs]",
    "best_loss": "final loss of the best survivor [nats]",
    "better_in_pool": "better ones stopped [%]",
    "saved": "saved for the same loss [%]",
    "saved_in_all": "saved, with the training of the networks learnt from [%]",
}


def write_table(frame: pd.DataFrame, csv_path: Path | str, markdown_path: Path | str) -> None:
    """Write `frame` as CSV, with all digits of numbers, and as Markdown for readers ("0.85 ± 0.02")."""
    frame.to_csv(csv_path, index=False)
    table = readable(frame).to_markdown(index=False, disable_numparse=True)
    note = f"\n{frame.attrs['note']}\n" if "note" in frame.attrs else ""
    Path(markdown_path).write_text(f"{table}\n{note}", encoding="utf-8")


def readable(frame: pd.DataFrame) -> pd.DataFrame:
    """Return `frame` as text, with a dash for missing numbers.

    `x_mean` and `x_std` become one column "mean ± standard deviation"; `x`, `x_low` and `x_high` one "x [low, high]".
    The attribute `decimals` sets the number of decimals of means. By default it follows from their size. The attribute
    `most_decimals` limits that of other numbers. Columns "p_..." are p values, with four decimals, except
    those of the dissertation.
    """
    columns, most_decimals = {}, frame.attrs.get("most_decimals")
    for name in frame.columns:
        if name.endswith("_mean"):
            stem = name.removesuffix("_mean")
            columns[_heading(stem)] = _mean_and_std(frame[name], frame[f"{stem}_std"], frame.attrs.get("decimals"))
        elif f"{name}_low" in frame:
            columns[_heading(name)] = _with_interval(frame[name], frame[f"{name}_low"], frame[f"{name}_high"])
        elif not name.endswith("_std") and not _is_end_of_interval(name, frame):
            is_p = name.startswith("p_") and not name.endswith("_dissertation")
            columns[_heading(name)] = _p_values(frame[name]) if is_p else _as_printed(frame[name], most_decimals)
    return pd.DataFrame(columns)


def _heading(name: str) -> str:
    stem = name.removesuffix("_dissertation")
    label = COLUMN_LABELS.get(stem, stem.replace("_", " "))
    return label + (" (dissertation)" if stem != name else "")


def _is_end_of_interval(name: str, frame: pd.DataFrame) -> bool:
    stem = name.removesuffix("_low").removesuffix("_high")
    return stem != name and stem in frame


def _with_interval(values: pd.Series, lows: pd.Series, highs: pd.Series) -> list[str]:
    return [
        "–" if pd.isna(value) else f"{value:.2f} [{low:.2f}, {high:.2f}]"
        for value, low, high in zip(values, lows, highs, strict=True)
    ]


def _p_values(column: pd.Series) -> list[str]:
    return ["–" if pd.isna(p) else "< 0.0001" if p < 5e-5 else f"{p:.4f}" for p in column]


def _as_printed(column: pd.Series, most_decimals: int | None) -> list[str]:
    """Return text unchanged, and numbers with enough decimals for four significant digits of each in the column."""
    if not pd.api.types.is_numeric_dtype(column):
        return [str(value) for value in column]
    shortest = [np.format_float_positional(value, precision=4, fractional=False, trim="-") for value in column.dropna()]
    decimals = max((len(number.partition(".")[2]) for number in shortest), default=0)
    decimals = decimals if most_decimals is None else min(decimals, most_decimals)
    return ["–" if pd.isna(value) else f"{value:.{decimals}f}" for value in column]


def _mean_and_std(means: pd.Series, stds: pd.Series, decimals: int | None) -> list[str]:
    largest = means.abs().max()
    if decimals is None:
        decimals = 3 if largest < SMALL else 2 if largest < 10 else 1  # small errors, fractions, percentages
    texts = []
    for mean, std in zip(means, stds, strict=True):
        spread = "" if pd.isna(std) else f" ± {std:.{decimals}f}"
        texts.append("–" if pd.isna(mean) else f"{mean:.{decimals}f}{spread}")
    return texts
