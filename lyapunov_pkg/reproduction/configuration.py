"""Validation of the workflow's configuration, before any job runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError

from lyapunov_pkg.reproduction.training.design import entry_settings, level_ends, study_problems, suggestion


class ConfigurationError(ValueError):
    """The configuration cannot be used; the message lists every key at fault, its value and what is allowed."""


def validate_configuration(configuration: Mapping[str, Any], schema_path: str | Path) -> None:
    """Check `configuration` against a JSON schema (YAML file), and what a schema cannot say.

    Raises:
        ConfigurationError: a misspelt or missing key, a wrong type, a value out of range; all of them at once.
    """
    schema = yaml.safe_load(Path(schema_path).read_text())
    errors = sorted(
        Draft202012Validator(schema).iter_errors(configuration), key=lambda error: list(map(str, error.path))
    )
    problems = list(dict.fromkeys(line for error in errors for line in explain(error)))
    problems = problems or cross_checks(configuration, cells=schema["$defs"]["cells"])
    if problems:
        raise ConfigurationError(
            "the configuration cannot be used:\n" + "\n".join(f"  - {problem}" for problem in problems)
        )


def take_away_nulls(configuration: Mapping[str, Any]) -> None:
    """Delete, in place, hyperparameters and entries of designs that are null; deeper down, too.

    An overlay only adds to what it finds: null is how it takes away, such as `{uniform: null, log_uniform: [1, 2]}`.
    """
    studies = configuration.get("studies")
    for study in studies.values() if isinstance(studies, dict) else ():
        for key in {"hyperparameters", "design"} & (study.keys() if isinstance(study, dict) else set()):
            study[key] = _without_nulls(study[key])


def _without_nulls(value: Any) -> Any:
    """Return a value without the entries that are null, if it is a mapping; so for its entries."""
    if not isinstance(value, Mapping):
        return value
    return {key: _without_nulls(entry) for key, entry in value.items() if entry is not None}


def explain(error: ValidationError) -> list[str]:
    """Return the lines for one schema error: key, value found, and what is allowed."""
    key = ".".join(map(str, error.absolute_path)) or "the configuration"
    if error.validator == "additionalProperties":
        known = error.schema["properties"]
        return [misspelt(key, name, known) for name in error.instance if name not in known]
    if "propertyNames" in error.schema_path and error.validator == "enum":
        return [misspelt(key, error.instance, error.validator_value)]
    if "propertyNames" in error.schema_path:
        return [f"{key} has the key {error.instance!r}; expected text that matches {error.validator_value}"]
    if error.validator == "required":
        return [f"{key} lacks {name}" for name in error.validator_value if name not in error.instance]
    allowed = {
        "const": str,
        "enum": lambda value: "one of " + ", ".join(map(str, value)),
        "type": lambda value: " or ".join([value] if isinstance(value, str) else value),
        "minimum": lambda value: f"at least {value}",
        "maximum": lambda value: f"at most {value}",
        "exclusiveMinimum": lambda value: f"more than {value}",
        "exclusiveMaximum": lambda value: f"less than {value}",
        "minItems": lambda value: f"at least {value} entries",
        "maxItems": lambda value: f"at most {value} entries",
        "uniqueItems": lambda value: "every entry once",
        "minProperties": lambda value: f"at least {value} entries",
        "maxProperties": lambda value: f"at most {value} entries",
        "minLength": lambda value: f"at least {value} characters",
        "pattern": lambda value: f"text that matches {value}",
    }[error.validator](error.validator_value)
    return [f"{key} is {error.instance!r}; expected {allowed}"]


def misspelt(parent: str, name: str, known: Iterable[str]) -> str:
    """Return the line for an unknown key, with the closest known one."""
    return f"unknown key {name!r} in {parent}; {suggestion(name, known)}"


def cross_checks(configuration: Mapping[str, Any], cells: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the problems that need more than one key to be seen; `cells` has each architecture's hyperparameters."""
    problems = []
    for name, study in configuration["studies"].items():
        path, epochs = f"studies.{name}", study["training"]["epochs"]
        problems += study_problems(path, study, cells)
        later = [epoch for epoch in study.get("spectra", {}).get("epochs") or [] if epoch > epochs]
        if later:
            problems.append(f"{path}.spectra.epochs has {later[0]}; expected at most {path}.training.epochs = {epochs}")
    if not problems:
        problems = target_learning_problems(configuration["studies"]["target_learning"])
    problems = problems or gradient_problems(configuration["studies"])
    text = configuration["char_rnn"]["data"]
    if text["source"] == "file" and text["path"] is None:
        problems.append("char_rnn.data.path is None; expected a text file, since char_rnn.data.source is 'file'")
    return problems + fraction_problems(configuration) + epoch_problems(configuration)


def aelle_settings(configuration: Mapping[str, Any], study: str) -> dict[str, Any]:
    """Return the settings of AeLLE for one study: its own, else those of the section `aelle`."""
    common, own = configuration["aelle"], configuration["studies"][study].get("aelle", {})
    return common | own | {"autoencoder": common["autoencoder"] | own.get("autoencoder", {})}


def fraction_problems(configuration: Mapping[str, Any]) -> list[str]:
    """Return where the fractions of a split do not add up to 1."""
    sections = {"aelle": configuration["aelle"], "prednet.early": configuration["prednet"]["early"]} | {
        f"studies.{name}.aelle": study["aelle"] for name, study in configuration["studies"].items() if "aelle" in study
    }
    return [
        f"{path}.{key} is {section[key]}, which adds up to {sum(section[key]):g}; expected 1"
        for path, section in sections.items()
        for key in ("final_fractions", "pretrained_fractions", "fractions")
        if key in section and abs(sum(section[key]) - 1) > 1e-9
    ]


def epoch_problems(configuration: Mapping[str, Any]) -> list[str]:
    """Return which spectra are asked for by AeLLE and PredNet that are not taken."""
    studies, early = configuration["studies"], configuration["prednet"]["early"]
    last = {name: studies[name]["training"]["epochs"] for name in ("smnist", "char_rnn_sizes", "asrnn")}
    needed = {name: {epochs} for name, epochs in last.items()}
    needed["char_rnn_sizes"].add(round(early["training_share"] * last["char_rnn_sizes"]))
    problems = []
    for name, epochs in needed.items():
        taken = studies[name]["spectra"]["epochs"]
        missing = sorted(epochs - set(epochs if taken is None else taken))
        if missing:
            problems.append(f"studies.{name}.spectra.epochs is {taken}; expected {missing[0]} among them, or null")
    pretrained = aelle_settings(configuration, "smnist")["pretrained_epochs"]
    if pretrained > last["smnist"] + 1:
        problems.append(
            f"aelle.pretrained_epochs is {pretrained}; expected at most studies.smnist.training.epochs + 1 = "
            f"{last['smnist'] + 1}"
        )
    later = [epoch for epoch in configuration["pruning"]["epochs"] if epoch >= pretrained]
    if later:
        problems.append(f"pruning.epochs has {later[0]}; expected less than aelle.pretrained_epochs = {pretrained}")
    return problems


def gradient_problems(studies: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the settings of chapter 4: more epochs, vectors or exponents than there are."""
    row_rnn, pixel_rnn = studies["row_rnn"], studies["pixel_rnn"]
    alignment, epochs = row_rnn["alignment"], row_rnn["training"]["epochs"]
    n_rows, n_pixel = (entry_settings(study, "rnn").get("hidden_size") for study in (row_rnn, pixel_rnn))
    return [
        f"studies.{key} is {value}; expected at most {available}, {of_what}"
        for key, value, available, of_what in (
            ("row_rnn.alignment.epochs", max(alignment["epochs"]), epochs, "studies.row_rnn.training.epochs"),
            ("row_rnn.alignment.n_vectors", alignment["n_vectors"], n_rows // 3, "a third of the hidden units"),
            ("row_rnn.alignment.n_modes", alignment["n_modes"], n_rows // 2, "half the hidden units"),
            ("pixel_rnn.flips.n_averaged", max(pixel_rnn["flips"]["n_averaged"]), n_pixel, "the hidden units"),
        )
        if value > available
    ]


def target_learning_problems(study: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the study of target learning, beyond what could be wrong with any design."""
    problems, path, training, spectra = [], "studies.target_learning", study["training"], study["spectra"]
    for entry in study["design"]:
        settings = entry_settings(study, entry)
        if settings["architecture"] != "rank_one":
            problems.append(f"{path}.design.{entry} is of {settings['architecture']}; expected rank_one")
        gain, _ = level_ends(settings["init_param"])
        if gain <= 0:
            problems.append(f"{path}.design.{entry}.init_param, the gain g, goes down to {gain}; expected above 0")
        (density, _), (size, _) = (level_ends(settings.get(name, 1)) for name in ("density", "hidden_size"))
        if size * density < 1:
            problems.append(
                f"{path}: hidden_size {size} with density {density} is {size * density:.2g} connections a unit; "
                "expected at least 1"
            )
    stored = [*training["kept_epochs"], training["epochs"]]
    for key, epochs in (("training.kept_epochs", training["kept_epochs"]), ("spectra.epochs", spectra["epochs"] or [])):
        expected = range(training["epochs"] + 1) if key == "training.kept_epochs" else stored
        problems += [
            f"{path}.{key} has {epoch}; expected one of {', '.join(map(str, expected))}"
            for epoch in epochs
            if epoch not in expected
        ]
    if spectra["n_sequences"] > training["n_starts"]:
        problems.append(
            f"{path}.spectra.n_sequences is {spectra['n_sequences']}; expected at most {path}.training.n_starts = "
            f"{training['n_starts']}"
        )
    return problems
