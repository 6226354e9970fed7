"""Tables of chapter 2: highlighted networks, and correlations of spectra with performance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from lyapunov_pkg.reproduction.costs.networks import tangent_flops
from lyapunov_pkg.reproduction.figures.presentation import SERIES_NAMES, STATISTIC_LABELS
from lyapunov_pkg.reproduction.records import Store, table
from lyapunov_pkg.reproduction.tables.dissertation import DISSERTATION_2_A1, DISSERTATION_2_A2
from lyapunov_pkg.reproduction.tables.variables import COEFFICIENTS, EARLY_COEFFICIENTS

HIGHLIGHTED = ("highlighted_network", "best_epoch", "validation_loss", "spectrum_statistic")
HYPERPARAMETER_NAMES = {"learning_rate": "log learning rate", "init_param": "p"}


@table(
    stores={
        "estimator": Store(
            "results/networks/estimator.zarr.zip", ("running_exponent", "interval_exponent", "largest_change")
        )
    },
    chapter=2,
    caption=(
        "Savings and errors of an interval T_ON between QR decompositions: decompositions per sequence, operations "
        "of the tangent vectors, and the change of exponents in float32 from those of the shortest interval (figure "
        "2.5)."
    ),
)
def table_extra_orthonormalization(estimator: xr.Dataset) -> pd.DataFrame:
    """Return the operations that each T_ON saves, and its change of the exponents of each half of the spectrum."""
    intervals = estimator["interval"].values
    operations = np.array([tangent_flops(estimator.sizes["exponent"], int(interval)) for interval in intervals])
    first, second = (estimator["largest_change"].sel(half=half).values for half in ("first", "second"))
    frame = pd.DataFrame(
        {
            "orthonormalize_every": intervals,
            "n_decompositions": estimator.sizes["time"] // intervals,
            "relative_operations": operations / tangent_flops(estimator.sizes["exponent"]),
            "change_first_half": first,
            "change_second_half": second,
        }
    )
    frame.attrs["note"] = (
        "Operations are counted: a product with the Jacobian in each step, and as many operations for each "
        "decomposition. They do not depend on the machine. benchmarks/orthonormalization.py measures the speed."
    )
    return frame


@table(
    stores={"char_rnn": Store("results/populations/char_rnn_regularisation.zarr.zip", HIGHLIGHTED)},
    caption="Hyperparameters of the CharRNN networks coloured in figures 2.7 and 2.8, compared with the "
    "dissertation's.",
)
def table_2_a1(char_rnn: xr.Dataset) -> pd.DataFrame:
    """Return hyperparameters of the CharRNN networks highlighted in figures 2.7 and 2.8, and the dissertation's."""
    return _highlighted_networks(char_rnn, DISSERTATION_2_A1)


@table(
    stores={
        "mocap": Store("results/populations/mocap.zarr.zip", HIGHLIGHTED),
        "motions": Store("results/datasets/mocap.zarr.zip", ("repeat_loss",)),
    },
    caption=(
        "Hyperparameters of the Mocap networks coloured in figure 2.7, compared with the dissertation's, and their "
        "loss compared with that of repeating the last frame."
    ),
)
def table_2_a2(mocap: xr.Dataset, motions: xr.Dataset) -> pd.DataFrame:
    """Return hyperparameters and losses of the Mocap networks highlighted in figure 2.7, and the dissertation's."""
    frame = _highlighted_networks(mocap, DISSERTATION_2_A2)
    repeating = motions["repeat_loss"].item()
    frame.insert(list(frame).index("validation_loss") + 1, "relative_loss", frame["validation_loss"] / repeating)
    losses = mocap["validation_loss"].sel(epoch=mocap["best_epoch"]).values / repeating
    frame.attrs["note"] += (
        f" Repeating the last frame has a loss of {repeating:.4g}. The losses of all networks are between "
        f"{losses.min():.2g} and {losses.max():.2g} times this loss."
    )
    return frame


def _highlighted_networks(
    correlations: xr.Dataset, dissertation: Mapping[str, tuple[float, float, float]]
) -> pd.DataFrame:
    """Return a row for each colour: hyperparameters, and the network's loss and spectrum at its best epoch."""
    highlighted = correlations.isel(network=correlations["highlighted_network"].values)
    at_best = highlighted.sel(epoch=highlighted["best_epoch"])
    hyperparameters = ("dropout", "learning_rate", "init_param")
    rows = []
    for position, color in enumerate(SERIES_NAMES[: at_best.sizes["network"]]):
        network = at_best.isel(network=position)
        row = {"color": color} | {name: network[name].item() for name in (*hyperparameters, "best_epoch")}
        row["validation_loss"] = network["validation_loss"].item()
        for statistic in ("maximum_exponent", "mean_exponent"):
            row[statistic] = network["spectrum_statistic"].sel(statistic=statistic).item()
        printed = zip(hyperparameters, dissertation[color], strict=True)
        rows.append(row | {f"{name}_dissertation": number for name, number in printed})
    frame = pd.DataFrame(rows)
    statistic = STATISTIC_LABELS[correlations.attrs["highlighted_by"]][0]
    frame.attrs["note"] = (
        f"These networks have evenly spaced ranks of {statistic}, from the smallest to the largest, among "
        f"{correlations.attrs['n_networks']} networks. The dissertation's were chosen by eye, so that networks of "
        "the same colour are otherwise unrelated."
    )
    return frame


@table(
    stores={
        "char_rnn": Store("results/populations/char_rnn_regularisation.zarr.zip", COEFFICIENTS),
        "mocap": Store("results/populations/mocap.zarr.zip", COEFFICIENTS),
    },
    chapter=2,
    caption="Correlation of statistics of the Lyapunov spectrum with performance, with 95% confidence intervals.",
)
def table_extra_correlations(char_rnn: xr.Dataset, mocap: xr.Dataset) -> pd.DataFrame:
    """Return the correlation of every statistic of the spectrum with performance, with 95% intervals, for each task."""
    tasks = (("CharRNN", char_rnn), ("Mocap", mocap))
    frame = pd.DataFrame([{"task": task} | row for task, found in tasks for row in correlation_rows(found)])
    frame.attrs["note"] = "\n".join(f"{task}: {note_on_correlations(found)}" for task, found in tasks)
    return frame


@table(
    stores={
        "char_rnn": Store("results/populations/char_rnn_regularisation.zarr.zip", EARLY_COEFFICIENTS),
        "mocap": Store("results/populations/mocap.zarr.zip", EARLY_COEFFICIENTS),
    },
    chapter=2,
    caption=(
        "Correlation of statistics of the Lyapunov spectrum at early and late epochs with the lowest validation loss of"
        " each network, with 95% confidence intervals, and the median of each statistic over networks."
    ),
)
def table_extra_early_correlations(char_rnn: xr.Dataset, mocap: xr.Dataset) -> pd.DataFrame:
    """Return the correlation of every statistic at the epochs of the settings with the lowest loss, for each task."""
    rows = []
    notes = []
    for task, found in (("CharRNN", char_rnn), ("Mocap", mocap)):
        for asked in found["asked_epoch"].values:
            for statistic in found["statistic"].values:
                of_statistic = found.sel(asked_epoch=asked, statistic=statistic)
                row = {"task": task, "epoch": of_statistic["early_epoch"].item(), "asked_epoch": int(asked)}
                row |= {"quantity": STATISTIC_LABELS[statistic][0], "median": of_statistic["early_median"].item()}
                row |= {name: of_statistic[f"early_{name}"].item() for name in COEFFICIENTS}
                rows.append(row)
        notes.append(f"{task}: partial coefficients are given {_given(found)}.")
    frame = pd.DataFrame(rows)
    frame.attrs["note"] = (
        f"{' '.join(notes)} Spectra are those of the epoch in the column epoch, which is the nearest one with "
        "spectra. A dash means that a quantity is the same for all networks."
    )
    return frame


def correlation_rows(correlations: xr.Dataset) -> Iterator[dict[str, Any]]:
    """Yield a row for each quantity and performance: the coefficients, and the number of networks."""
    names = {name: label for name, (label, _) in STATISTIC_LABELS.items()}
    names |= {name: name.replace("_", " ") for name in ("validation_loss", "validation_accuracy")}
    for pair in range(correlations.sizes["pair"]):
        found = correlations.isel(pair=pair)
        row = {name: names[found[name].item()] for name in ("quantity", "performance")}
        for coefficient in ("pearson", "spearman", "partial_pearson", "partial_spearman"):
            row |= {name: found[name].item() for name in (coefficient, f"{coefficient}_low", f"{coefficient}_high")}
        yield row | {"n_used": found["n_used"].item(), "n_diverged": correlations.attrs["n_diverged"]}


def note_on_correlations(correlations: xr.Dataset, among: str = "") -> str:
    """Return the note below a table of correlations: epochs (`among`), methods, and excluded networks."""
    return (
        f"Partial coefficients are given {_given(correlations)}. At the epoch of lowest validation loss of each "
        f"network{among}, with 95% confidence intervals: Pearson's by Fisher's transformation, Spearman's by the "
        "bootstrap. A dash means that a quantity is the same for all networks, or that there are fewer than four "
        f"networks. Near zero means within {correlations.attrs['near_zero']:g} nats/step of zero. Exponents below "
        f"{correlations.attrs['exponent_floor']:g} nats/step are replaced by this value."
    )


def _given(correlations: xr.Dataset) -> str:
    """Return the names of the given quantities of partial coefficients."""
    return " and ".join(HYPERPARAMETER_NAMES[name] for name in correlations.attrs["given"]) or "nothing"
