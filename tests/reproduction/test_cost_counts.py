"""Costs of the jobs of the default configuration, compared with operations and numbers that are counted by hand.

The measured times of `costs.constants` are taken by their names, because measurements on another machine change them.
"""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from lyapunov_pkg.networks import Network
from lyapunov_pkg.reproduction.costs import __main__ as command
from lyapunov_pkg.reproduction.costs import calibration
from lyapunov_pkg.reproduction.costs.calibration import Speed, calibrate
from lyapunov_pkg.reproduction.costs.constants import (
    BASE_MEMORY,
    BATCHED_FLOP,
    CALIBRATED,
    COMPRESSED,
    DENSE_FLOP,
    DENSE_STEP,
    DOUBLE_FLOP,
    FLOW_STEP,
    FREE_RUN,
    RECOMPUTED,
    RLS_FLOP,
    SPECTRUM,
    START,
    START_WITHOUT_TORCH,
    TANGENT_FLOP,
    TANGENT_STEP,
    TRAINED_ELEMENT,
    TRAINED_FLOP,
    UPDATE,
)
from lyapunov_pkg.reproduction.costs.data import Data, task_data
from lyapunov_pkg.reproduction.costs.networks import Networks, tangent_flops
from lyapunov_pkg.reproduction.costs.rules import RULES, WITHOUT_TORCH, Costs
from lyapunov_pkg.reproduction.training.design import Group
from lyapunov_pkg.spectra import averaging
from lyapunov_pkg.workflow.plan import Job
from tests.reproduction.test_costs import default_settings, own_cost
from tests.snakemake.test_keys import write_idx

MB = 4e-6  # of a number in float32


def spectrum_seconds(n_sequences: int, n_steps: int, flops: float) -> float:
    return n_sequences * n_steps * (RECOMPUTED * flops * TANGENT_FLOP + TANGENT_STEP) + SPECTRUM


def training_seconds(n_parameters: int, n_elements: int, n_trained: float, n_evaluated: float) -> float:
    """Return the seconds of steps with gradients and of steps without."""
    trained = 6 * n_parameters * TRAINED_FLOP + n_elements * TRAINED_ELEMENT
    return n_trained * trained + n_evaluated * (2 * n_parameters * TRAINED_FLOP + n_elements * TRAINED_ELEMENT)


# The digits are 1437 images for training and 360 for tests, of 8 rows of 8 pixels, or of 64 pixels. An RNN of 32 units
# on rows has 32 * 8 + 32 * 32 + 10 * 32 = 1600 weights.
DIGITS = (1437 + 360) * 64 * 1e-6  # MB
RNN = 1600
SMNIST = {"study": "smnist", "group": "rnn", "shard": "0"}  # 24 networks, 10 epochs of 12 batches
# An LSTM of 16 units has weights of 64 * 100 + 64 * 16 + 100 * 16. There are 1200 sequences of 100 steps, of which 960
# are for training and 120 each for validation and tests. Each of 12 networks gets 30% of them in batches of 10.
LSTM = 9024
SIZES = {"study": "char_rnn_sizes", "group": "lstm_16", "shard": "0"}
ASRNN = {"study": "asrnn", "group": "asrnn_eps-0.01_gamma-0.01", "shard": "0"}  # 35 of 210 networks of 16 units

COUNTED: dict[str, tuple[dict[str, str], tuple[float, float, float]]] = {
    "smnist_dataset": ({}, (0.2 + DIGITS / 20, 150 - BASE_MEMORY + 10 * DIGITS, DIGITS / 2)),
    "train": (
        SMNIST,
        (
            10 * (24 * training_seconds(RNN, 32, 8 * 1437, 8 * 360) + 12 * 3 * UPDATE),
            # Eight networks evaluate 360 images of 8 steps together, which is more than a batch of 128 images.
            8 * 2880 * 4 * 32 * MB + RNN * MB * (4 * 8 + 3 * 24 * 11) + 4 * DIGITS,
            24 * RNN * MB * (11 * COMPRESSED + 2),
        ),
    ),
    "spectra": (
        SMNIST,
        (
            24 * 11 * spectrum_seconds(32, 16, 2 * 32**2 * 64),
            32 * 4 * 32**2 * MB + 2 * RNN * 24 * 12 * MB,
            24 * 11 * 32 * 4 * MB * COMPRESSED,
        ),
    ),
    "train_target_learning": (
        {"group": "rank_one", "shard": "1"},  # 60 of 120 networks of 128 units
        (
            60 * (1200 * 30 * 2 * 0.1 * 128**2 + 600 * 15 * 4 * 128**2) * RLS_FLOP,
            5 * 60 * 128**2 * MB,
            0.4 * 60 * 128**2 * MB,
        ),
    ),
    "spectra_target_learning": (
        {"group": "rank_one", "shard": "0"},
        (
            FREE_RUN * 60 * spectrum_seconds(10, 200, 2 * 128**2 * (128 + 12.8)),
            10 * 4 * 128**2 * MB + 2 * (128 + 128**2 + 128) * 60 * 2 * MB,
            60 * 128 * 4 * MB * COMPRESSED,
        ),
    ),
    "aelle": (
        # All 192 networks have one spectrum, of which 70% are in two batches. Spectra are stored for 11 epochs.
        {"study": "smnist", "experiment": "final"},
        (
            4 * 250 * 2 * (DENSE_STEP + 6 * 2 * (512 * 64 + 64 * 32 + 32 * 32) * 128 * 5 * DENSE_FLOP),
            200 + 6 * 192 * 11 * 512 * 2 * MB,
            192 * 11 * 512 * 2 * MB,
        ),
    ),
    "prednet": (
        {"study": "char_rnn_sizes"},  # 48 networks
        (2000 * (DENSE_STEP + 6 * 96 * 50 * 0.7 * 48 * 10 * DENSE_FLOP), 8 * 48 * 96 * MB, 2),
    ),
    "eigenvalues": (
        {"study": "asrnn"},
        (25 * 16**3 * 210 * DOUBLE_FLOP, 2 * 210 * (128 + 256 + 160) * MB, 210 * 16 * 4 * MB),
    ),
    "eigenvalue_prednets": (
        {"study": "asrnn"},
        (2 * 3000 * (DENSE_STEP + 6 * 16 * 10 * 0.8 * 210 * 10 * DENSE_FLOP), 8 * 210 * 16 * MB, 2),
    ),
    "correlations": ({"study": "smnist"}, (192 * 2000 * 10e-6, 200 - BASE_MEMORY, 1)),
    "optimizers": (
        # Four optimisers train 40 RNNs and 40 LSTMs of 16 units, with 544 and 1696 weights, on 23 batches of 64 images.
        {},
        (
            4 * 5 * 40 * (training_seconds(544, 16, 8 * 1437, 8 * 360) + training_seconds(1696, 64, 8 * 1437, 8 * 360))
            + 4 * 5 * 2 * 23 * 5 * UPDATE
            + 4 * 2 * 40 * spectrum_seconds(16, 16, 2 * 16**2 * 32),
            8 * 2880 * 4 * 64 * MB + 1696 * MB * (4 * 8 + 3 * 40),
            0.1,
        ),
    ),
    "estimator": (
        # Three warm-ups in two ways and six intervals; 10 sequences of 250 + 200 steps; 6 LSTMs of 48 units.
        {},
        (
            12 * 10 * 450 * 2 * 48**2 * 96 * TANGENT_FLOP,
            6 * (192 * 148 + 100 * 48) * MB + 40 * 3 * 200 * 48 * 2 * MB,
            3 * 200 * 48 * 2 * MB,
        ),
    ),
    "alignment": ({}, (6 * 2 * 25 * 8 * 30 * 32**3 * DOUBLE_FLOP, 10 * 25 * 8 * 32**2 * 2 * MB, 5)),
    "participation": (
        {},  # six networks; two of five epochs, each of 90 batches of 16 images
        (
            2 * (6 * training_seconds(RNN, 32, 8 * 1437, 8 * 360) + 90 * UPDATE)
            + 6 * 5 * 25 * 8 * 8 * 2 * 32**2 * DOUBLE_FLOP,
            6 * 2880 * 4 * 32 * MB + RNN * MB * (4 * 6 + 3 * 6),
            1,
        ),
    ),
    "flips": (
        # Two networks of 64 units, 150 images of 64 steps, 20 tangent vectors, and three times one. 50 draws from all
        # and 50 from later steps, and 42 rankings, of each of 7 numbers of flips.
        {},
        (
            2
            * 150
            * 64
            * (2 * 64 * 20 * (64 + 20) + 3 * 2 * 64 * (64 + 1) + 7 * (100 + 42) * 2 * 64**2)
            * BATCHED_FLOP,
            10 * 150 * 64**2 * 2 * MB + 3 * 150 * 64 * 20 * 2 * MB,
            2,
        ),
    ),
    "lorenz": ({}, (4 * (50_000 + 20 * 4_010 + 32 * 25_000) * FLOW_STEP, 70, 5)),
    "stability_regimes": (
        {},
        (
            3 * 2 * 10 * 400 * 2 * 100**2 * 200 * DOUBLE_FLOP,
            10 * 3 * 20 * 400 * 100 * 2 * MB,
            3 * 20 * 400 * 100 * 2 * MB,
        ),
    ),
}


@pytest.mark.parametrize("rule", COUNTED)
def test_costs_of_the_default_configuration(rule: str) -> None:
    wildcards, expected = COUNTED[rule]
    assert own_cost(rule, wildcards, {}) == pytest.approx(expected, rel=1e-9)


def test_training_on_a_share_of_the_text_with_outputs_at_every_step() -> None:
    seconds, memory, disk = own_cost("train", SIZES, {})
    # Pre-activations of 4 * 16 units and 100 outputs. Validation is on the 240 sequences that are not for training.
    in_epoch = 12 * training_seconds(LSTM, 164, 30 * 960, 30 * 240)
    assert seconds == pytest.approx(15 * (in_epoch + 29 * 2 * UPDATE))
    # At most 7000 steps are evaluated together.
    activations = 8 * 7000 * (4 * 64 + 13 * 100) * MB
    assert memory == pytest.approx(activations + LSTM * MB * (4 * 8 + 3 * 12 * 3) + 4 * 1080 * 100 * 1e-6)
    assert disk == pytest.approx(12 * LSTM * MB * 3 * COMPRESSED)


def test_the_best_epoch_is_stored_in_addition() -> None:
    wildcards = {"study": "pixel_rnn", "group": "rnn", "shard": "1"}
    assert own_cost("train", wildcards, {})[2] == pytest.approx((64 + 64**2 + 10 * 64) * MB * 2 * COMPRESSED)


def test_aelle_on_early_spectra_uses_those_of_several_epochs() -> None:
    seconds, memory, disk = own_cost("aelle", {"study": "smnist", "experiment": "pretrained"}, {})
    weights = 2 * (512 * 64 + 64 * 32 + 32 * 32)  # encoder and decoder
    n_batches = math.ceil(0.2 * 192 * 6 / 128)
    assert seconds == pytest.approx(4 * 250 * n_batches * (DENSE_STEP + 6 * weights * 128 * 5 * DENSE_FLOP))
    small = {"studies.smnist.variants": 1, "aelle.spectrum_length": None}  # 8 networks of 32 units: 0.7 * 8 spectra
    own = own_cost("aelle", {"study": "smnist", "experiment": "final"}, small)
    weights = 2 * (32 * 4 + 4 * 2 + 2 * 32)
    assert own[0] == pytest.approx(4 * 250 * (DENSE_STEP + 6 * weights * 0.7 * 8 * 5 * DENSE_FLOP))
    assert own[2] == pytest.approx(8 * 11 * 32 * 2 * MB) and disk == pytest.approx(192 * 11 * 512 * 2 * MB)
    assert memory == pytest.approx(200 + 6 * disk)


def test_prednet_without_a_length_uses_the_largest_networks() -> None:
    seconds = own_cost("prednet", {"study": "char_rnn_sizes"}, {"prednet.early.spectrum_length": None})[0]
    assert seconds == pytest.approx(2000 * (DENSE_STEP + 6 * 64 * 50 * 0.7 * 48 * 10 * DENSE_FLOP))


def test_spectra_of_several_passes_and_of_the_full_jacobian() -> None:
    seconds = own_cost("spectra", ASRNN, {})[0]
    assert seconds == pytest.approx(35 * spectrum_seconds(20, 126 * 8, 2 * 16**2 * 32))
    settings = "studies.char_rnn_sizes.spectra."
    full = own_cost("spectra", SIZES, {settings + "jacobian": "full", settings + "orthonormalize_every": 4})[0]
    assert full == pytest.approx(12 * 3 * spectrum_seconds(10, 200, 2 * 32**2 * (32 + 8)))
    double = own_cost("spectra", SIZES, {settings + "dtype": "float64"})[0]
    assert double == pytest.approx(12 * 3 * spectrum_seconds(10, 200, 2 * 2 * 16**2 * 32))


def test_sizes_of_networks_with_several_layers() -> None:
    settings = {"architecture": "lstm", "hidden_size": 16, "n_layers": 3, "init_param": 0.1, "learning_rate": 0.1}
    networks = Networks({"training": {"loss_on": "all"}}, Group("lstm_16", settings, 1), Data(80, 10, 20, 5, 7))
    assert (networks.hidden_size, networks.n_rows, networks.scored) == (48, 192, 7)
    assert networks.n_parameters == 64 * (5 + 16) + 2 * 64 * (16 + 16) + 7 * 16


def test_memory_of_long_sequences_and_of_large_batches() -> None:
    settings = {"architecture": "rnn", "hidden_size": 10, "init_param": 0.1, "learning_rate": 0.1}
    training = {"loss_on": "last", "batch_size": 1}
    group = Group("rnn", settings, 1)
    networks = Networks({"training": training}, group, Data(80, 10, 9000, 1, 1))
    parameters = 120 * MB * (4 + 3)
    # One sequence of 9000 steps at a time, because it is longer than 7000 steps.
    assert networks.training_memory(1, 1) == pytest.approx(BASE_MEMORY + 9000 * 4 * 10 * MB + parameters)
    large = Networks({"training": training | {"batch_size": 40}}, group, Data(80, 10, 100, 1, 1))
    assert large.training_memory(1, 1) == pytest.approx(BASE_MEMORY + 40 * 100 * 4 * 10 * MB + parameters)


def test_operations_of_fewer_vectors_than_units() -> None:
    assert tangent_flops(6, 3, n_vectors=3) == 2 * 6 * 3 * (6 + 1)


JOBS = COUNTED | {"draw_figure": ({}, (0,) * 3), "char_rnn_dataset": ({}, (0,) * 3)}
OF_TANGENTS = {"spectra", "spectra_target_learning", "estimator", "lorenz", "stability_regimes"}


@pytest.mark.parametrize("rule", JOBS)
def test_a_slower_machine_needs_more_time_for_its_part_of_the_work(rule: str) -> None:
    job = Job(rule, JOBS[rule][0])

    def seconds(**speed: float) -> float:
        return Costs(default_settings(), Speed(**speed)).of(job).seconds

    start = START_WITHOUT_TORCH if rule in ("char_rnn_dataset", "correlations") else START
    base, own = seconds(), seconds() - start
    assert seconds(start=3) == pytest.approx(base + 2 * start)
    trained, of_tangents = seconds(training=3) - base, seconds(tangents=3) - base
    assert trained + of_tangents == pytest.approx(0 if rule.endswith("dataset") else 2 * own)
    if rule != "optimizers":
        assert (of_tangents > 0) == (rule in OF_TANGENTS) or not trained
    else:
        assert trained > 0 < of_tangents


def test_jobs_without_torch_start_sooner() -> None:
    tables = {"evolution", "correlations", "pruning", "write_table", "char_rnn_dataset", "mocap_dataset"}
    assert WITHOUT_TORCH == tables < set(RULES)
    costs = Costs(default_settings())
    assert costs.of(Job("write_table")).seconds == pytest.approx(START_WITHOUT_TORCH + 0.2)
    assert costs.of(Job("draw_figure")).seconds == pytest.approx(START + 0.2)
    assert costs.of(Job("evolution")) == dataclasses.replace(costs.of(Job("write_table")), disk=0.1)


def with_data(task: str, **settings: Any) -> dict[str, Any]:
    return {task: {"data": default_settings()[task]["data"] | settings}}


def test_sizes_of_data_follow_the_settings(tmp_path: Path) -> None:
    images = with_data("smnist", source="mnist", n_train=500)
    assert task_data(images, "smnist") == Data(500, 10_000, 28, 28, 10)
    assert task_data(with_data("smnist", source="mnist", n_test=50), "smnist_pixels") == Data(60_000, 50, 784, 1, 10)
    own = tmp_path / "own.txt"
    own.write_text("x" * 1099)
    # 109 whole sequences of ten characters, of which a tenth each is for validation and for tests.
    text = with_data("char_rnn", source="file", path=str(own), sequence_length=10, n_sequences=None)
    assert task_data(text, "char_rnn") == Data(89, 10, 9, 100, 100)
    book = with_data("char_rnn", source="war_and_peace", sequence_length=100, n_sequences=None)
    assert task_data(book, "char_rnn") == Data(25_600, 3_200, 99, 100, 100)
    assert task_data(with_data("char_rnn", n_sequences=50), "char_rnn") == Data(40, 5, 100, 100, 100)
    default = with_data("char_rnn", sequence_length=50, n_sequences=None)  # of 500,000 characters
    assert task_data(default, "char_rnn") == Data(8_000, 1_000, 49, 100, 100)
    motions = with_data("mocap", source="cmu", sequence_length=31)
    assert task_data(motions, "mocap") == Data(189 - 37, 37, 30, 50, 50)
    assert task_data(with_data("mocap"), "mocap") == Data(160, 40, 100, 20, 20)


def test_sizes_of_own_images_are_those_of_their_files(tmp_path: Path) -> None:
    for part, n in (("train", 20), ("test", 6)):
        write_idx(tmp_path, f"{part}_images", np.arange(6 * n).reshape(n, 2, 3))
        write_idx(tmp_path, f"{part}_labels", np.arange(n) % 2)
    own = with_data("smnist", source="idx", directory=str(tmp_path))
    assert task_data(own, "smnist") == Data(20, 6, 2, 3, 2)
    assert task_data(own, "smnist_pixels") == Data(20, 6, 6, 1, 2)


def test_characters_take_one_byte_and_other_features_one_byte_each() -> None:
    assert Data(8, 2, 10, 100, 100).size == pytest.approx(100e-6)
    assert Data(8, 2, 10, 100, 3).size == pytest.approx(10_000e-6)
    assert Data(8, 2, 10, 3, 3).size == pytest.approx(300e-6)


def test_the_first_run_of_an_action_is_not_timed_and_the_shortest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[float] = []
    taken = iter([0.01, 5.0, 3.0, 0.5, *[4.0] * 20])  # the first includes compilation
    now = [100.0]

    def action() -> None:
        runs.append(next(taken))
        now[0] += runs[-1]

    monkeypatch.setattr(calibration.time, "perf_counter", lambda: now[0])
    assert calibration._shortest(action) == pytest.approx(0.5)
    assert len(runs) > 3


def test_calibration_divides_measured_times_by_those_of_the_constants(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = iter([0.5, 0.25])
    shapes: list[tuple[int, ...]] = []

    def one_run(action: Callable[[], None]) -> float:
        action()
        return next(measured)

    def forward(network: Network, inputs: torch.Tensor, **others: Any) -> torch.Tensor:
        assert all(value.requires_grad for value in network.params.values())
        assert network.params["readout.weight"].shape == (1, 28, 128)
        shapes.append(tuple(inputs.shape))
        return sum(value.sum() for value in network.params.values())  # type: ignore[return-value]

    def average(network: Any, inputs: torch.Tensor, state: Any, tangents: Any, **settings: int) -> None:
        assert settings == {"warmup": 0, "orthonormalize_every": 1} and network.hidden_size == 128
        assert state.shape == (1, 10, 2 * 128)
        shapes.append(tuple(inputs.shape))

    readings = iter([10.0, 11.3])
    started: list[Any] = []
    monkeypatch.setattr(calibration, "_shortest", one_run)
    monkeypatch.setattr(calibration, "time", SimpleNamespace(perf_counter=readings.__next__))
    monkeypatch.setattr(subprocess, "run", lambda *arguments, **options: started.append((arguments, options)))
    monkeypatch.setattr(Network, "forward", forward)
    monkeypatch.setattr(averaging, "average_exponents", average)
    speed = calibrate()
    # A batch of 32 sequences of 50 steps for an LSTM of 128 units, 28 features and 28 outputs.
    assert shapes == [(1, 32, 50, 28), (10, 50, 28)]
    training = 32 * 50 * (6 * 83_456 * TRAINED_FLOP + (512 + 28) * TRAINED_ELEMENT) + UPDATE
    assert speed.training == pytest.approx(0.5 / (CALIBRATED * training))
    of_spectrum = 10 * 50 * (2 * 128**2 * 256 * TANGENT_FLOP + TANGENT_STEP) + SPECTRUM
    assert speed.tangents == pytest.approx(0.25 / of_spectrum)
    assert speed.start == pytest.approx((0.7 + 1.3) / START)
    (((program, *_),), options), *_ = started
    assert program == sys.executable and options["check"]


def run_main(monkeypatch: pytest.MonkeyPatch, returncode: int, *arguments: str) -> tuple[int, list[str]]:
    """Run the command with a planner that announces two jobs, one of them in the standard error."""
    ran: list[list[str]] = []

    def plan(program: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        ran.append(program)
        lorenz, train = "rule lorenz:\n    output: a\n\n", "rule train:\n    output: b\n    wildcards: {}\n\n"
        wildcards = ", ".join(f"{name}={value}" for name, value in SMNIST.items())
        return subprocess.CompletedProcess(program, returncode, lorenz, train.format(wildcards))

    monkeypatch.setattr(subprocess, "run", plan)
    monkeypatch.setattr(command, "calibrate", lambda: Speed(training=3600.0, tangents=3600.0))
    return command.main(arguments), ran[0]


def test_the_command_prints_the_costs_of_the_planned_jobs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, program = run_main(monkeypatch, 0, "--config", "resources={train: {minutes: 7}}")
    assert status == 0 and {"--dry-run", "--forceall", "resources={train: {minutes: 7}}"} <= set(program)
    cells = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines()}
    assert cells["train"][4] == "7" and cells["train"][6] == "4000" and cells["lorenz"][4:7:2] == ["30", "2000"]
    own = COUNTED["lorenz"][1][0]
    assert float(cells["lorenz"][2]) == pytest.approx(own + START / 3600, abs=0.01)


def test_the_command_repeats_what_a_failed_plan_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(monkeypatch, 3)[0] == 3
    printed = capsys.readouterr()
    assert "rule lorenz" in printed.err and "rule train" in printed.err and not printed.out


def test_later_settings_override_earlier_ones_and_overlays_come_first(tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("seed: 1\npruning: {n_draws: 5}\nestimator: {n_steps: 30}\n")
    second.write_text("seed: 2\npruning: {n_draws: 6}\n")
    files = ["--configfile", str(first), str(second)]
    settings = command.read_settings([*files, "--config", "seed=3", "pruning={kept_share: 0.25}", "-n"])
    assert (settings["seed"], settings["estimator"]["n_steps"]) == (3, 30)
    assert (settings["pruning"]["n_draws"], settings["pruning"]["kept_share"]) == (6, 0.25)
    assert list(settings)[:3] == ["seed", "pruning", "estimator"] and settings["lorenz"]["sigma"] == 10


def test_null_removes_an_entry_of_a_design() -> None:
    settings = command.read_settings(["-C", "studies={smnist: {design: {rnn: null}}}"])
    assert "rnn" not in settings["studies"]["smnist"]["design"]
