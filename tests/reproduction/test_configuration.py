from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from lyapunov_pkg.reproduction.configuration.whole import pretrained_problems, take_away_nulls, validate_configuration
from lyapunov_pkg.workflow.settings import ConfigurationError, merged, shortened

ROOT = Path(__file__).parents[2]


DEFAULTS = yaml.safe_load((ROOT / "config.yaml").read_text())


@pytest.fixture
def configuration() -> dict[str, Any]:
    return copy.deepcopy(DEFAULTS)


def set_key(configuration: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        configuration = configuration[parent]
    configuration[last] = value


@pytest.mark.parametrize("overlay", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_overlay_is_valid(configuration: dict[str, Any], overlay: Path) -> None:
    changed = merged(configuration, yaml.safe_load(overlay.read_text()))
    take_away_nulls(changed)
    validate_configuration(changed)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("studies.smnist.varients", 3, "unknown key 'varients' in studies.smnist; did you mean variants?"),
        ("studies.smnist.variants", -3, "studies.smnist.variants is -3; expected at least 1"),
        ("studies.smnist.variants", "many", "studies.smnist.variants is 'many'; expected an integer, at least 1"),
        ("smnist.data.n_train", -5, "smnist.data.n_train is -5; expected at least 10"),
        (
            "studies.smnist.spectra.jacobian",
            "all",
            "studies.smnist.spectra.jacobian is 'all'; expected one of reduced, full",
        ),
        ("studies.smnist.training.subsample", 0, "studies.smnist.training.subsample is 0; expected more than 0"),
        ("studies.mocap.training.optimizer", "sdg", "studies.mocap.training.optimizer is 'sdg'; expected one of adam"),
        ("studies.mocap.training.loss", "all", "unknown key 'loss' in studies.mocap.training; did you mean loss_on?"),
        ("studies.mocap.training.learning_rate_decay", {"factor": 0.9}, "learning_rate_decay lacks after_epoch"),
        ("studies.mocap.spectra.epochs", [0, 99], "studies.mocap.spectra.epochs has 99; expected at most"),
        ("studies.mocap.task", "mocup", "'mocup'; expected one of smnist, smnist_pixels, char_rnn, mocap"),
        ("studies.Mine", {}, "studies has the key 'Mine'; expected text that matches ^[a-z][a-z0-9_-]*$"),
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
        (
            "studies.row_rnn.design",
            {"rnn": {"init_param": 1}, "gru": {"init_param": 1}},
            "row_rnn.design.gru.architecture is 'gru'; expected one of rnn",
        ),
        (
            "studies.row_rnn.design.small.hidden_size",
            64,
            "row_rnn.design is {'small': 64, 'uniform': 32}; expected one hidden_size for all entries",
        ),
        ("studies.pixel_rnn.design", {"mine": {"architecture": "rnn"}}, "is ['mine']; expected the one entry rnn"),
        (
            "studies.pixel_rnn.hyperparameters.hidden_size",
            {"grid": [8]},
            "hidden_size is {'grid': [8]}; expected one integer",
        ),
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
            "aelle.final_fractions",
            [0.5, 0.2, 0.2],
            "aelle.final_fractions is [0.5, 0.2, 0.2], which adds up to 0.9; expected 1",
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
        ("studies.pixel_rnn.task", "smnist", "task is 'smnist'; expected smnist_pixels"),
        ("studies.row_rnn.task", "mocap", "task is 'mocap'; expected one of smnist, smnist_pixels, sequences"),
        ("studies.target_learning.task", "smnist", "task is 'smnist'; expected target_learning"),
        ("lorenz.short_run.step_size", 0.5, "lorenz.short_run.step_size is 0.5; expected at most 0.05"),
        (
            "lorenz.long_run.n_trajectory",
            5,
            "unknown key 'n_trajectory' in lorenz.long_run; did you mean n_trajectories?",
        ),
        ("lorenz.rho", [], "lorenz.rho is []; expected at least 1 entry"),
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
        ("mocap.data.trials", [29], "mocap.data.trials.0 is 29; expected text"),
        (
            "smnist.data.source",
            "idx",
            "smnist.data.directory is None; expected a folder of four IDX files, since smnist",
        ),
        (
            "studies.mocap.task",
            "sequences",
            "sequences.data.path is None; expected a .npz or Zarr file, since studies.mocap",
        ),
        ("sequences.data.validation_share", 1.0, "sequences.data.validation_share is 1.0; expected"),
        (
            "mocap.data",
            {
                "source": "cmu",
                "directory": None,
                "trials": ["13_29", "07_01"],
                "mirrors": [],
                "frame_rate": 30,
                "sequence_length": 11,
            },
            "mocap.data.trials: trials 07_01 cannot be downloaded, because their checksum is not known; known are "
            "13_29, ",
        ),
        (
            "mocap.data.trials",
            [1329],  # YAML reads 13_29 as this integer.
            "mocap.data.trials.0 is 1329; expected text (YAML reads this as a number, also with _ in it: write it in",
        ),
        ("mocap.data.source", "amc", "mocap.data.source is 'amc'; expected one of synthetic, cmu"),
        ("pruning.epochs", [0, 6], "pruning.epochs has 6; expected less than aelle.pretrained_epochs = 6"),
        ("aelle.pretrained_epochs", 12, "expected at most studies.smnist.training.epochs + 1 = 11"),
    ],
)
def test_problems_name_the_key_its_value_and_the_allowed_values(
    configuration: dict[str, Any], key: str, value: Any, expected: str
) -> None:
    set_key(configuration, key, value)
    with pytest.raises(ConfigurationError) as error:
        validate_configuration(configuration)
    assert expected in str(error.value)


def test_the_first_of_several_late_epochs_is_named() -> None:
    made = {
        "studies": {"smnist": {"training": {"epochs": 10}}},
        "aelle": {"pretrained_epochs": 6},
        "pruning": {"epochs": [0, 7, 6, 9]},
    }
    (problem,) = pretrained_problems(made)
    assert "pruning.epochs has 7; expected less than aelle.pretrained_epochs = 6" in str(problem)


def problems(configuration: dict[str, Any]) -> list[str]:
    """Return the lines that name the problems."""
    with pytest.raises(ConfigurationError) as error:
        validate_configuration(configuration)
    return [line.removeprefix("  - ") for line in str(error.value).splitlines()[1:]]


NUMBERS = (
    "lorenz.sigma",
    "aelle.exponent_floor",
    "aelle.autoencoder.loss_ceiling",
    "pruning.kept_share",
    "correlations.near_zero",
    "stability_regimes.gains.chaotic",
    "studies.smnist.training.gradient_clip",
    "studies.smnist.training.subsample",
    "studies.row_rnn.alignment.initial_state_std",
    "prednet.early.network.learning_rate",
)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("key", NUMBERS)
def test_non_finite_numbers_are_refused(configuration: dict[str, Any], key: str, number: float) -> None:
    set_key(configuration, key, number)
    (problem,) = problems(configuration)
    assert problem.startswith(f"{key} is {number}; expected a finite number")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("key", ["aelle.final_fractions", "prednet.early.fractions", "lorenz.initial_state"])
def test_non_finite_numbers_in_lists_are_refused(configuration: dict[str, Any], key: str, number: float) -> None:
    set_key(configuration, key, [0.5, number, 0.2])
    (problem,) = problems(configuration)
    assert problem.startswith(f"{key}.1 is {number}; expected a finite number")


@pytest.mark.parametrize("value", [True, False, 6.0, 1.5, "6", "six", None, [6], {"epochs": 6}])
@pytest.mark.parametrize(
    "key",
    [
        "studies.smnist.training.epochs",
        "studies.smnist.shard_size",
        "studies.asrnn.spectra.n_sequences",
        "studies.target_learning.training.update_every",
        "aelle.autoencoder.latent_size",
        "pruning.n_draws",
        "resources.default.memory",
    ],
)
def test_an_integer_setting_refuses_booleans_floats_and_texts(
    configuration: dict[str, Any], key: str, value: Any
) -> None:
    set_key(configuration, key, value)
    assert problems(configuration) == [f"{key} is {value!r}; expected an integer, at least 1"]


@pytest.mark.parametrize("value", [10**400, -(10**400), 2**63])
@pytest.mark.parametrize(
    "key", ["studies.smnist.training.epochs", "studies.mocap.hyperparameters.hidden_size", "studies.smnist.shard_size"]
)
def test_integers_beyond_64_bits_are_refused(configuration: dict[str, Any], key: str, value: int) -> None:
    set_key(configuration, key, value)
    assert any(
        f"{key} is {shortened(value)}; expected an integer between -" in line for line in problems(configuration)
    )


@pytest.mark.parametrize(("text", "written"), [("1e-4", "1.0e-4"), ("2E5", "2.0e+5"), ("1.5e3", None)])
def test_numbers_that_yaml_reads_as_text_are_explained(
    configuration: dict[str, Any], text: str, written: str | None
) -> None:
    set_key(configuration, "aelle.autoencoder.learning_rate", text)
    (problem,) = problems(configuration)
    assert (
        f"is '{text}'; expected a number, more than 0 (YAML reads this as text: write {written or '1.5e+3'})" in problem
    )


@pytest.mark.parametrize(
    ("cell", "setting", "value", "expected"),
    [
        ("cornn", "dt", -1, "a finite number above 0"),
        ("cornn", "dt", "soon", "a finite number above 0"),
        ("cornn", "gamma", math.nan, "a finite number"),
        ("cornn", "epsilon", True, "a finite number"),
        ("rnn", "nonlinearity", "tahn", "one of tanh, relu"),
        ("rnn", "initialisation", "../../x", "one of uniform, normal, xavier_normal, orthogonal"),
        ("asrnn", "initialisation", "orthogonal", "one of uniform, normal"),
        ("asrnn", "eps", 0, "a finite number above 0"),
        ("lem", "dt", math.inf, "a finite number above 0"),
        ("lipschitz", "gamma_A", -0.1, "a finite number"),
    ],
)
@pytest.mark.parametrize("form", ["value", "grid", "uniform", "log_uniform"])
def test_cell_hyperparameters_are_checked_in_every_form(
    configuration: dict[str, Any], cell: str, setting: str, value: Any, expected: str, form: str
) -> None:
    level = value if form == "value" else {form: [value, value if form != "grid" else 0.5]}
    configuration["studies"]["smnist"]["design"][cell][setting] = level
    (problem,) = problems(configuration)
    assert problem.startswith(f"studies.smnist.design.{cell}.{setting} is {level!r}; expected ")
    assert expected in problem


ESCAPES = (
    "../x",
    "../../../../escaped/x",
    "/tmp/x",
    "a/b",
    "..",
    "a b",
    "a.b",
    "é",
    "Mine",
    "",
    "x" * 100,
    3,
    True,
    None,
)


@pytest.mark.parametrize("name", ESCAPES)
def test_study_names_cannot_leave_their_folder(configuration: dict[str, Any], name: Any) -> None:
    configuration["studies"][name] = configuration["studies"]["mocap"]
    assert all(
        problem.startswith(f"studies has the key {shortened(name)}; expected ") for problem in problems(configuration)
    )


@pytest.mark.parametrize("name", ESCAPES)
@pytest.mark.parametrize("study", ["smnist", "target_learning"])
def test_entry_names_cannot_leave_their_folder(configuration: dict[str, Any], study: str, name: Any) -> None:
    configuration["studies"][study]["design"][name] = {"architecture": "lstm", "init_param": 1.0}
    (problem,) = problems(configuration)
    assert problem.startswith(f"studies.{study}.design has the key {shortened(name)}; expected ")


@pytest.mark.parametrize("name", ["mine", "my-lstms", "my_lstms_2", "a"])
def test_names_may_contain_letters_digits_and_dashes(configuration: dict[str, Any], name: str) -> None:
    configuration["studies"][name] = configuration["studies"]["mocap"] | {
        "design": {name: {"architecture": "gru", "init_param": 1.0}}
    }
    validate_configuration(configuration)


@pytest.mark.parametrize("value", ["../../x", "a/b", "..", ""])
@pytest.mark.parametrize("study", ["smnist", "asrnn", "row_rnn"])
def test_grid_values_cannot_leave_their_folder(configuration: dict[str, Any], study: str, value: str) -> None:
    entry = {"asrnn": "asrnn", "smnist": "rnn", "row_rnn": "uniform"}[study]
    configuration["studies"][study]["design"][entry]["initialisation"] = {"grid": ["uniform", value]}
    (problem,) = problems(configuration)
    assert "expected each value to be one of uniform, " in problem


@pytest.mark.parametrize(
    ("design", "label"),
    [
        ({"lstm": {"hidden_size": {"grid": [8, 16]}}, "lstm_8": {"architecture": "lstm"}}, "lstm_8"),
        ({"gru": {"hidden_size": {"uniform": [2, 9]}}, "gru_draw3": {"architecture": "gru"}}, "gru_draw3"),
        (
            {"a": {"architecture": "rnn", "n_layers": {"grid": [1, 2]}}, "a_n_layers-2": {"architecture": "rnn"}},
            "a_n_layers-2",
        ),
    ],
)
def test_entries_with_the_same_output_files_are_refused(
    configuration: dict[str, Any], design: dict[str, Any], label: str
) -> None:
    study = configuration["studies"]["mocap"] | {"design": design}
    study["hyperparameters"] = study["hyperparameters"] | {"init_param": 1.0}
    configuration["studies"]["mine"] = study
    (problem,) = problems(configuration)
    first, second = design
    assert problem == (
        f"studies.mine.design.{second} and studies.mine.design.{first} both make files called {label!r}; "
        "expected names that differ"
    )


def test_only_text_can_be_validated_on_the_held_out_set(configuration: dict[str, Any]) -> None:
    configuration["studies"]["char_rnn_regularisation"]["training"]["validate_on"] = "held_out"
    validate_configuration(configuration)
    configuration["studies"]["smnist"]["training"]["validate_on"] = "held_out"
    (problem,) = problems(configuration)
    assert problem == (
        "studies.smnist.training.validate_on is 'held_out'; expected validation, since the task is smnist"
    )


@pytest.mark.parametrize("study", ["row_rnn", "pixel_rnn"])
@pytest.mark.parametrize(
    ("setting", "level"),
    [("nonlinearity", {"grid": ["tanh", "relu"]}), ("n_layers", {"uniform": [1, 2]}), ("hidden_size", {"grid": [32]})],
)
def test_studies_of_chapter_4_have_exactly_one_group(
    configuration: dict[str, Any], study: str, setting: str, level: Any
) -> None:
    entry = next(iter(configuration["studies"][study]["design"]))
    configuration["studies"][study]["design"][entry][setting] = level
    assert any(
        f"{study}.design.{entry}.{setting} is {level!r}; expected one " in line for line in problems(configuration)
    )


@pytest.mark.parametrize(
    ("section", "key", "value", "expected"),
    [
        ("resources", "trian", {"minutes": 3}, "unknown key 'trian' in resources; did you mean train?"),
        ("resources", "train", {"minuts": 3}, "unknown key 'minuts' in resources.train; did you mean minutes?"),
        ("resources", "train", {"minutes": 0}, "resources.train.minutes is 0; expected at least 1"),
        ("resources", "aelle", {"gpus": 1.0}, "resources.aelle.gpus is 1.0; expected an integer, at least 0"),
        (
            "studies.mocap",
            "aelle",
            {"autoencoder": {"dropout": 1}},
            "aelle.autoencoder.dropout is 1; expected less than 1",
        ),
        (
            "studies.mocap",
            "aelle",
            {"autoencoder": {"drop": 1}},
            "in studies.mocap.aelle.autoencoder; did you mean dropout?",
        ),
        (
            "studies.mocap",
            "aelle",
            {"autoencoder": None},
            "studies.mocap.aelle.autoencoder is None; expected a mapping",
        ),
    ],
)
def test_overriding_settings_are_checked_at_their_own_key(
    configuration: dict[str, Any], section: str, key: str, value: Any, expected: str
) -> None:
    set_key(configuration, f"{section}.{key}", value)
    (problem,) = problems(configuration)
    assert expected in problem


@pytest.mark.parametrize("key", [3, True, None, 1.5])
@pytest.mark.parametrize("value", [[1], 1.5, {}])
@pytest.mark.parametrize("section", ["", "lorenz", "studies", "studies.smnist.training", "resources"])
def test_keys_other_than_text_are_refused(configuration: dict[str, Any], section: str, key: Any, value: Any) -> None:
    node = configuration
    for name in filter(None, section.split(".")):
        node = node[name]
    node[key] = value
    assert any(
        f"{section or 'the configuration'} has the key {key!r}; expected text" in line
        for line in problems(configuration)
    )


def test_all_problems_are_reported_together(configuration: dict[str, Any]) -> None:
    del configuration["device"]
    configuration["studies"]["smnist"]["shard_size"] = 0
    configuration["studies"]["smnist"]["design"]["cornn"]["dt"] = "soon"
    configuration["studies"]["mocap"]["spectra"]["epochs"] = [99]
    configuration["resources"]["train"]["minuts"] = 3
    found = problems(configuration)
    assert len(found) == 5
    for expected in (
        "lacks device",
        "studies.smnist.shard_size is 0; expected at least 1",
        "studies.smnist.design.cornn.dt is 'soon'; expected a finite number above 0",
        "studies.mocap.spectra.epochs has 99; expected at most studies.mocap.training.epochs = 20",
        "unknown key 'minuts' in resources.train; did you mean minutes?",
    ):
        assert any(expected in line for line in found)


def test_null_in_an_overlay_removes_a_setting(configuration: dict[str, Any]) -> None:
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
    validate_configuration(changed)


@pytest.mark.parametrize("studies", [None, [], {"smnist": {"design": None}}])
def test_null_for_a_required_section_is_reported_by_the_schema(configuration: dict[str, Any], studies: Any) -> None:
    configuration["studies"] = studies
    take_away_nulls(configuration)
    with pytest.raises(ConfigurationError, match="studies"):
        validate_configuration(configuration)
