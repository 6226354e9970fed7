"""The figures and tables that a configuration provides."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from lyapunov_pkg.reproduction.catalogue import figures, tables
from lyapunov_pkg.reproduction.configuration.studies import Studies
from lyapunov_pkg.reproduction.configuration.whole import take_away_nulls, validate_configuration
from lyapunov_pkg.reproduction.targets import Targets, main, targets_of
from tests.reproduction.test_configuration import DEFAULTS

EVERY = {"training", "spectra", "statistics", "correlations", "aelle_plane", "classifiers"}


@pytest.fixture
def configuration() -> dict[str, Any]:
    return copy.deepcopy(DEFAULTS)


def targets(configuration: dict[str, Any]) -> Targets:
    left_out = take_away_nulls(configuration)
    validate_configuration(configuration)
    return targets_of(configuration, left_out)


def add_study(configuration: dict[str, Any], **changed: Any) -> None:
    """Add a user-defined study, which is that of mocap with changes."""
    configuration["studies"]["mine"] = copy.deepcopy(configuration["studies"]["mocap"]) | changed


@pytest.mark.parametrize("study", Studies.model_fields)
def test_removing_a_study_removes_the_targets_that_need_it(configuration: dict[str, Any], study: str) -> None:
    configuration["studies"][study] = None
    found = targets(configuration)
    assert found.needing and not set(found.needing) & set(found.records)
    assert {*figures(), *tables()} == {*found.needing, *(record.name for record in found.by_default())}
    assert not found.of_study(study)
    named = [store for record in found.records.values() for store in map(str, record.sources.values())]
    others = [other for other in Studies.model_fields if other.startswith(f"{study}_")]
    assert not [store for store in named if study in store and not any(other in store for other in others)]
    assert found.shortage(study).startswith(f"study {study} is left out (studies.{study}: null), and with it ")


def test_every_study_has_the_figures_and_tables_that_its_data_allow(configuration: dict[str, Any]) -> None:
    add_study(configuration)
    found = targets(configuration)
    assert {record.stem for record in found.of_study("mine")} == EVERY
    assert {record.stem for record in found.of_study("row_rnn")} == {"training"}
    assert {record.stem for record in found.of_study("char_rnn_initialisation")} == EVERY - {
        "aelle_plane",
        "classifiers",
    }
    assert found.own_studies == ["mine"]
    by_default = {record.study for record in found.by_default()}
    assert by_default == {None, "mine"}


@pytest.mark.parametrize(
    ("changed", "without", "reason"),
    [
        ({"spectra": None}, EVERY - {"training"}, "no spectra are taken (studies.mine.spectra)"),
        ({"variants": 19}, {"aelle_plane", "classifiers"}, "19 networks (studies.mine.variants); AeLLE needs 20"),
        ({"variants": 20}, set(), None),
    ],
)
def test_missing_targets_of_a_study_are_listed_with_the_reason(
    configuration: dict[str, Any], changed: dict[str, Any], without: set[str], reason: str | None
) -> None:
    design = {"lstm": {"init_param": {"uniform": [0.1, 0.5]}}}
    add_study(configuration, **({"design": design} | changed))
    found = targets(configuration)
    assert {record.stem for record in found.of_study("mine")} == EVERY - without
    assert set(found.lacking["mine"].values()) == ({reason} if reason else set())
    for part in without:
        assert found.refusal(f"results/figures/study_mine/{part}.png") == f"the study mine has no {part!r}: {reason}"
    assert (str(reason) in found.shortage("mine")) == bool(without)


def test_spectra_without_the_last_epoch_give_no_aelle(configuration: dict[str, Any]) -> None:
    add_study(configuration)
    study = configuration["studies"]["mine"]
    study["spectra"]["epochs"] = [0, 1]
    assert "no spectra are taken after the last epoch" in targets(configuration).lacking["mine"]["aelle_plane"]


def test_refusals_of_removed_targets_name_their_study(configuration: dict[str, Any]) -> None:
    configuration["studies"]["smnist"] = None
    found = targets(configuration)
    for asked in ("fig_3_9", "results/figures/fig_3_9.png", "table_3_2", "results/tables/table_3_2.csv"):
        assert "needs the study smnist, which the configuration leaves out" in str(found.refusal(asked))
    assert "leaves it out" in str(found.refusal("study_smnist"))
    assert found.refusal("fig_2_2") is None and found.refusal("study_mocap") is None and found.refusal("all") is None


def test_the_list_names_the_removed_studies_and_targets(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("studies: {smnist: null}")
    assert main(["--configfile", str(overlay)]) == 0
    printed = capsys.readouterr().out
    assert "study_mocap" in printed and "\nfig_3_9" not in printed
    assert "study smnist is left out (studies.smnist: null), and with it fig_3_5, fig_3_9" in printed
    overlay.write_text("studies: {smnist: 3}")
    assert main(["--configfile", str(overlay)]) == 1
    assert "studies.smnist" in capsys.readouterr().err
