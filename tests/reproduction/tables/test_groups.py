from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from lyapunov_pkg.reproduction.tables.groups import (
    table_extra_architectures,
    table_extra_gains,
    table_extra_sizes,
)
from tests.reproduction.tables.stores import row


def training(losses: list[float], diverged: list[bool], **coordinates) -> xr.Dataset:
    """Return a training store of networks whose losses decrease from 9 to `losses`."""
    return xr.Dataset(
        {
            "validation_loss": (("variant", "epoch"), [[9.0, loss] for loss in losses]),
            "diverged": ("variant", diverged),
        },
        coords={"epoch": [0, 1]} | {name: ("variant", values) for name, values in coordinates.items()},
    )


def test_low_error_is_below_the_median_of_the_networks_that_did_not_diverge():
    signals = training([0.1, 0.2, 0.3, 0.4, np.nan], [False] * 4 + [True], init_param=[1.1, 1.5, 1.1, 1.5, 1.5])
    frame = table_extra_gains(signals)
    low, high = row(frame, g=1.1), row(frame, g=1.5)
    assert (low["networks"], low["n_diverged"]) == (2, 0)
    assert (high["networks"], high["n_diverged"]) == (2, 1)
    assert (low["low_error_share"], high["low_error_share"]) == (50, 50)
    assert (low["lowest_loss"], low["median_loss"]) == (0.1, pytest.approx(0.2))
    assert "below the median of all networks" in frame.attrs["note"]
    # The median of these losses is 0.25 and their mean 25, and the axes of the store may have another order.
    skewed = training([0.1, 0.2, 0.3, 100.0], [False] * 4, init_param=[1.1] * 2 + [1.5] * 2).transpose()
    assert table_extra_gains(skewed)["low_error_share"].tolist() == [100, 0]
    assert (high["lower_quartile"], high["upper_quartile"]) == (pytest.approx(0.25), pytest.approx(0.35))


def test_groups_have_the_order_of_the_figures_and_a_diverged_group_has_no_losses():
    images = training([0.1, 0.3, np.nan], [False, False, True], architecture=["lem", "rnn", "gru"])
    frame = table_extra_architectures(images)
    assert frame["architecture"].tolist() == ["RNN", "GRU", "LEM"]
    assert row(frame, architecture="LEM")["low_error_share"] == 100
    gone = row(frame, architecture="GRU")
    assert (gone["networks"], gone["n_diverged"]) == (0, 1)
    assert gone[["low_error_share", "lowest_loss", "median_loss"]].isna().all()
    sizes = table_extra_sizes(training([2.0, 1.0], [False, False], hidden_size=[64, 16]))
    assert sizes["hidden_size"].tolist() == [16, 64]
    assert sizes["low_error_share"].tolist() == [100, 0]
