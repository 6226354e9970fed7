"""Tables of numbers that the dissertation shows only in figures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import spearmanr

from lyapunov_pkg.reproduction.tables.asrnn import table_extra_eigenvalues, table_extra_first_exponent
from lyapunov_pkg.reproduction.tables.estimation import table_extra_regimes, table_extra_warmup
from lyapunov_pkg.reproduction.tables.evolution import (
    nearest,
    table_extra_settling,
    table_extra_statistics_over_training,
)
from lyapunov_pkg.reproduction.tables.lorenz import table_extra_lorenz
from lyapunov_pkg.reproduction.tables.optimizers import table_extra_optimizers
from lyapunov_pkg.reproduction.tables.participation import table_extra_participation
from lyapunov_pkg.reproduction.tables.writing import readable
from tests.reproduction.tables.stores import row


def test_the_lorenz_table_counts_runs_and_omits_unstable_fixed_points() -> None:
    dims, runs = ("rho", "exponent"), np.array([[[1.0, -3, -12], [-1, -3, -10]], [[-1.0, -2, -11], [-1, -2, -11]]])
    lorenz = xr.Dataset(
        {
            "short_run_exponent": (dims, runs[:, 0]),
            "steps_run_exponent": (("rho", "run", "exponent"), runs),
            "long_run_exponent": (dims, runs[:, 1]),
            "long_run_standard_error": (dims, np.full((2, 3), 0.002)),
            "fixed_point_exponent": (dims, [[np.nan] * 3, [-1, -2, -11]]),
        },
        coords={"rho": [28.0, 1.0], "exponent": [1, 2, 3]},
        attrs={"transient": 10.0, "duration": 40.0, "steps_run_transient": 11, "steps_run_measured": 4000}
        | {"long_run_duration": 200.0, "n_trajectories": 32},
    )
    lorenz["long_run_standard_error"][1, 2] = 0.03
    frame = table_extra_lorenz(lorenz)
    assert len(frame) == 7
    in_steps = row(frame, rho="28", found="T_init in steps")
    assert in_steps["runs_with_a_positive_exponent"] == "1 of 2"
    assert (in_steps["exponent_1_mean"], in_steps["exponent_1_std"]) == (0, pytest.approx(2**0.5))
    assert (in_steps["smallest_sum"], in_steps["largest_sum"]) == (-14, -14)
    converged = row(frame, rho="28", found="converged")
    assert converged["runs_with_a_positive_exponent"] == "–"
    assert converged[[f"exponent_{number}_mean" for number in (1, 2, 3)]].tolist() == [-1, -3, -10]
    assert np.isnan(converged["exponent_1_std"])
    assert readable(frame)["exponent 1"].tolist()[:2] == ["1.000", "0.000 ± 1.414"]
    note = frame.attrs["note"]
    assert "a transient of 10 and 40 time units measured" in note
    assert "a transient of 11 steps and 4000 steps measured" in note
    assert "mean over 32 trajectories of 200 time units, with standard errors of at most 0.03." in note


def test_the_table_of_regimes_has_the_spread_over_inputs_and_states() -> None:
    exponents = np.array([[[[-1.0, -3.0], [-2.0, -6.0]]]])
    regimes = xr.Dataset(
        {"lyapunov_exponent": (("regime", "input", "initial_state", "exponent"), exponents)},
        coords={"regime": ["stable"], "gain": ("regime", [0.5])},
    )
    frame = table_extra_regimes(regimes)
    (found,) = frame.to_dict("records")
    assert (found["gain"], found["largest_exponent_mean"], found["mean_exponent_mean"]) == ("0.5", -1.5, -3)
    shown = readable(frame)
    assert list(shown)[2:] == ["LE max [nats/step]", "LE mean [nats/step]"]
    assert shown.iloc[0, 2:].tolist() == ["-1.500 ± 0.707", "-3.000 ± 1.414"]
    assert frame.attrs["note"].startswith("2 units, 1 inputs with 2 initial states each.")


def test_the_table_of_estimates_is_by_warmup_and_interval() -> None:
    estimator = xr.Dataset(
        {
            "early_change": ("warmup", [0.2, 0.1]),
            "early_bias": ("warmup", [0.3, 0.0]),
            "lyapunov_exponent_std": (("warmup", "exponent"), [[1.0, 1, 3, 3], [2, 2, 4, 4]]),
            "largest_change": (("interval", "half"), [[0.0, 0], [1e-6, 0.25]]),
        },
        coords={"warmup": [0, 100], "interval": [1, 2], "half": ["first", "second"]},
        attrs={"init_param": 0.1, "hidden_size": 4, "epoch": 3, "early_steps": 10, "n_sequences": 5},
    )
    frame = table_extra_warmup(estimator)
    assert frame["early_change"].tolist() == [0.2, 0.1]
    assert frame.attrs["note"].startswith("For the network of p = 0.1 with 4 units after epoch 3.")
    assert "in the first 10 steps" in frame.attrs["note"] and "over 5 sequences" in frame.attrs["note"]
    warmed = row(frame, warmup=100)
    assert (warmed["early_bias"], warmed["spread_in_first_half"], warmed["spread_in_second_half"]) == (0, 2, 4)


def test_the_table_of_convergence_is_sorted_by_initialisation() -> None:
    epochs = np.arange(16)
    evolution = xr.Dataset(
        {
            "mean_squared_change": (("network", "epoch"), np.stack([1.0 * epochs, 2.0 * epochs])),
            "mean_difference": (("network", "epoch"), np.stack([-1.0 * epochs, 1.0 * epochs])),
            "decay_power": ("network", [-1.5, -1.0]),
        },
        coords={"epoch": epochs, "init_param": ("network", [0.5, 0.04])},
    )
    frame = table_extra_settling(evolution)
    assert frame["init_param"].tolist() == [0.04, 0.5]
    assert list(frame)[1:4] == ["change_in_epoch_1", "change_in_epoch_4", "change_in_epoch_15"]
    assert frame["change_in_epoch_4"].tolist() == [8, 4] and frame["change_in_epoch_15"].tolist() == [30, 15]
    assert frame["decay_power"].tolist() == [-1.0, -1.5]
    assert list(frame)[5:] == ["mean_difference_at_0", "mean_difference_at_4", "mean_difference_at_7"]
    assert frame["mean_difference_at_7"].tolist() == [7, -7]
    assert "median is -1.25" in frame.attrs["note"] and "less that of epoch 15" in frame.attrs["note"]
    start = table_extra_settling(evolution.isel(epoch=[0]))
    assert list(start) == ["init_param", "change_in_epoch_0", "decay_power"]


def test_nearest_epochs_are_named_once() -> None:
    assert nearest(np.array([0, 3, 9]), (1, 2, 7, 20)) == [0, 3, 9]
    assert nearest(np.array([]), (1,)) == []


def test_statistics_over_training_are_medians() -> None:
    values = np.array([[[1.0, 10], [2, 20]], [[3, 30], [4, 40]], [[100, 1000], [200, 2000]]])
    char_rnn = xr.Dataset(
        {
            "spectrum_statistic": (("network", "epoch", "statistic"), values),
            "validation_loss": (("network", "epoch"), values[:, :, 0]),
        },
        coords={"epoch": [0, 1], "statistic": ["maximum_exponent", "mean_exponent"]},
    )
    for stored in (char_rnn, char_rnn.transpose()):
        frame = table_extra_statistics_over_training(stored)
        assert frame["maximum_exponent"].tolist() == [3, 4] and frame["mean_exponent"].tolist() == [30, 40]
        assert frame["validation_loss"].tolist() == [3, 4] and frame["epoch"].tolist() == [0, 1]
        assert frame.attrs["note"] == "3 networks."


def test_optimizers_have_a_row_for_each_statistic() -> None:
    dims = ("architecture", "statistic", "optimizer")
    names = [f"{name}{end}" for name in ("spearman", "difference") for end in ("", "_low", "_high")]
    comparison = xr.Dataset(
        {name: (dims, np.full((1, 2, 2), number / 10)) for number, name in enumerate([*names, "n_used"])}
        | {"final_loss": (("architecture", "optimizer", "network"), np.arange(6.0).reshape(1, 2, 3))},
        coords={
            "architecture": ["rnn"],
            "statistic": ["maximum_exponent", "mean_exponent"],
            "optimizer": ["adam", "sgd"],
        },
        attrs={"reference": "adam"},
    )
    frame = table_extra_optimizers(comparison)
    assert len(frame) == 4
    found = row(frame, statistic="LE mean", optimizer="SGD, momentum")
    assert (found["median_loss"], found["spearman"], found["difference_high"]) == (4, 0, 0.5)
    assert frame["optimizer"].tolist() == ["Adam", "SGD, momentum"] * 2
    assert frame["architecture"].tolist() == ["RNN"] * 4
    assert frame["difference"].isna().tolist() == [True, False] * 2 and frame["spearman_high"].tolist() == [0.2] * 4
    assert "the coefficient minus that of Adam" in frame.attrs["note"]


def test_errors_from_eigenvalues_are_next_to_those_from_spectra() -> None:
    errors = np.array([[[3.0, 1, 2], [9, 5, 7]], [[3, 3, 4], [9, 7, 9]]])  # The axes are seed, feature and epoch.
    prednets = xr.Dataset(
        {
            "validation_error": (("seed", "feature", "prednet_epoch"), errors),
            "baseline_error": ("seed", [8.0, 10.0]),
        }
        | {name: ("summary", [4.0, 5.0]) for name in ("difference", "difference_low", "difference_high")},
        coords={"feature": ["spectrum", "eigenvalues"], "summary": ["last", "lowest"]},
        attrs={"n_networks": 20, "n_diverged": 3},
    )
    frame = table_extra_eigenvalues(prednets)
    assert frame["error"].tolist() == ["last epoch", "lowest of each curve"]
    assert frame["from_spectra_mean"].tolist() == [3, 2] and frame["from_eigenvalues_mean"].tolist() == [8, 6]
    assert frame["from_spectra_std"].tolist() == pytest.approx([2**0.5] * 2)
    assert frame["difference_high"].dtype == float
    assert "2 splits of 20 networks, and 3 that diverged" in frame.attrs["note"]
    assert frame["difference"].tolist() == [4, 5] and "9.00 ± 1.41" in frame.attrs["note"]


def test_first_exponents_are_ranked_within_eps_and_gamma() -> None:
    rng = np.random.default_rng(0)
    exponents = np.sort(rng.normal(size=(13, 2, 2)))[..., ::-1]
    spectra = xr.Dataset(
        {
            "lyapunov_exponent": (("variant", "epoch", "exponent"), exponents),
            "validation_loss": (("variant", "epoch"), -exponents[:, :, 0]),
            "diverged": ("variant", [False] * 12 + [True]),
        },
        coords={"eps": ("variant", [0.1] * 6 + [1.0] * 7), "gamma": ("variant", [0.01] * 12 + [0.5])},
    )
    spectra["validation_loss"][6:, -1] *= -1
    spectra["validation_loss"][0, -1] = -10.0
    frame = table_extra_first_exponent(spectra)
    assert frame["n_used"].tolist() == [6, 6, 12]
    assert frame["eps"].tolist() == ["0.1", "1", "all"] and frame["gamma"].tolist() == ["0.01", "0.01", "all"]
    first, loss = exponents[:12, -1, 0], spectra["validation_loss"].values[:12, -1]
    expected = [spearmanr(first[part], loss[part]).statistic for part in (slice(6), slice(6, 12), slice(12))]
    np.testing.assert_allclose(frame["spearman"], expected)
    assert expected[1] == pytest.approx(1) and abs(expected[0]) < 1
    assert (frame["spearman_low"] <= frame["spearman"]).all() and (frame["spearman"] <= frame["spearman_high"]).all()
    assert "better networks have smaller first exponents" in frame.attrs["note"]


def test_participation_ratios_are_means_over_states_and_networks() -> None:
    ratios = np.arange(1, 15.0) * np.array([0.1, 0.2, 0.3])[:, None] * np.array([0.2, 0.4])[:, None, None, None]
    ratios = np.concatenate([ratios, 10 * ratios], axis=1)
    participation = xr.Dataset(
        {"participation_ratio": (("variant", "update", "sequence", "time"), ratios)},
        coords={"weights": ("variant", ["small", "small"]), "update": [0, 5], "time": np.arange(1, 15)},
        attrs={"updates_per_epoch": 10},
    )
    frame = table_extra_participation(participation)
    assert frame["epoch"].tolist() == ["0", "0.5"]
    assert isinstance(frame, pd.DataFrame) and frame["weights"].tolist() == ["small"] * 2
    shown = [1, 3, 5, 7, 10, 12, 14]  # the seven steps nearest to sixths of the sequence
    assert list(frame)[2:] == [f"step_{step}_{kind}" for step in shown for kind in ("mean", "std")]
    assert frame["step_5_mean"].tolist() == pytest.approx([5 * 0.06, 50 * 0.06])
    assert frame["step_1_std"].tolist() == pytest.approx([0.04 / 2**0.5, 0.4 / 2**0.5])
    note = frame.attrs["note"]
    assert "networks (2 from small weights) of the mean over 3 initial states" in note
    short = table_extra_participation(participation.isel(time=slice(3)).assign_coords(weights=("variant", ["b", "a"])))
    assert list(short)[2::2] == ["step_1_mean", "step_2_mean", "step_3_mean"]
    assert "(1 from a, 1 from b weights)" in short.attrs["note"]
