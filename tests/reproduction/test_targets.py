"""The figures and tables that a configuration provides."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest

from lyapunov_pkg.reproduction.catalogue import figures, tables
from lyapunov_pkg.reproduction.configuration.studies import Studies
from lyapunov_pkg.reproduction.configuration.whole import take_away_nulls, validate_configuration
from lyapunov_pkg.reproduction.records import Groups, RecordError, Shards, Source, Store
from lyapunov_pkg.reproduction.targets import Targets, main, study_of, targets_of
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


def test_the_list_has_chapters_in_order_then_studies_with_wrapped_captions(
    capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("studies: {char_rnn_sizes: null, mocap: {variants: 5}, optimizers: null}")
    assert main(["--configfile", str(overlay)]) == 0
    lines = capsys.readouterr().out.splitlines()
    left_out = [line for line in lines if line.startswith("study ")]
    assert [line.split()[1] for line in left_out] == ["char_rnn_sizes", "optimizers"]
    assert lines[-2:] == left_out
    listed = lines[:-2]
    names = [line.split()[0] for line in listed if not line.startswith(" ")]
    width = max(map(len, names)) + 2
    assert all(line[:width].strip() in (*names, "") and line[width] != " " for line in listed)
    assert max(len(line) - width for line in listed) <= 100 < max(len(line) for line in listed)
    chapters = [
        (record.chapter, record.kind, record.order)
        for record in map(({**figures(), **tables()}).get, names)
        if record is not None
    ]
    assert chapters == sorted(chapters) and len({chapter for chapter, *_ in chapters}) == 4
    studies = [name for name in names if name.startswith("study_")]
    assert names[-len(studies) :] == studies and studies[0] == "study_smnist"
    said = " ".join(" ".join(listed).split())
    records = {**figures(), **tables()}
    assert said.startswith(" ".join(f"{name} {records[name].text()}" for name in names if name in records))
    assert (
        "study_mocap Study mocap: spectra, statistics, training, correlations. Without aelle_plane, classifiers: 5"
        in said
    )
    assert "AeLLE needs 20. study_asrnn" in said
    assert "study_smnist Study smnist: aelle_plane, spectra, statistics, training, classifiers, correlations. " in said


def test_an_own_study_that_is_left_out_is_listed(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("studies: {mine: null}")
    assert main(["--configfile", str(overlay)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "study mine is left out"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (Store("results/aelle/smnist_final.zarr.zip", ("f1",)), ["smnist"]),
        (Store("results/aelle/smnist_long_final.zarr.zip", ("f1",)), ["smnist_long"]),
        (Store("results/populations/smnist.zarr.zip", ("f1",)), ["smnist"]),
        (Store("results/populations/smnistic.zarr.zip", ("f1",)), []),
        (Store("results/datasets/smnist.zarr.zip", ("f1",)), []),
        (Store("results/gradients/flips.zarr.zip", ("f1",)), ["pixel_rnn"]),
        (Shards("spectra", "mocap", ("f1",)), ["mocap"]),
        (Groups("mocap"), ["mocap"]),
    ],
)
def test_the_study_of_a_source_is_the_longest_that_fits(source: Source, expected: list[str]) -> None:
    assert study_of(source, ["smnist_long", "smnist", "mocap"]) == expected


def test_targets_are_separated_by_kind(configuration: dict[str, Any]) -> None:
    found = targets(configuration)
    assert found.of_kind("figure").keys() | found.of_kind("table").keys() == found.records.keys()
    assert {record.kind for record in found.of_kind("table").values()} == {"table"}
    assert next(iter(found.of_kind("figure"))) == "fig_1_1"


def test_fractions_that_leave_a_part_empty_give_no_aelle(configuration: dict[str, Any]) -> None:
    add_study(configuration)
    configuration["studies"]["mine"]["aelle"] = {"final_fractions": [0.98, 0.01, 0.01]}
    reason = targets(configuration).lacking["mine"]["aelle_plane"]
    assert reason.startswith("aelle.final_fractions: 30 networks split by")


def test_reasons_of_a_shortage_name_all_their_targets(configuration: dict[str, Any]) -> None:
    add_study(configuration, variants=5)
    shortage = targets(configuration).shortage("mine")
    assert (
        shortage == "study_mine is without aelle_plane, classifiers: 5 networks (studies.mine.variants); AeLLE needs 20"
    )
    assert targets(configuration).shortage("smnist") == "" == targets(configuration).shortage("unknown")


def test_refusals_apply_to_files_of_targets_only(configuration: dict[str, Any]) -> None:
    add_study(configuration, variants=5)
    configuration["studies"]["smnist"] = None
    found = targets(configuration)
    assert found.refusal("study_mine/aelle_plane") == found.refusal("results/figures/study_mine/aelle_plane.pdf")
    assert found.refusal("study_mine/training") is None and found.refusal("study_other/aelle_plane") is None
    assert found.refusal("other/results/figures/fig_3_9.png") is None
    assert "there is no study smnist" in str(found.refusal("study_smnist/training"))
    assert found.refusal("smnist") is None


def test_a_figure_of_an_unknown_study_is_refused(
    configuration: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = dataclasses.replace(figures()["fig_3_5"], sources={"spectra": Shards("spectra", "smnst", ("f1",))})
    monkeypatch.setattr("lyapunov_pkg.reproduction.targets.figures", lambda: {"fig_3_5": record})
    with pytest.raises(RecordError, match=r"fig_3_5 .*the study 'smnst', .*does not have; did you mean smnist\?"):
        targets(configuration)
