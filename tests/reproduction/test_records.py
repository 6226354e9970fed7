"""Records of figures and tables, and how they are read from the source code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr

from lyapunov_pkg.reproduction import catalogue
from lyapunov_pkg.reproduction.catalogue import figures, load, read_records, tables
from lyapunov_pkg.reproduction.records import RecordError, Store, figure, record_of, table
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
