"""Records of figures and tables, and how they are read from the source code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr
from matplotlib import rcParams, rcParamsDefault

from lyapunov_pkg.reproduction import catalogue
from lyapunov_pkg.reproduction.catalogue import figures, load, read_records, tables
from lyapunov_pkg.reproduction.records import (
    Groups,
    Record,
    RecordError,
    Shards,
    Store,
    did_you_mean,
    figure,
    record_of,
    table,
)
from lyapunov_pkg.reproduction.sources import caption_numbers, select_variables

RECORDS = {**figures(), **tables()}
STORE = 'Store("results/aelle/smnist_final.zarr.zip", ("f1",))'
FUNCTION = "def fig_9_1(final):\n    return None\n"


def with_store(store: str) -> str:
    """Return the source of a figure that is drawn from one store."""
    return f'@figure(stores={{"final": {store}}}, caption="A.")\n{FUNCTION}'


def read(source: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list:
    """Return the records in a file of figures with this source below its imports."""
    monkeypatch.setattr(catalogue, "REPRODUCTION", folder)
    path = folder / "figures/own.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text("from lyapunov_pkg.reproduction.records import Groups, Shards, Store, figure, table\n" + source)
    return list(read_records(path))


@pytest.mark.parametrize("name", RECORDS)
def test_the_record_read_from_source_is_that_of_the_function(name: str) -> None:
    assert record_of(load(RECORDS[name].place)) == RECORDS[name]


def test_records_are_read_without_importing_the_plotting_code() -> None:
    code = (
        "import sys; from lyapunov_pkg.reproduction.catalogue import figures, tables; figures(); tables(); "
        "sys.exit(', '.join({'matplotlib', 'torch', 'pandas', 'xarray'} & set(sys.modules)) or None)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_records_are_in_natural_order_also_in_menus() -> None:
    names = [name for name, record in figures().items() if record.chapter == 3]
    assert names[:3] == ["fig_3_1", "fig_3_2", "fig_3_3"]
    assert names[8:11] == ["fig_3_9", "fig_3_10", "fig_3_11"]
    assert names[-3:] == ["fig_3_b3", "fig_3_b4", "fig_extra_pruning"]
    for chapter in range(1, 5):
        for records in (figures(), tables()):
            labels = [record.label for record in records.values() if record.chapter == chapter]
            # Unicode collation also puts every space before the digits.
            assert labels == sorted(labels, key=lambda label: label.replace("\N{FIGURE SPACE}", " "))


def test_a_record_can_use_constants_of_its_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    constants = 'import a_module_that_is_not_there\nOTHERS = ("f1",)\nBOTH: tuple = (*OTHERS, "recall")\n'
    store = 'Store("results/aelle/smnist_final.zarr.zip", BOTH)'
    (record,) = read(
        f'{constants}@figure(stores={{"final": {store}}}, caption="Of {{n_test[final]}} test networks.")\n{FUNCTION}',
        tmp_path,
        monkeypatch,
    )
    assert record.sources == {"final": Store("results/aelle/smnist_final.zarr.zip", ("f1", "recall"))}
    assert (record.chapter, record.number, record.heading) == (9, "9.1", "Chapter 9")
    assert record.text() == "Figure 9.1. Of test networks."
    assert record.text({"n_test": {"final": 75}}) == "Figure 9.1. Of 75 test networks."


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (f'@figure(stores={{"final": {STORE}}}, caption="A.")\ndef fig_mine(final): ...', "expected chapter=1 or more"),
        (f'@figure(stores={{"final": {STORE}}}, caption="A.")\ndef mine(final): ...', "begins with 'fig_'"),
        (
            with_store('Store("results/{study}/b.zarr.zip", ("c",))'),
            "name that begins with 'fig_study_' and no chapter",
        ),
        (
            '@figure(stores={"final": Shards("spectra", "{study}", ("c",))}, caption="A.", chapter=3)\n'
            "def fig_study_mine(final): ...",
            "name that begins with 'fig_study_' and no chapter",
        ),
        (
            '@table(stores={"final": Shards("spectra", "{study}", ("c",))}, caption="A.")\ndef table_mine(final): ...',
            "name that begins with 'table_study_' and no chapter",
        ),
        (f'@figure(stores={{"fnal": {STORE}}}, caption="A.")\n{FUNCTION}', r"takes \['final'\].*\['fnal'\]"),
        (f'@figure(stores={{"final": {STORE}}}, caption="")\n{FUNCTION}', "caption is ''; expected text"),
        (f'@figure(stores={{"final": {STORE}}}, caption="{{n}}")\n{FUNCTION}', r"field \{n\}; expected \{n_test"),
        (f'@figure(stores={{"final": {STORE}}}, caption="{{")\n{FUNCTION}', "write braces twice"),
        (f'@figure(stores={{"final": {STORE}}})\n{FUNCTION}', "missing 1 required keyword-only argument: 'caption'"),
        ('@figure(stores={}, caption="A.")\ndef fig_9_1(): ...', "expected {argument: Store"),
        (with_store('Stor("a", ())'), "name 'Stor' is not defined"),
        (
            '@figure(stores={"final": Store("a.zip", ("b",))}, caption="A.")\n' + FUNCTION,
            "path 'a.zip'; expected results/",
        ),
        (with_store('Shards("train", "b", ("c",))'), "training or spectra"),
        (
            '@figure(stores={"final": Store("results/a/b.zarr.zip", ())}, caption="A.")\n' + FUNCTION,
            "at least one name",
        ),
        ("@figure\n" + FUNCTION, r"expected @figure\(stores=..., caption=...\)"),
        ("def broken(:", "figures.own cannot be read"),
    ],
)
def test_an_unusable_record_is_named(
    source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RecordError, match=message):
        read(source, tmp_path, monkeypatch)


def test_a_name_may_occur_only_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one.py", "two.py"):
        imports = "from lyapunov_pkg.reproduction.records import Store, figure\n"
        (tmp_path / name).write_text(imports + with_store(STORE))
    monkeypatch.setattr(catalogue, "REPRODUCTION", tmp_path)
    monkeypatch.setattr(catalogue, "FOLDERS", {"figure": tmp_path})
    with pytest.raises(RecordError, match=r"fig_9_1 is in .*two and in .*one"):
        catalogue.records_of_kind.__wrapped__("figure")


def test_a_decorated_function_is_checked_when_it_is_imported() -> None:
    with pytest.raises(RecordError, match="expected chapter=1 or more"):

        @table(stores={"final": Store("results/aelle/smnist_final.zarr.zip", ("f1",))}, caption="A.")
        def table_mine(final: xr.Dataset) -> None: ...

    unknown = {"final": Groups("smnist"), "other": Groups("smnist")}
    with pytest.raises(RecordError, match=r"it takes \['final'\], its record has the stores \['final', 'other'\]"):

        @table(stores=unknown, caption="A.", chapter=1)
        def table_own(final: xr.Dataset) -> None: ...

    with pytest.raises(RecordError, match="has no record"):
        record_of(len)


def test_a_variable_missing_from_the_store_is_named_with_the_figure() -> None:
    @figure(stores={"final": Store("results/aelle/smnist_final.zarr.zip", ("recal",))}, caption="A.")
    def fig_9_1(final: xr.Dataset) -> None: ...

    with pytest.raises(RecordError, match=r"fig_9_1 .*'recal' of .*smnist_final.* f1, recall; did you mean recall\?"):
        select_variables(record_of(fig_9_1), {"final": xr.Dataset({"recall": 0.5, "f1": 0.6})})
    with pytest.raises(RecordError, match="fig_9_1 takes final"):
        select_variables(record_of(fig_9_1), {})


def test_captions_count_the_test_networks_of_the_first_seed() -> None:
    parts = xr.Dataset({"partition": (("seed", "network"), [["test", "train", "test"], ["test", "test", "test"]])})
    assert caption_numbers({"final": parts, "examples": xr.Dataset()}) == {"n_test": {"final": 2}}


def test_the_list_has_every_target_with_its_caption() -> None:
    command = [sys.executable, "-m", "lyapunov_pkg.reproduction.targets"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")][:2] == ["fig_1_1", "fig_1_2"]
    said = " ".join(result.stdout.split())
    for name, record in RECORDS.items():
        assert f"{name} {record.text()}" in said


def made(name: str = "fig_3_b4", **arguments: object) -> Record:
    """Return the record of a figure of one argument, with some arguments of `figure` changed."""
    given = {"stores": {"final": Store("results/aelle/a.zarr.zip", ("f1",))}, "caption": "A."} | arguments
    return figure(**given).record("package.module", name, list(given["stores"]))


def test_names_numbers_and_labels_of_a_figure_of_the_dissertation() -> None:
    record = made()
    assert (record.name, record.stem, record.number, record.chapter) == ("fig_3_b4", "3_b4", "3.B4", 3)
    assert (record.place, record.heading) == ("package.module:fig_3_b4", "Chapter 3")
    assert record.label == "Figure 3.B4" and record.text() == "Figure 3.B4. A."
    assert made("fig_3_2").label == "Figure 3.\N{FIGURE SPACE}2" and made("fig_3_12").label == "Figure 3.12"
    assert made("fig_4_d").number == "4.D"


def test_names_numbers_and_labels_of_a_figure_beyond_the_dissertation() -> None:
    record = made("fig_extra_two_words", chapter=2)
    assert (record.name, record.stem, record.number, record.chapter) == (
        "fig_extra_two_words",
        "extra_two_words",
        None,
        2,
    )
    assert record.label == "Figure extra: two words" and record.text() == "Beyond the dissertation. A."
    assert made("fig_5_1", chapter=2).chapter == 2  # A stated chapter comes before that of the name.


def test_names_and_stores_of_a_figure_of_every_study() -> None:
    sources = {
        "final": Store("results/aelle/{study}_final.zarr.zip", ("f1",)),
        "training": Shards("training", "{study}", ("loss",)),
        "groups": Groups("{study}"),
    }
    record = made("fig_study_aelle_plane", stores=sources).of_study("mine")
    assert (record.name, record.stem, record.number, record.chapter) == (
        "study_mine/aelle_plane",
        "aelle_plane",
        None,
        None,
    )
    assert (record.heading, record.label, record.text()) == ("Study mine", "Figure: aelle plane", "Study mine. A.")
    assert record.sources == {
        "final": Store("results/aelle/mine_final.zarr.zip", ("f1",)),
        "training": Shards("training", "mine", ("loss",)),
        "groups": Groups("mine"),
    }
    assert record.place == "package.module:fig_study_aelle_plane"


def test_a_store_of_every_study_beside_one_of_a_study_needs_the_name_of_every_study() -> None:
    mixed = {"final": Store("results/aelle/{study}.zarr.zip", ("f1",)), "groups": Groups("smnist")}
    with pytest.raises(RecordError, match="its stores are those of every study"):
        made("fig_3_1", stores=mixed)
    assert made("fig_study_own", stores=mixed).of_study("mine").sources["groups"] == Groups("smnist")


def test_figures_are_sorted_by_chapter_then_number_then_extra_ones_and_those_of_studies_last() -> None:
    study = {"final": Store("results/aelle/{study}.zarr.zip", ("f1",))}
    expected = [
        made("fig_2_10"),
        made("fig_2_b1"),
        made("fig_extra_a", chapter=2),
        made("fig_3_2"),
        made("fig_3_10"),
        made("fig_study_z", stores=study).of_study("a"),
        made("fig_study_a", stores=study).of_study("b"),
    ]
    assert sorted(expected[::-1], key=lambda record: record.order) == expected


@pytest.mark.parametrize("chapter", [0, -1, True, "2", 1.0])
def test_a_chapter_is_a_positive_integer(chapter: object) -> None:
    with pytest.raises(RecordError, match=f"chapter is {chapter!r}; expected chapter=1 or more"):
        made("fig_extra", chapter=chapter)
    assert made("fig_extra", chapter=1).chapter == 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"caption": " \n"}, r"caption is ' \\n'; expected text"),
        ({"caption": 3}, "caption is 3; expected text"),
        ({"caption": "{n_test[other]}"}, r"the field {n_test\[other\]}"),
        ({"caption": "{n_train[final]}"}, r"the field {n_train\[final\]}"),
        ({"caption": "{}"}, "the field {}"),
        ({"stores": {"final": "results/aelle/a.zarr.zip"}}, "'results/aelle/a.zarr.zip'; expected a Store, Shards or"),
        ({"stores": {"final": Store("results/a/b.zarr.zip", ["f1"])}}, r"variables \['f1'\]; expected a tuple"),
        ({"stores": {"final": Shards("spectra", "b", ())}}, r"variables \(\); expected a tuple"),
        ({"stores": {"final": Store("results/b.zarr", ("f1",))}}, "path 'results/b.zarr'"),
        ({"stores": {"final": Store("other/results/a/b.zarr.zip", ("f1",))}}, "path 'other/results"),
    ],
)
def test_an_invalid_part_of_a_record_is_named(changed: dict[str, object], message: str) -> None:
    with pytest.raises(RecordError, match=message):
        made(**changed)


def test_braces_written_twice_and_groups_are_valid() -> None:
    assert (
        made(caption="A {{b}} of {n_test[final]} networks.")
        .text({"n_test": {"final": 3}})
        .endswith("A {b} of 3 networks.")
    )
    assert made(stores={"final": Groups("smnist")}).sources == {"final": Groups("smnist")}


def test_a_function_of_any_arguments_needs_those_that_it_names() -> None:
    declaration = figure(stores={"other": Store("results/aelle/a.zarr.zip", ("f1",))}, caption="A.")
    assert declaration.record("m", "fig_3_1", [], takes_any=True).sources.keys() == {"other"}
    for parameters, takes_any in ((["final"], True), ([], False), (["final", "other"], False)):
        with pytest.raises(RecordError, match=r"its record has the stores \['other'\]"):
            declaration.record("m", "fig_3_1", parameters, takes_any)


def test_suggestions_name_the_closest_known_name_or_nothing() -> None:
    assert did_you_mean("recal", ["f1", "recall", "call"]) == "; did you mean recall?"
    assert did_you_mean("recal", ["f1"]) == ""


def test_figures_are_drawn_in_the_style_of_the_paper_and_tables_are_not() -> None:
    stores = {"final": Store("results/aelle/a.zarr.zip", ("f1",))}

    def size(final: float) -> tuple[float, object]:
        return final, rcParams["font.size"]

    drawn, computed = (kind(stores=stores, caption="A.", chapter=1) for kind in (figure, table))
    size.__name__ = "fig_own"
    assert drawn(size)(2.0) == (2.0, 8)
    size.__name__ = "table_own"
    assert computed(size)(2.0) == (2.0, rcParamsDefault["font.size"])


def test_a_record_of_another_kind_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = with_store(STORE).replace("@figure", "@table").replace("fig_9_1", "table_9_1")
    read(source, tmp_path, monkeypatch)
    monkeypatch.setattr(catalogue, "FOLDERS", {"figure": tmp_path / "figures", "table": tmp_path / "tables"})
    with pytest.raises(RecordError, match=r"table_9_1 in .*figures.own is a table; expected a figure there"):
        catalogue.records_of_kind.__wrapped__("figure")
    assert catalogue.records_of_kind.__wrapped__("table") == {}


def test_the_module_of_a_package_is_named_without_init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "REPRODUCTION", tmp_path)
    (tmp_path / "figures").mkdir()
    path = tmp_path / "figures" / "__init__.py"
    path.write_text("from lyapunov_pkg.reproduction.records import Store, figure\n" + with_store(STORE))
    (record,) = read_records(path)
    assert record.place == "lyapunov_pkg.reproduction.figures:fig_9_1"


def test_parameters_of_every_kind_are_compared_with_the_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for parameters in ("final, /", "final", "*, final", "**others"):
        (record,) = read(with_store(STORE).replace("(final)", f"({parameters})"), tmp_path, monkeypatch)
        assert list(record.sources) == ["final"]
    assert read("@other\ndef fig_9_1(final): ...\ndef helper(): ...\n", tmp_path, monkeypatch) == []


def test_only_the_first_test_sample_of_a_task_is_selected() -> None:
    @figure(stores={"text": Store("results/datasets/a.zarr.zip", ("test_input",))}, caption="A.")
    def fig_9_1(text: xr.Dataset) -> None: ...

    store = xr.Dataset({"test_input": (("test_sample", "time"), [[1, 2], [3, 4]]), "other": 1})
    (selected,) = select_variables(record_of(fig_9_1), {"text": store}).values()
    assert list(selected) == ["test_input"] and selected["test_input"].values.tolist() == [[1, 2]]
