from __future__ import annotations

import re
import subprocess
import sys
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from lyapunov_pkg.reproduction.configuration.kept import kept_parameters
from lyapunov_pkg.reproduction.costs.__main__ import main, read_settings
from lyapunov_pkg.reproduction.costs.constants import BASE_MEMORY, START, START_WITHOUT_TORCH
from lyapunov_pkg.reproduction.costs.data import IMAGES, Data, task_data
from lyapunov_pkg.reproduction.costs.rules import RULES, WITHOUT_TORCH, Costs
from lyapunov_pkg.reproduction.tasks.mocap import load_mocap
from lyapunov_pkg.reproduction.tasks.smnist import load_smnist
from lyapunov_pkg.workflow.plan import Cost, Job
from lyapunov_pkg.workflow.shards import number_of_shards
from tests.snakemake.conftest import SMALL, environment

ROOT = Path(__file__).parents[2]
PAPER = ["--configfile", str(ROOT / "config/paper.yaml")]


def costs_of_shards(configuration: dict[str, Any]) -> list[tuple[str, Cost]]:
    """Return (rule, cost) of the training and of the spectra of every shard."""
    costs = Costs(configuration)
    found = []
    for name, study in configuration["studies"].items():
        is_target = name == "target_learning"
        for group in costs.groups[name].values():
            for shard in range(number_of_shards(group.n_variants, study["shard_size"])):
                wildcards = {"group": group.label, "shard": str(shard)} | ({} if is_target else {"study": name})
                for stage in ("train", "spectra") if study.get("spectra") else ("train",):
                    rule = f"{stage}_target_learning" if is_target else stage
                    found.append((rule, costs.of(Job(rule, wildcards))))
    return found


def test_every_rule_has_a_cost() -> None:
    text = "\n".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    assert set(re.findall(r"^\s*rule (\w+):", text, flags=re.M)) == set(RULES)


def test_a_rule_without_a_cost_is_an_error() -> None:
    with pytest.raises(ValueError, match="the rule bake has no cost"):
        Costs(read_settings([])).of(Job("bake"))


def test_shards_at_the_dissertations_scale_fit_their_resources_and_a_disk_of_25_gigabytes() -> None:
    configuration = read_settings(PAPER)
    shards = costs_of_shards(configuration)
    for rule, cost in shards:
        asked = configuration["resources"]["default"] | configuration["resources"].get(rule, {})
        assert cost.seconds <= 60 * asked["minutes"] and cost.memory <= asked["memory"], (rule, cost)
    assert sum(cost.disk for _, cost in shards) <= 25_000


def test_costs_follow_the_operation_counts() -> None:
    def hours(*settings: str) -> dict[str, float]:
        totals: dict[str, float] = {}
        for rule, cost in costs_of_shards(read_settings([*PAPER, "--config", *settings])):
            totals[rule] = totals.get(rule, 0) + cost.seconds / 3600
        return totals

    base = hours("seed=1")
    assert hours("studies={char_rnn_regularisation: {variants: 120}}")["train"] > 1.3 * base["train"]
    assert hours("studies={smnist: {spectra: {n_sequences: 1280}}}")["spectra"] > 1.3 * base["spectra"]
    assert hours("studies={target_learning: {hyperparameters: {hidden_size: 1024}}}")[
        "spectra_target_learning"
    ] == pytest.approx(8 * base["spectra_target_learning"], rel=0.1)


TWICE_THE_EPOCHS = {"studies.row_rnn.alignment.epochs": [0, 1, 2, 5]}
TWICE_THE_FLIPS = {"studies.pixel_rnn.flips.n_flips": [1, 2, 3, 4, 6, 7, 8, 9, 16, 17, 24, 25, 32, 33]}
TARGET, EPOCHS = ("train_target_learning", {"group": "rank_one", "shard": "0"}), "studies.target_learning.training."
EARLY = "prednet.early.network."


@cache
def default_settings() -> dict[str, Any]:
    return read_settings([])


def own_cost(rule: str, wildcards: dict[str, str], changes: dict[str, Any]) -> np.ndarray:
    """Return seconds, MB of memory and MB on disk of a job, without the fixed cost of every job."""
    configuration = deepcopy(default_settings())
    for key, value in changes.items():
        *sections, name = key.split(".")
        section = configuration
        for each in sections:
            section = section[each]
        section[name] = value
    cost = Costs(configuration).of(Job(rule, wildcards))
    start = START_WITHOUT_TORCH if rule in WITHOUT_TORCH else START
    return np.array([cost.seconds - start, cost.memory - BASE_MEMORY, cost.disk])


@pytest.mark.parametrize(
    ("job", "changes", "expected"),
    [
        (("alignment", {}), {"studies.row_rnn.alignment.n_initial_states": 50}, (2, 2, 1)),
        (("alignment", {}), TWICE_THE_EPOCHS, (2, 1, 1)),
        (("alignment", {}), {"studies.row_rnn.variants": 6}, (2, 1, 1)),
        (("alignment", {}), {"studies.row_rnn.hyperparameters.hidden_size": 64}, (8, 4, 1)),
        (("alignment", {}), {"smnist.data.source": "mnist"}, (28 / 8, 28 / 8, 1)),
        (("flips", {}), {"smnist.data.source": "mnist"}, (28**2 / 8**2, None, 1)),
        (("flips", {}), {"studies.pixel_rnn.flips.n_images": 300}, (2, 2, 1)),
        (("flips", {}), {"studies.pixel_rnn.variants": 4}, (2, 1, 1)),
        (("estimator", {}), {"estimator.n_sequences": 20}, (2, 1, 1)),
        (("stability_regimes", {}), {"stability_regimes.hidden_size": 200}, (8, 2, 2)),
        (("eigenvalues", {"study": "asrnn"}), {"studies.asrnn.hyperparameters.hidden_size": 32}, (8, None, 2)),
        (("eigenvalues", {"study": "asrnn"}), {"studies.asrnn.variants": 2}, (2, 2, 2)),
        (("correlations", {"study": "smnist"}), {"studies.smnist.variants": 48}, (2, 1, 1)),
        (TARGET, {"studies.target_learning.hyperparameters.hidden_size": 256}, (4, 4, 4)),
        (TARGET, {EPOCHS + "n_samples": 2400}, (2, 1, 1)),
        (TARGET, {EPOCHS + "epochs": 30, EPOCHS + "free_epochs": 30}, (2, 1, 1)),
        (("prednet", {"study": "char_rnn_sizes"}), {EARLY + "epochs": 4000}, (2, 1, 1)),
        (("eigenvalue_prednets", {"study": "asrnn"}), {"prednet.eigenvalues.network.epochs": 6000}, (2, 1, 1)),
        (("aelle", {"study": "smnist", "experiment": "final"}), {"aelle.autoencoder.epochs_per_stage": 500}, (2, 1, 1)),
    ],
)
def test_costs_are_proportional_to_the_work(
    job: tuple[str, dict[str, str]], changes: dict[str, Any], expected: tuple[float | None, ...]
) -> None:
    found = own_cost(*job, changes) / own_cost(*job, {})
    for ratio, of_counts in zip(found, expected, strict=True):
        assert of_counts is None or ratio == pytest.approx(of_counts)


@pytest.mark.parametrize(
    ("job", "changes"),
    [
        (("flips", {}), TWICE_THE_FLIPS),
        (("flips", {}), {"studies.pixel_rnn.flips.n_draws": 100}),
        (("participation", {}), {"studies.row_rnn.participation.n_initial_states": 50}),
        (
            ("participation", {}),
            {"studies.row_rnn.participation.at_epochs": [0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1, 1.5, 2]},
        ),
        (("participation", {}), {"studies.row_rnn.participation.at_epochs": [0, 0.1, 0.5, 1, 4]}),
        (("estimator", {}), {"estimator.n_steps": 400}),
        (TARGET, {EPOCHS + "epochs": 30}),
        (TARGET, {EPOCHS + "free_epochs": 30}),
        (TARGET, {EPOCHS + "update_every": 1}),
        (("prednet", {"study": "char_rnn_sizes"}), {"prednet.early.n_seeds": 20}),
        (("aelle", {"study": "smnist", "experiment": "final"}), {"aelle.n_seeds": 10}),
        (("lorenz", {}), {"lorenz.long_run.duration": 400.0}),
        (("optimizers", {}), {"studies.optimizers.spectra.n_sequences": 32}),
        (("optimizers", {}), {"studies.optimizers.training.epochs": 10}),
    ],
)
def test_doubling_a_part_of_the_work_less_than_doubles_the_cost(
    job: tuple[str, dict[str, str]], changes: dict[str, Any]
) -> None:
    assert 1 < own_cost(*job, changes)[0] / own_cost(*job, {})[0] < 2


def test_memory_grows_with_the_stored_parameters() -> None:
    few, many = (own_cost("participation", {}, {"studies.row_rnn.variants": n})[1] for n in (4, 8))
    n_parameters = 32 * 8 + 32 * 32 + 10 * 32  # These are the weights of the input, the state and the readout.
    # Eight networks are trained together. Eight more add their values and two optimiser moments of one epoch.
    assert many - few == pytest.approx(8 * 3 * n_parameters * 4e-6)


def test_doubling_the_data_of_an_experiment_less_than_doubles_its_memory() -> None:
    job = ("aelle", {"study": "smnist", "experiment": "final"})
    n_variants = default_settings()["studies"]["smnist"]["variants"]
    ratio = own_cost(*job, {"studies.smnist.variants": 2 * n_variants}) / own_cost(*job, {})
    assert 1 < ratio[1] < 2 and ratio[2] == pytest.approx(2)


@pytest.mark.parametrize(
    ("epochs", "training", "expected"),
    [
        ([0, 3], {"epochs": 9}, 2),
        (None, {"epochs": 9}, 10),
        (None, {"epochs": 9, "kept_epochs": [0, 3]}, 3),
        (None, {"epochs": 9, "kept_epochs": [0, 9]}, 2),
    ],
)
def test_number_of_spectra_of_a_network(epochs: list[int] | None, training: dict[str, Any], expected: int) -> None:
    costs = Costs(default_settings())
    costs.studies = {"smnist": {"spectra": {"epochs": epochs}, "training": training}}
    assert costs.n_spectra("smnist") == expected


def test_estimated_sizes_of_data_agree_with_the_stores() -> None:
    smnist, pixels, mocap = (task_data(default_settings(), task) for task in ("smnist", "smnist_pixels", "mocap"))
    assert default_settings()["smnist"]["data"]["source"] == "digits"
    sizes = load_smnist("digits").sizes
    assert smnist == Data(sizes["train_sample"], sizes["test_sample"], sizes["time"], sizes["feature"], 10)
    assert pixels == Data(smnist.n_train, smnist.n_validation, 64, 1, 10)
    assert IMAGES["mnist"] == (60_000, 10_000, 28)
    sizes = load_mocap("synthetic", frame_rate=default_settings()["mocap"]["data"]["frame_rate"]).sizes
    assert (mocap.n_steps, mocap.n_features, mocap.n_outputs) == (sizes["time"], sizes["feature"], sizes["feature"])
    # The number of sequences depends on the frame rate, which the estimate ignores.
    assert mocap.n_train == pytest.approx(sizes["train_sample"], rel=0.2)
    assert mocap.n_validation == pytest.approx(sizes["validation_sample"], rel=0.2)


def test_estimated_sizes_of_user_data_agree_with_the_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", inputs=np.random.default_rng(1).normal(size=(40, 7, 3)), targets=np.arange(40) % 4)
    configuration = read_settings(["--config", f"sequences={{data: {{path: {tmp_path / 'mine.npz'}}}}}"])
    assert task_data(configuration, "sequences") == Data(32, 8, 7, 3, 4)


@pytest.mark.parametrize(
    ("name", "study", "expected"),
    [
        ("a", {"spectra": {"epochs": None}, "alignment": {"epochs": [0, 2]}}, {"epochs": None, "best": False}),
        ("a", {"spectra": {"epochs": [6, 1]}}, {"epochs": [1, 6, 9], "best": False}),
        ("a", {"alignment": {"epochs": [0, 5]}}, {"epochs": [0, 5, 9], "best": False}),
        ("a", {"spectra": None, "flips": {"n_images": 2}}, {"epochs": [9], "best": True}),
        ("char_rnn_initialisation", {"spectra": {"epochs": [1]}}, {"epochs": [1, 9], "best": True}),
    ],
)
def test_parameters_are_stored_for_the_epochs_that_later_stages_read(name: str, study: dict, expected: dict) -> None:
    assert kept_parameters(name, {"training": {"epochs": 9}} | study) == expected


def plan_arguments(directory: Path, configuration: dict[str, Any]) -> list[str]:
    """Return arguments of `make plan` for a configuration."""
    overlay = directory / "overlay.yaml"
    overlay.write_text(yaml.safe_dump({"cache_directory": str(directory / "cache")} | configuration, sort_keys=False))
    return ["--configfile", str(overlay)]


def test_the_command_prints_a_line_for_each_rule_and_runs_no_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(plan_arguments(tmp_path, SMALL)) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    # The configuration has no user data.
    assert set(names) - {"rule", "total", "the"} == set(RULES) - {"sequences_dataset"}
    assert not list((tmp_path / "results").rglob("*.zarr.zip"))


def test_an_invalid_configuration_gives_one_message(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lyapunov_pkg.reproduction.costs", *plan_arguments(tmp_path, {"smnisst": {}})]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment(), check=False)
    assert result.returncode == 1
    assert "unknown key 'smnisst'" in result.stderr and "Traceback" not in result.stderr
