"""Tables of chapter 2: change of spectra over training."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
import xarray as xr

from lyapunov_pkg.reproduction.records import Store, table

CHANGES = ("mean_squared_change", "mean_difference", "decay_power")


@table(
    stores={"evolution": Store("results/evolution/char_rnn_initialisation.zarr.zip", CHANGES)},
    chapter=2,
    caption="Convergence of Lyapunov spectra in training, by initialisation parameter p: the numbers of figure 2.6.",
)
def table_extra_settling(evolution: xr.Dataset) -> pd.DataFrame:
    """Return a row for each network: changes of the spectrum, their decay, and the approach of the mean exponent."""
    networks = evolution.sortby("init_param")
    change, difference = networks["mean_squared_change"], networks["mean_difference"]
    epochs = networks["epoch"].values
    last = epochs[-1]
    frame = pd.DataFrame({"init_param": networks["init_param"].values})
    for epoch in (*nearest(epochs[1:], (1, 4)), last):
        frame[f"change_in_epoch_{epoch}"] = change.sel(epoch=epoch).values
    frame["decay_power"] = networks["decay_power"].values
    for epoch in nearest(epochs[:-1], (0, 4, last // 2)):
        frame[f"mean_difference_at_{epoch}"] = difference.sel(epoch=epoch).values
    frame.attrs["note"] = (
        "Change: mean squared difference of the exponents from the previous epoch, nats²/step². Decay power: b of "
        f"the law change = a t^b that fits best; 1/t has -1. Its median is {np.median(networks['decay_power']):.2f}. "
        f"Mean difference: mean exponent less that of epoch {last}, nats/step; below zero: it converges from below."
    )
    return frame


def nearest(epochs: np.ndarray, wanted: Iterable[int]) -> list[int]:
    """Return the epochs nearest to the wanted ones, each once."""
    if not len(epochs):
        return []
    return list(dict.fromkeys(int(epochs[abs(epochs - epoch).argmin()]) for epoch in wanted))


@table(
    stores={
        "char_rnn": Store(
            "results/populations/char_rnn_regularisation.zarr.zip", ("spectrum_statistic", "validation_loss")
        )
    },
    chapter=2,
    caption="Statistics of the spectrum and validation loss of CharRNN networks over training, medians over networks.",
)
def table_extra_statistics_over_training(char_rnn: xr.Dataset) -> pd.DataFrame:
    """Return a row for each epoch: medians over networks of the largest and the mean exponent, and of the loss."""
    statistics = char_rnn["spectrum_statistic"].median("network")
    frame = pd.DataFrame({"epoch": char_rnn["epoch"].values})
    for name in ("maximum_exponent", "mean_exponent"):
        frame[name] = statistics.sel(statistic=name).transpose("epoch").values
    frame["validation_loss"] = char_rnn["validation_loss"].median("network").values
    frame.attrs["note"] = f"{char_rnn.sizes['network']} networks."
    return frame
