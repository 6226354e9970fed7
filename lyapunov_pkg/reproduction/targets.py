"""The figures and tables of a configuration: those of chapters whose studies it has, and those of each study.

python -m lyapunov_pkg.reproduction.targets                        # every target with its caption
python -m lyapunov_pkg.reproduction.targets --configfile FILE ...  # of config.yaml with these over it
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lyapunov_pkg.reproduction.catalogue import figures, of_every_study, tables
from lyapunov_pkg.reproduction.configuration.studies import Studies
from lyapunov_pkg.reproduction.configuration.whole import aelle_settings, take_away_nulls, validate_configuration
from lyapunov_pkg.reproduction.records import Groups, Record, RecordError, Shards, Source, Store, did_you_mean
from lyapunov_pkg.reproduction.splits import split_networks
from lyapunov_pkg.reproduction.training.design import study_groups
from lyapunov_pkg.workflow.settings import ConfigurationError, merged
from lyapunov_pkg.workflow.strict_yaml import read_configuration

FEWEST_NETWORKS = 20
"""Smallest number of networks of a study with AeLLE. A fifth of them, four, is the test part."""

STUDY_OF_STORE = {
    "results/networks/estimator.zarr.zip": "char_rnn_initialisation",
    "results/gradients/alignment.zarr.zip": "row_rnn",
    "results/gradients/participation.zarr.zip": "row_rnn",
    "results/gradients/flips.zarr.zip": "pixel_rnn",
    "results/optimizers/comparison.zarr.zip": "optimizers",
}
"""Stores of one study of the dissertation whose names do not contain the study."""

OF_A_STUDY = re.compile(r"results/(?:evolution|populations|eigenvalues|aelle)/([\w-]+)\.zarr\.zip")
AELLE = "results/aelle/"


@dataclass(frozen=True)
class Targets:
    """The targets that a configuration can create, and those that it cannot.

    Attributes:
        records: figures and tables, those of chapters before those of studies, by name.
        needing: {name: missing study} of the figures and tables of chapters that are left out.
        lacking: {study: {name: reason}} of the figures and tables of studies that are left out.
        own_studies: studies that are not in the dissertation.
        left_out: studies that the configuration leaves out.
    """

    records: Mapping[str, Record]
    needing: Mapping[str, str]
    lacking: Mapping[str, Mapping[str, str]]
    own_studies: Sequence[str]
    left_out: Sequence[str]

    def of_kind(self, kind: str) -> dict[str, Record]:
        """Return {name: record} of the figures or of the tables."""
        return {name: record for name, record in self.records.items() if record.kind == kind}

    def of_study(self, study: str) -> list[Record]:
        """Return the figures and tables of a study."""
        return [record for record in self.records.values() if record.study == study]

    def by_default(self) -> list[Record]:
        """Return the targets of `make run`: the figures and tables of chapters and of the user's own studies."""
        return [record for record in self.records.values() if record.study is None or record.study in self.own_studies]

    def shortage(self, study: str) -> str:
        """Return a line with the figures and tables that are left out with a study, or of it; "" if none are."""
        without = [name for name, needed in self.needing.items() if needed == study]
        if without:
            return f"study {study} is left out (studies.{study}: null), and with it {', '.join(without)}"
        reasons: dict[str, list[str]] = {}
        for name, reason in self.lacking.get(study, {}).items():
            reasons.setdefault(reason, []).append(name)
        return "; ".join(f"study_{study} is without {', '.join(names)}: {why}" for why, names in reasons.items())

    def refusal(self, asked: str) -> str | None:
        """Return a message on a target, or its file, that needs a study that is left out; None for other targets."""
        name = re.sub(r"^results/(figures|tables)/|\.[a-z.]+$", "", asked)
        if name in self.needing:
            study = self.needing[name]
            return (
                f"{name} needs the study {study}, which the configuration leaves out; expected it there: take "
                f"`{study}: null` out of `studies`, or ask for other targets"
            )
        study, _, part = name.removeprefix("study_").partition("/")
        if part in self.lacking.get(study, {}):
            return f"the study {study} has no {part!r}: {self.lacking[study][part]}"
        if name.startswith("study_") and study in self.left_out:
            return f"there is no study {study}: the configuration leaves it out (studies.{study}: null)"
        return None


def targets_of(configuration: Mapping[str, Any], left_out: Iterable[str] = ()) -> Targets:
    """Return the targets of a configuration.

    Args:
        configuration: a valid configuration.
        left_out: studies that were null, besides those of the dissertation that the configuration does not have.

    Raises:
        RecordError: a figure or table needs an unknown study.
    """
    studies = configuration["studies"]
    missing = {*Studies.model_fields, *left_out} - set(studies)
    records: dict[str, Record] = {}
    needing: dict[str, str] = {}
    for record in (*figures().values(), *tables().values()):
        needed = [study for source in record.sources.values() for study in study_of(source, [*studies, *missing])]
        _check_known(record, [*studies, *missing])
        absent = [study for study in needed if study in missing]
        if absent:
            needing[record.name] = absent[0]
        else:
            records[record.name] = record
    lacking: dict[str, dict[str, str]] = {study: {} for study in studies}
    for study in studies:
        for template in of_every_study():
            reason = lack(template, study, configuration)
            if reason:
                lacking[study][template.stem] = reason
            else:
                record = template.of_study(study)
                records[record.name] = record
    own = [study for study in studies if study not in Studies.model_fields]
    return Targets(records, needing, lacking, own, sorted(missing))


def _check_known(record: Record, known: Sequence[str]) -> None:
    """Raise an error if a study is neither in the configuration nor left out of it."""
    for source in record.sources.values():
        if isinstance(source, Groups | Shards) and source.study not in known:
            raise RecordError(
                f"{record.name} in {record.module} is drawn from the study {source.study!r}, which the configuration "
                f"does not have{did_you_mean(source.study, known)}"
            )


def study_of(source: Source, known: Iterable[str]) -> list[str]:
    """Return the study of a source as a list, which is empty if there is none.

    The name of a store is STUDY or STUDY_EXPERIMENT. If several known studies match, the longest name is used.
    """
    if not isinstance(source, Store):
        return [source.study]
    if source.path in STUDY_OF_STORE:
        return [STUDY_OF_STORE[source.path]]
    found = OF_A_STUDY.fullmatch(source.path)
    fitting = [study for study in known if found and (found[1] == study or found[1].startswith(f"{study}_"))]
    return sorted(fitting, key=len)[-1:]


def lack(record: Record, study: str, configuration: Mapping[str, Any]) -> str | None:
    """Return the reason why a study cannot have a figure or table of every study, or None if it can."""
    sources = record.sources.values()
    paths = [source.path for source in sources if isinstance(source, Store)]
    from_spectra = any(OF_A_STUDY.fullmatch(path.format(study=study)) for path in paths)
    from_spectra |= any(isinstance(source, Shards) and source.stage == "spectra" for source in sources)
    if from_spectra and not configuration["studies"][study].get("spectra"):
        return f"no spectra are taken (studies.{study}.spectra)"
    if any(path.startswith(AELLE) for path in paths):
        return lack_of_aelle(study, configuration)
    return None


def lack_of_aelle(name: str, configuration: Mapping[str, Any]) -> str | None:
    """Return the reason why there is no AeLLE of the trained networks of a study with spectra, or None."""
    study = configuration["studies"][name]
    taken, last = study["spectra"]["epochs"], study["training"]["epochs"]
    if taken is not None and last not in taken:
        return f"no spectra are taken after the last epoch ({last}; studies.{name}.spectra.epochs is {list(taken)})"
    n_networks = sum(group.n_variants for group in study_groups(name, study, configuration["seed"]).values())
    if n_networks < FEWEST_NETWORKS:
        return f"{n_networks} networks (studies.{name}.variants); AeLLE needs {FEWEST_NETWORKS}"
    try:
        split_networks(n_networks, aelle_settings(configuration, name)["final_fractions"], seeds=[0])
    except ValueError as error:
        return f"aelle.final_fractions: {error}"
    return None


def main(arguments: Sequence[str]) -> int:
    """Print every target of a configuration with its caption, and those left out. Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lyapunov_pkg.reproduction.targets", allow_abbrev=False)
    parser.add_argument("--configfile", "--configfiles", nargs="+", action="extend", default=[])
    configuration: dict[str, Any] = {}
    try:
        for path in (Path(__file__).parents[2] / "config.yaml", *parser.parse_args(arguments).configfile):
            configuration = merged(configuration, read_configuration(path))
        left_out = take_away_nulls(configuration)
        validate_configuration(configuration)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 1
    targets = targets_of(configuration, left_out)
    chapters = [record for record in targets.records.values() if record.study is None]
    chapters.sort(key=lambda record: (record.chapter, record.kind, record.order))
    listed = [(record.name, record.text()) for record in chapters]
    for study in configuration["studies"]:
        made = ", ".join(record.stem for record in targets.of_study(study))
        without = targets.shortage(study).partition(" is without ")[2]
        listed.append((f"study_{study}", f"Study {study}: {made}." + (f" Without {without}." if without else "")))
    width = max(len(name) for name, _ in listed) + 2
    for name, text in listed:
        lines = textwrap.wrap(text, 100, break_on_hyphens=False)
        print(f"{name:<{width}}{lines[0]}", *(f"{'':<{width}}{line}" for line in lines[1:]), sep="\n")
    for study in targets.left_out:
        print(targets.shortage(study) or f"study {study} is left out")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
