"""The whole configuration, and the checks that need more than one setting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

from annotated_types import Ge, Le

from lyapunov_pkg.reproduction.configuration.cells import cell_hyperparameters
from lyapunov_pkg.reproduction.configuration.data import CharRnn, Mocap, Sequences, Smnist
from lyapunov_pkg.reproduction.configuration.populations import Correlations
from lyapunov_pkg.reproduction.configuration.prediction import Aelle, Prednet, Pruning
from lyapunov_pkg.reproduction.configuration.resources import JobResources, Resources
from lyapunov_pkg.reproduction.configuration.spectra import EstimatorSettings
from lyapunov_pkg.reproduction.configuration.studies import Studies
from lyapunov_pkg.reproduction.configuration.systems import LayeredJacobian, Lorenz, StabilityRegimes
from lyapunov_pkg.reproduction.tasks.amc import unknown_trials
from lyapunov_pkg.reproduction.training.design import STACKABLE, entry_settings, level_ends, study_problems
from lyapunov_pkg.workflow.settings import (
    Key,
    Problem,
    Section,
    Text,
    check_problems,
    merged,
    section_problems,
    shortened,
    unsuitable,
    without_nulls,
    written,
)

FINAL_SPECTRA_ARE_READ = ("smnist", "char_rnn_sizes", "asrnn", "optimizers")
"""Studies for which a later stage reads the spectra after the last epoch."""


class Configuration(Section):
    """The settings of the workflow. `config.yaml` has the default values; overlays replace some of them."""

    seed: Annotated[int, Ge(0), Le(2**31 - 1)]
    """Seed of all random numbers of the workflow. Unit: 1."""
    device: Literal["auto", "cpu", "cuda"]
    """Device for training and analysis. `auto` is CUDA if there is a GPU."""
    cache_directory: Text
    """Folder of results that runs and clones share (docs/caching.md)."""
    cache_group: Text | None
    """Group of users who share the cache folder. Null: only the owner can use it."""
    resources: Resources
    """The resources that jobs request from a cluster."""
    lorenz: Lorenz
    """The Lorenz system (chapter 1)."""
    layered_jacobian: LayeredJacobian
    """The Jacobian of a network of layers (figure 2.1)."""
    stability_regimes: StabilityRegimes
    """Regimes of an untrained network (figure 2.3)."""
    estimator: EstimatorSettings
    """Estimates of the exponents of one network (figures 2.2, 2.4, 2.5)."""
    correlations: Correlations
    """Statistics of the spectra and performance (chapter 2)."""
    char_rnn: CharRnn
    """Prediction of the next character (chapters 2 and 3)."""
    mocap: Mocap
    """Prediction of the next frame of a motion (chapter 2)."""
    smnist: Smnist
    """Sequential MNIST (chapters 3 and 4)."""
    sequences: Sequences
    """Your own sequences (docs/own-data.md)."""
    studies: Studies
    """Populations of networks."""
    aelle: Aelle
    """The autoencoder of spectra (chapter 3)."""
    pruning: Pruning
    """Successive halving by early predictions."""
    prednet: Prednet
    """Small networks that predict the final loss (chapter 3)."""


def validate_configuration(configuration: Mapping[str, Any]) -> None:
    """Check a configuration: every setting by its definition, and combinations of settings.

    Raises:
        ConfigurationError: a key is misspelt or missing, has a wrong type, or is out of range. The message lists all
            problems.
    """
    check_problems(configuration_problems(configuration))


def configuration_problems(configuration: Mapping[str, Any]) -> list[Problem]:
    """Return the problems of a configuration.

    A check of several settings runs only if each of them is allowed.
    """
    problems = section_problems(Configuration, configuration)
    for check in _checks(configuration):
        if all(_usable(key, problems) for key in check.reads):
            problems += check.problems()
    return problems


def take_away_nulls(configuration: Mapping[str, Any]) -> list[str]:
    """Delete null studies, hyperparameters and entries of designs in place, also in grids and distributions.

    An overlay is merged with other values, so that it needs null to remove an entry, as in `{uniform: null,
    log_uniform: [1, 2]}`.

    Returns:
        The studies that were null.
    """
    studies = configuration.get("studies")
    if not isinstance(studies, dict):
        return []
    left_out = [name for name, study in studies.items() if study is None]
    for name in left_out:
        del studies[name]
    for study in studies.values():
        for key in {"hyperparameters", "design"} & (study.keys() if isinstance(study, dict) else set()):
            study[key] = without_nulls(study[key])
    return left_out


def aelle_settings(configuration: Mapping[str, Any], study: str) -> dict[str, Any]:
    """Return the settings of AeLLE for one study: its own, and otherwise those of the section `aelle`."""
    return merged(configuration["aelle"], configuration["studies"][study].get("aelle", {}))


class _Check(NamedTuple):
    """A check of several settings.

    Attributes:
        reads: keys of the settings that it needs.
        problems: function that returns the problems.
    """

    reads: tuple[Key, ...]
    problems: Callable[[], list[Problem]]


def _usable(key: Key, problems: list[Problem]) -> bool:
    """Return whether no setting at a key, below it or above it has a problem."""
    return not any(problem.key[: len(key)] == key[: len(problem.key)] for problem in problems)


def _checks(configuration: Mapping[str, Any]) -> Iterator[_Check]:
    """Yield the checks of several settings. A later check may rely on earlier ones."""
    studies = configuration.get("studies")
    known = studies if isinstance(studies, Mapping) else {}
    for name, study in known.items():
        if isinstance(name, str) and isinstance(study, Mapping):
            yield from _study_checks(configuration, name, study)
    resources = configuration.get("resources")
    for rule in resources if isinstance(resources, Mapping) else ():
        if isinstance(rule, str) and rule != "default":
            yield _replacing(JobResources, ("resources", "default"), ("resources", rule), configuration)
    for name, of_study in OF_ONE_STUDY.items():
        if isinstance(known.get(name), Mapping):
            yield _Check((("studies", name),), partial(of_study, configuration["studies"][name]))
    yield _Check((("layered_jacobian",),), lambda: cell_problems(configuration["layered_jacobian"]["architecture"]))
    yield _Check((("char_rnn", "data"),), lambda: text_problems(configuration["char_rnn"]["data"]))
    yield _Check((("mocap", "data"),), lambda: motion_problems(configuration["mocap"]["data"]))
    yield _Check((("smnist", "data"),), lambda: image_problems(configuration["smnist"]["data"]))
    yield _Check((("sequences", "data"), ("studies",)), lambda: sequences_problems(configuration))
    present = [name for name in FINAL_SPECTRA_ARE_READ if name in known]
    needed = [("studies", name, part) for name in present for part in ("training", "spectra")]
    yield _Check((*needed, ("prednet", "early", "training_share")), lambda: epoch_problems(configuration, present))
    if "smnist" in present:
        smnist = ("studies", "smnist")
        yield _Check(
            ((*smnist, "training"), (*smnist, "aelle"), ("aelle",), ("pruning", "epochs")),
            lambda: pretrained_problems(configuration),
        )


def _study_checks(configuration: Mapping[str, Any], name: str, study: Mapping[str, Any]) -> Iterator[_Check]:
    """Yield the checks of one study."""
    key: Key = ("studies", name)
    design = tuple((*key, part) for part in ("variants", "hyperparameters", "design"))
    path = f"studies.{name}"
    cells = cell_hyperparameters()
    yield _Check(
        design,
        lambda: [Problem((*key, "design"), text) for text in study_problems(path, study, cells)],
    )
    if name in ("row_rnn", "pixel_rnn"):
        yield _Check(design, lambda: one_group_problems(name, study))
    yield _Check(((*key, "task"), (*key, "training")), lambda: held_out_problems(name, study))
    yield _Check(((*key, "training"), (*key, "spectra")), lambda: late_spectra_problems(name, study))
    yield _replacing(Aelle, ("aelle",), (*key, "aelle"), configuration)


def _replacing(section: type[Section], common: Key, own: Key, configuration: Mapping[str, Any]) -> _Check:
    """Return the check of values at the key `own` that replace some common values of a section."""

    def problems() -> list[Problem]:
        base, values = _value(configuration, common), _value(configuration, own)
        found = section_problems(section, merged(base if isinstance(base, Mapping) else {}, values), own)
        return [problem for problem in found if _value(values, problem.key[len(own) :], _ABSENT) is not _ABSENT]

    return _Check((own,), problems)


_ABSENT = object()


def _value(configuration: Any, key: Key, otherwise: Any = None) -> Any:
    """Return the value at a key, or `otherwise` (an empty mapping if None) if the configuration has none."""
    for step in key:
        is_there = step in configuration if isinstance(configuration, Mapping) else isinstance(step, int)
        if not is_there:
            return {} if otherwise is None else otherwise
        configuration = configuration[step]
    return configuration


def late_spectra_problems(name: str, study: Mapping[str, Any]) -> list[Problem]:
    """Return a problem if spectra of a study are requested after its last epoch."""
    epochs = study["training"]["epochs"]
    if name == "target_learning":
        return []  # only some of its epochs are stored; see `target_learning_problems`
    later = [epoch for epoch in (study.get("spectra") or {}).get("epochs") or [] if epoch > epochs]
    key: Key = ("studies", name, "spectra", "epochs")
    return [
        Problem(key, f"{written(key)} has {epoch}; expected at most studies.{name}.training.epochs = {epochs}")
        for epoch in later[:1]
    ]


def held_out_problems(name: str, study: Mapping[str, Any]) -> list[Problem]:
    """Return a problem if a study is validated on a test part that its task does not have."""
    validate_on = study["training"].get("validate_on", "validation")
    if validate_on == "validation" or study["task"] == "char_rnn":
        return []
    key: Key = ("studies", name, "training", "validate_on")
    return [Problem(key, unsuitable(key, validate_on, f"validation, since the task is {study['task']}"))]


def one_group_problems(name: str, study: Mapping[str, Any]) -> list[Problem]:
    """Return the problems of a study that must consist of vanilla networks of one size, for the figures of chapter 4.

    The entries of row_rnn are kinds of initial weights. pixel_rnn has a single entry.
    """
    key: Key = ("studies", name, "design")
    if name == "pixel_rnn" and list(study["design"]) != ["rnn"]:
        return [Problem(key, unsuitable(key, list(study["design"]), "the one entry rnn"))]
    problems = []
    entries = {entry: entry_settings(study, entry) for entry in study["design"]}
    for entry, settings in entries.items():
        place = f"studies.{name}.design.{entry}"
        if settings["architecture"] != "rnn":
            problems.append(Problem(key, unsuitable([place, "architecture"], settings["architecture"], "one of rnn")))
        for hyperparameter, level in settings.items():
            if isinstance(level, Mapping) and hyperparameter not in STACKABLE:
                kind = "one integer" if hyperparameter in ("hidden_size", "n_layers") else "one value"
                problems.append(Problem(key, unsuitable([place, hyperparameter], level, kind)))
    sizes = {entry: settings["hidden_size"] for entry, settings in entries.items()}
    if not problems and len(set(sizes.values())) > 1:
        problems.append(Problem(key, unsuitable([f"studies.{name}.design"], sizes, "one hidden_size for all entries")))
    return problems


def cell_problems(architecture: str) -> list[Problem]:
    """Return a problem if the cell of figure 2.1 is unknown, or its layers cannot be stacked."""
    key: Key = ("layered_jacobian", "architecture")
    cells = [name for name in cell_hyperparameters() if name != "rank_one"]
    return [] if architecture in cells else [Problem(key, unsuitable(key, architecture, f"one of {', '.join(cells)}"))]


def text_problems(data: Mapping[str, Any]) -> list[Problem]:
    """Return a problem if the text of CharRNN has no file."""
    key: Key = ("char_rnn", "data", "path")
    if data["source"] == "file" and data["path"] is None:
        return [Problem(key, unsuitable(key, None, "a text file, since char_rnn.data.source is 'file'"))]
    return []


def motion_problems(data: Mapping[str, Any]) -> list[Problem]:
    """Return a problem if trials of Mocap without a known checksum would be downloaded."""
    key: Key = ("mocap", "data", "trials")
    to_download = data["source"] == "cmu" and data["directory"] is None
    unknown = unknown_trials(data["trials"] or ()) if to_download else None
    return [Problem(key, f"{written(key)}: {unknown}")] if unknown else []


def image_problems(data: Mapping[str, Any]) -> list[Problem]:
    """Return a problem if the user's own images have no folder."""
    key: Key = ("smnist", "data", "directory")
    if data["source"] == "idx" and data["directory"] is None:
        return [Problem(key, unsuitable(key, None, "a folder of four IDX files, since smnist.data.source is 'idx'"))]
    return []


def sequences_problems(configuration: Mapping[str, Any]) -> list[Problem]:
    """Return a problem if a study trains on the user's own sequences, but these have no file."""
    key: Key = ("sequences", "data", "path")
    names = [name for name, study in configuration["studies"].items() if study and study["task"] == "sequences"]
    if names and configuration["sequences"]["data"]["path"] is None:
        expected = f"a .npz or Zarr file, since studies.{names[0]}.task is 'sequences'"
        return [Problem(key, unsuitable(key, None, expected))]
    return []


def epoch_problems(configuration: Mapping[str, Any], names: Sequence[str]) -> list[Problem]:
    """Return the problems of studies whose spectra AeLLE and PredNet need but that are not computed."""
    studies, early = configuration["studies"], configuration["prednet"]["early"]
    needed = {name: {studies[name]["training"]["epochs"]} for name in names}
    if "char_rnn_sizes" in needed:
        needed["char_rnn_sizes"].add(round(early["training_share"] * studies["char_rnn_sizes"]["training"]["epochs"]))
    problems = []
    for name, epochs in needed.items():
        key: Key = ("studies", name, "spectra", "epochs")
        taken = studies[name]["spectra"]["epochs"]
        missing = sorted(epochs - set(epochs if taken is None else taken))
        if missing:
            problems.append(Problem(key, unsuitable(key, taken, f"{missing[0]} among them, or null")))
    return problems


def pretrained_problems(configuration: Mapping[str, Any]) -> list[Problem]:
    """Return the problems if the pre-trained AeLLE or pruning needs more epochs than there are."""
    epochs = configuration["studies"]["smnist"]["training"]["epochs"]
    pretrained = aelle_settings(configuration, "smnist")["pretrained_epochs"]
    problems = []
    if pretrained > epochs + 1:
        key: Key = ("aelle", "pretrained_epochs")
        expected = f"at most studies.smnist.training.epochs + 1 = {epochs + 1}"
        problems.append(Problem(key, unsuitable(key, pretrained, expected)))
    for epoch in [epoch for epoch in configuration["pruning"]["epochs"] if epoch >= pretrained][:1]:
        text = f"pruning.epochs has {epoch}; expected less than aelle.pretrained_epochs = {pretrained}"
        problems.append(Problem(("pruning", "epochs"), text))
    return problems


def row_rnn_problems(study: Mapping[str, Any]) -> list[Problem]:
    """Return the problems of the alignment's settings: more epochs, vectors or modes than there are."""
    alignment, size = study["alignment"], entry_settings(study, next(iter(study["design"])))["hidden_size"]
    epochs = study["training"]["epochs"]
    return _above_limits(
        ("row_rnn.alignment.epochs", max(alignment["epochs"]), epochs, "studies.row_rnn.training.epochs"),
        ("row_rnn.alignment.n_vectors", alignment["n_vectors"], size // 3, "a third of the hidden units"),
        ("row_rnn.alignment.n_modes", alignment["n_modes"], size // 2, "half the hidden units"),
    )


def pixel_rnn_problems(study: Mapping[str, Any]) -> list[Problem]:
    """Return a problem if flips are ranked by more exponents than there are."""
    averaged, size = max(study["flips"]["n_averaged"]), entry_settings(study, "rnn")["hidden_size"]
    return _above_limits(("pixel_rnn.flips.n_averaged", averaged, size, "the hidden units"))


def _above_limits(*limits: tuple[str, int, int, str]) -> list[Problem]:
    """Return the problems of settings above their limit. Each has its value, the limit and a description of it."""
    return [
        Problem(
            ("studies", *key.split(".")),
            unsuitable(["studies", key], value, f"at most {available}, {of_what}"),
        )
        for key, value, available, of_what in limits
        if value > available
    ]


def target_learning_problems(study: Mapping[str, Any]) -> list[Problem]:
    """Return the problems of the study of target learning, besides those of any design."""
    path, training, spectra = "studies.target_learning", study["training"], study["spectra"]
    entries = {entry: entry_settings(study, entry) for entry in study["design"]}
    lines = [line for entry, settings in entries.items() for line in _rank_one_problems(path, entry, settings)]
    stored = [*training["kept_epochs"], training["epochs"]]
    lines += [
        f"{path}.spectra.epochs has {epoch}; expected one of {', '.join(map(str, stored))}"
        for epoch in spectra["epochs"] or []
        if epoch not in stored
    ]
    if spectra["n_sequences"] > training["n_starts"]:
        expected_starts = f"at most {path}.training.n_starts = {training['n_starts']}"
        lines.append(unsuitable([path, "spectra.n_sequences"], spectra["n_sequences"], expected_starts))
    return [Problem(("studies", "target_learning"), line) for line in lines]


def _rank_one_problems(path: str, entry: str, settings: Mapping[str, Any]) -> list[str]:
    """Return the problems of one entry of the design of target learning."""
    lines = []
    if settings["architecture"] != "rank_one":
        lines.append(f"{path}.design.{entry} is of {shortened(settings['architecture'])}; expected rank_one")
    gain, _ = level_ends(settings["init_param"])
    if gain <= 0:
        lines.append(f"{path}.design.{entry}.init_param, the gain g, goes down to {gain}; expected above 0")
    (density, _), (size, _) = (level_ends(settings.get(name, 1)) for name in ("density", "hidden_size"))
    if size * density < 1:
        lines.append(
            f"{path}: hidden_size {size} with density {density} is {size * density:.2g} connections a unit; "
            "expected at least 1"
        )
    return lines


OF_ONE_STUDY: dict[str, Callable[[Mapping[str, Any]], list[Problem]]] = {
    "row_rnn": row_rnn_problems,
    "pixel_rnn": pixel_rnn_problems,
    "target_learning": target_learning_problems,
}
"""The checks of single studies of the dissertation, besides those of all studies."""
