"""Tables of numbers that the dissertation shows only in figures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from lyapunov_pkg.reproduction.tables.asrnn import table_extra_eigenvalues, table_extra_first_exponent
from lyapunov_pkg.reproduction.tables.estimation import table_extra_regimes, table_extra_warmup
from lyapunov_pkg.reproduction.tables.evolution import table_extra_settling, table_extra_statistics_over_training
from lyapunov_pkg.reproduction.tables.lorenz import table_extra_lorenz
from lyapunov_pkg.reproduction.tables.optimizers import table_extra_optimizers
from lyapunov_pkg.reproduction.tables.participation import table_extra_participation
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
        attrs=dict.fromkeys(
            ("transient", "duration", "steps_run_transient", "steps_run_measured", "long_run_duration"), 10
        )
        | {"n_trajectories": 32},
    )
    frame = table_extra_lorenz(lorenz)
    assert len(frame) == 7
    in_steps = row(frame, rho="28", found="T_init in steps")
    assert in_steps["runs_with_a_positive_exponent"] == "1 of 2"
    assert (in_steps["exponent_1_mean"], in_steps["exponent_1_std"]) == (0, pytest.approx(2**0.5))
    assert (in_steps["smallest_sum"], in_steps["largest_sum"]) == (-14, -14)
    assert row(frame, rho="28", found="converged")["runs_with_a_positive_exponent"] == "–"


def test_the_table_of_regimes_has_the_spread_over_inputs_and_states() -> None:
    exponents = np.array([[[[-1.0, -3.0], [-2.0, -4.0]]]])
    regimes = xr.Dataset(
        {"lyapunov_exponent": (("regime", "input", "initial_state", "exponent"), exponents)},
        coords={"regime": ["stable"], "gain": ("regime", [0.5])},
    )
    (found,) = table_extra_regimes(regimes).to_dict("records")
    assert (found["gain"], found["largest_exponent_mean"], found["mean_exponent_mean"]) == ("0.5", -1.5, -2.5)


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
    warmed = row(table_extra_warmup(estimator), warmup=100)
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
    assert frame["change_in_epoch_15"].tolist() == [30, 15] and frame["decay_power"].tolist() == [-1.0, -1.5]
    assert "median is -1.25" in frame.attrs["note"]


def test_statistics_over_training_are_medians() -> None:
    values = np.array([[[1.0, 10], [2, 20]], [[3, 30], [4, 40]], [[100, 1000], [200, 2000]]])
    char_rnn = xr.Dataset(
        {
            "spectrum_statistic": (("network", "epoch", "statistic"), values),
            "validation_loss": (("network", "epoch"), values[:, :, 0]),
        },
        coords={"epoch": [0, 1], "statistic": ["maximum_exponent", "mean_exponent"]},
    )
    last = row(table_extra_statistics_over_training(char_rnn), epoch=1)
    assert last[["maximum_exponent", "mean_exponent", "validation_loss"]].tolist() == [4, 40, 4]


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


def test_errors_from_eigenvalues_are_next_to_those_from_spectra() -> None:
    errors = np.array([[[3.0, 1, 2], [9, 5, 7]], [[3, 3, 4], [9, 7, 9]]])  # The axes are seed, feature and epoch.
    prednets = xr.Dataset(
        {
            "validation_error": (("seed", "feature", "prednet_epoch"), errors),
            "baseline_error": ("seed", [8.0, 10.0]),
        }
        | {name: ("summary", [4.0, 5.0]) for name in ("difference", "difference_low", "difference_high")},
        coords={"feature": ["spectrum", "eigenvalues"], "summary": ["last", "lowest"]},
        attrs={"n_networks": 20, "n_diverged": 0},
    )
    frame = table_extra_eigenvalues(prednets)
    assert frame["from_spectra_mean"].tolist() == [3, 2] and frame["from_eigenvalues_mean"].tolist() == [8, 6]
    assert frame["difference"].tolist() == [4, 5] and "9.00 ± 1.41" in frame.attrs["note"]


def test_first_exponents_are_ranked_within_eps_and_gamma() -> None:
    rng = np.random.default_rng(0)
    exponents = np.sort(rng.normal(size=(12, 1, 2)))[..., ::-1]
    spectra = xr.Dataset(
        {
            "lyapunov_exponent": (("variant", "epoch", "exponent"), exponents),
            "validation_loss": (("variant", "epoch"), -exponents[:, :, 0]),
            "diverged": ("variant", np.zeros(12, dtype=bool)),
        },
        coords={"eps": ("variant", [0.1] * 6 + [1.0] * 6), "gamma": ("variant", [0.01] * 12)},
    )
    frame = table_extra_first_exponent(spectra)
    assert frame["n_used"].tolist() == [6, 6, 12]
    np.testing.assert_allclose(frame["spearman"], -1)


def test_participation_ratios_are_means_over_states_and_networks() -> None:
    ratios = np.ones((2, 2, 3, 8)) * np.array([0.2, 0.4])[:, None, None, None]
    participation = xr.Dataset(
        {"participation_ratio": (("variant", "update", "sequence", "time"), ratios)},
        coords={"weights": ("variant", ["small", "small"]), "update": [0, 5], "time": np.arange(1, 9)},
        attrs={"updates_per_epoch": 10},
    )
    frame = table_extra_participation(participation)
    assert frame["epoch"].tolist() == ["0", "0.5"]
    assert isinstance(frame, pd.DataFrame) and frame["step_8_mean"].tolist() == pytest.approx([0.3, 0.3])
    assert frame["step_1_std"].tolist() == pytest.approx([0.2 / 2**0.5] * 2)
