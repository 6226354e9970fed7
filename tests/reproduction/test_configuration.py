from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from lyapunov_pkg.reproduction.configuration import ConfigurationError, take_away_nulls, validate_configuration

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "schemas" / "config.schema.yaml"


@pytest.fixture
def configuration() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "config.yaml").read_text())


def merged(base: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    result = copy.deepcopy(base)
    for key, value in overlay.items():
        result[key] = merged(result.get(key) or {}, value) if isinstance(value, dict) else value
    return result


def set_key(configuration: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        configuration = configuration[parent]
    configuration[last] = value


@pytest.mark.parametrize("overlay", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_overlay_is_valid(configuration: dict[str, Any], overlay: Path) -> None:
    changed = merged(configuration, yaml.safe_load(overlay.read_text()))
    take_away_nulls(changed)
    validate_configuration(changed, SCHEMA)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("studies.smnist.varients", 3, "unknown key 'varients' in studies.smnist; did you mean variants?"),
        ("studies.smnist.variants", -3, "studies.smnist.variants is -3; expected at least 1"),
        ("studies.smnist.variants", "many", "studies.smnist.variants is 'many'; expected integer"),
        ("smnist.data.n_train", -5, "smnist.data.n_train is -5; expected at least 10"),
        (
            "studies.smnist.spectra.jacobian",
            "all",
            "studies.smnist.spectra.jacobian is 'all'; expected one of reduced, full",
        ),
        ("studies.smnist.training.subsample", 0, "studies.smnist.training.subsample is 0; expected more than 0"),
        ("studies.mocap.training.optimizer", "sgd", "studies.mocap.training.optimizer is 'sgd'; expected one of adam"),
        ("studies.mocap.training.loss", "all", "unknown key 'loss' in studies.mocap.training; did you mean loss_on?"),
        ("studies.mocap.training.learning_rate_decay", {"factor": 0.9}, "learning_rate_decay lacks after_epoch"),
        ("studies.mocap.spectra.epochs", [0, 99], "studies.mocap.spectra.epochs has 99; expected at most"),
        ("studies.mocap.task", "mocup", "'mocup'; expected one of smnist, smnist_pixels, char_rnn, mocap"),
        ("studies.Mine", {}, "studies has the key 'Mine'; expected text that matches ^[a-z][a-z0-9_]*$"),
        ("studies.mine", {"task": "mocap"}, "studies.mine lacks variants"),
        ("studies.smnist.design.lstmm", {}, "studies.smnist.design.lstmm names no architecture, so it is 'lstmm'; did"),
        ("studies.smnist.design.lstm.init_param", {"uniform": [3, 1]}, "studies.smnist.design.lstm.init_param is {'un"),
        (
            "aelle.final_fractions",
            [0.5, 0.5, 0.5],
            "aelle.final_fractions is [0.5, 0.5, 0.5], which adds up to 1.5; expected 1",
        ),
        ("studies.row_rnn.alignment.epochs", [0, 6], "studies.row_rnn.alignment.epochs is 6; expected at most 5"),
        (
            "studies.row_rnn.alignment.n_vectors",
            11,
            "n_vectors is 11; expected at most 10, a third of the hidden units",
        ),
        ("studies.row_rnn.design", {"rnn": {}, "gru": {}}, "expected at most 1 entries"),
        ("studies.row_rnn.design.rnn.architecture", "gru", "rnn.architecture is 'gru'; expected one of rnn"),
        ("studies.pixel_rnn.hyperparameters.hidden_size", {"grid": [8]}, "expected integer"),
        (
            "studies.pixel_rnn.flips.n_averaged",
            [1, 65],
            "studies.pixel_rnn.flips.n_averaged is 65; expected at most 64",
        ),
        (
            "studies.pixel_rnn.flips.images",
            3,
            "unknown key 'images' in studies.pixel_rnn.flips; did you mean n_images?",
        ),
        (
            "studies.char_rnn_sizes.aelle.final_fractions",
            [0.5, 0.2, 0.2],
            "studies.char_rnn_sizes.aelle.final_fractions is [0.5, 0.2, 0.2], which adds up to 0.9; expected 1",
        ),
        ("aelle.spectrum_length", 1, "aelle.spectrum_length is 1; expected at least 2"),
        ("studies.mocap.aelle", {"n_seed": 3}, "unknown key 'n_seed' in studies.mocap.aelle; did you mean n_seeds?"),
        ("prednet.early.training_share", 0.2, "char_rnn_sizes.spectra.epochs is [0, 6, 15]; expected 3 among them"),
        ("prednet.eigenvalues.n_seeds", 1, "prednet.eigenvalues.n_seeds is 1; expected at least 2"),
        ("studies.asrnn.spectra.epochs", [0], "studies.asrnn.spectra.epochs is [0]; expected 20 among them, or null"),
        (
            "studies.target_learning.design.rank_one.init_param",
            {"uniform": [0, 2]},
            "studies.target_learning.design.rank_one.init_param, the gain g, goes down to 0; expected above 0",
        ),
        (
            "studies.target_learning.hyperparameters.hidden_size",
            8,
            "studies.target_learning: hidden_size 8 with density 0.1 is 0.8 connections a unit; expected at least 1",
        ),
        ("studies.target_learning.hyperparameters.density", 0.005, "is 0.64 connections a unit; expected at least 1"),
        (
            "studies.target_learning.design",
            {"rnn": {"init_param": 1}},
            "hyperparameters.dt: rnn has no hyperparameter 'dt'",
        ),
        ("studies.target_learning.training.n_samples", 10, "training.n_samples is 10; expected at least 11"),
        ("studies.target_learning.training.kept_epochs", [0, 16], "kept_epochs has 16; expected one of 0, 1, 2"),
        ("studies.target_learning.spectra.epochs", [0], "spectra.epochs has 0; expected one of 15"),
        ("studies.target_learning.spectra.n_sequences", 11, "spectra.n_sequences is 11; expected at most studies.targ"),
        ("studies.target_learning.task", "smnist", "task is 'smnist'; expected target_learning"),
        ("lorenz.short_run.step_size", 0.5, "lorenz.short_run.step_size is 0.5; expected at most 0.05"),
        (
            "lorenz.long_run.n_trajectory",
            5,
            "unknown key 'n_trajectory' in lorenz.long_run; did you mean n_trajectories?",
        ),
        ("lorenz.rho", [], "lorenz.rho is []; expected at least 1 entries"),
        (
            "stability_regimes.gains",
            {"stable": 1.0},
            "stability_regimes.gains lacks marginal\n  - stability_regimes.gains lacks chaotic",
        ),
        ("estimator.warmups", [100, 100], "estimator.warmups is [100, 100]; expected every entry once"),
        (
            "correlations.highlighted_by.mocap",
            "mean",
            "correlations.highlighted_by.mocap is 'mean'; expected one of max",
        ),
        ("char_rnn.data.source", "file", "char_rnn.data.path is None; expected a text file"),
        ("char_rnn.data.sequence_length", 1, "char_rnn.data.sequence_length is 1; expected at least 2"),
        ("mocap.data.trials", ["13-29"], "mocap.data.trials.0 is '13-29'; expected text that matches ^[0-9]+_[0-9]+$"),
        ("mocap.data.source", "amc", "mocap.data.source is 'amc'; expected one of synthetic, cmu"),
        ("pruning.epochs", [0, 6], "pruning.epochs has 6; expected less than aelle.pretrained_epochs = 6"),
        ("aelle.pretrained_epochs", 12, "expected at most studies.smnist.training.epochs + 1 = 11"),
    ],
)
def test_problem_names_key_value_and_what_is_allowed(
    configuration: dict[str, Any], key: str, value: Any, expected: str
) -> None:
    set_key(configuration, key, value)
    with pytest.raises(ConfigurationError) as error:
        validate_configuration(configuration, SCHEMA)
    assert expected in str(error.value)


def test_all_problems_are_named_at_once(configuration: dict[str, Any]) -> None:
    del configuration["device"]
    configuration["studies"]["smnist"]["shard_size"] = 0
    with pytest.raises(ConfigurationError) as error:
        validate_configuration(configuration, SCHEMA)
    assert "lacks device" in str(error.value)
    assert "studies.smnist.shard_size is 0; expected at least 1" in str(error.value)


def test_null_takes_away_what_an_overlay_cannot(configuration: dict[str, Any]) -> None:
    lstm = {"init_param": 0.1, "dropout": {"log_uniform": None, "uniform": [0, 0.5]}}
    text = {"hyperparameters": {"init_param": None}, "design": {"lstm": lstm}}
    rates = configuration["studies"]["char_rnn_regularisation"]["design"]["lstm"]["learning_rate"]
    changed = merged(configuration, {"studies": {"char_rnn_regularisation": text, "smnist": {"design": {"gru": None}}}})
    take_away_nulls(changed)
    study = changed["studies"]["char_rnn_regularisation"]
    assert study["hyperparameters"] == {"hidden_size": 32, "n_layers": 1}
    assert study["design"]["lstm"] == {"learning_rate": rates, "init_param": 0.1, "dropout": {"uniform": [0, 0.5]}}
    assert "gru" not in changed["studies"]["smnist"]["design"]
    assert changed["studies"]["smnist"]["spectra"]["epochs"] is None
    validate_configuration(changed, SCHEMA)


@pytest.mark.parametrize("studies", [None, [], {"smnist": None}, {"smnist": {"design": None}}])
def test_null_where_nothing_can_be_taken_away_is_left_to_the_schema(
    configuration: dict[str, Any], studies: Any
) -> None:
    configuration["studies"] = studies
    take_away_nulls(configuration)
    with pytest.raises(ConfigurationError, match="studies"):
        validate_configuration(configuration, SCHEMA)
