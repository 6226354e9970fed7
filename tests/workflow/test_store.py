from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from lyapunov_pkg.labels import describe
from lyapunov_pkg.workflow.files import remove_partial_files
from lyapunov_pkg.workflow.store import open_shards, open_store, save_store


def labelled(values: np.ndarray, first_variant: int = 0) -> xr.Dataset:
    coords = {"variant": first_variant + np.arange(len(values)), "exponent": np.arange(values.shape[1])}
    dataset = xr.Dataset({"lyapunov_exponent": (("variant", "exponent"), values)}, coords)
    names = {"variant": ("1", "variant"), "exponent": ("1", "exponent"), "lyapunov_exponent": ("nat/step", "exponent")}
    return describe(dataset, names)


def test_a_round_trip_keeps_values_and_records_the_origin(tmp_path: Path) -> None:
    values = np.array([[0.5, -np.inf], [np.nan, -1.0]])
    save_store(labelled(values), tmp_path / "new" / "deep" / "spectra.zarr.zip", {"epochs": 3})
    stored = open_store(tmp_path / "new" / "deep" / "spectra.zarr.zip")
    np.testing.assert_array_equal(stored["lyapunov_exponent"], values)
    assert stored["lyapunov_exponent"].attrs["units"] == "nat/step"
    assert json.loads(stored.attrs["configuration"]) == {"epochs": 3}
    assert "torch" in json.loads(stored.attrs["software"])


def test_saving_again_replaces_the_store_and_leaves_no_other_files(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        save_store(labelled(np.full((1, 1), value)), tmp_path / "a.zarr.zip", {})
    assert open_store(tmp_path / "a.zarr.zip")["lyapunov_exponent"].item() == 2.0
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr.zip"]


def test_variable_without_units_is_refused(tmp_path: Path) -> None:
    dataset = labelled(np.ones((1, 1))).assign(loss=("variant", [1.0]))
    with pytest.raises(ValueError, match="loss"):
        save_store(dataset, tmp_path / "a.zarr.zip", {})
    assert not list(tmp_path.iterdir())


def test_an_unwritable_path_gives_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OSError, match=r"cannot write the store .*file/a\.zarr\.zip"):
        save_store(labelled(np.ones((1, 1))), tmp_path / "file" / "a.zarr.zip", {})


def test_missing_and_damaged_stores_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.zarr\.zip"):
        open_store(tmp_path / "none.zarr.zip")
    save_store(labelled(np.ones((1, 1))), tmp_path / "a.zarr.zip", {})
    whole = (tmp_path / "a.zarr.zip").read_bytes()
    for damaged in (whole[: len(whole) // 2], whole.replace(b"nat/step", b"bit/step"), b""):
        (tmp_path / "a.zarr.zip").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"a\.zarr\.zip is damaged .*; delete it and run again"):
            open_store(tmp_path / "a.zarr.zip")


def test_equal_contents_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_store(labelled(np.ones((3, 2))), tmp_path / f"{name}.zarr.zip", {"epochs": 3})
    assert (tmp_path / "a.zarr.zip").read_bytes() == (tmp_path / "b.zarr.zip").read_bytes()


def test_the_order_of_variables_and_coordinates_changes_no_byte(tmp_path: Path) -> None:
    names = {"b": ("1", "b"), "a": ("1", "a"), "x": ("1", "x"), "y": ("1", "y")}
    for name, order in {"one": (1, 1), "other": (-1, -1)}.items():
        variables = [("a", ("variant", [1.0, 2.0])), ("b", ("variant", [3.0, 4.0]))][:: order[0]]
        coordinates = [("x", ("variant", [1, 2])), ("y", ("variant", ["p", "q"]))][:: order[1]]
        dataset = describe(xr.Dataset(dict(variables), dict(coordinates)), names)
        save_store(dataset, tmp_path / f"{name}.zarr.zip", dict([("seed", 1), ("epochs", 2)][:: order[0]]))
    assert (tmp_path / "one.zarr.zip").read_bytes() == (tmp_path / "other.zarr.zip").read_bytes()


def test_remains_of_a_killed_save_are_removed(tmp_path: Path) -> None:
    save_store(labelled(np.ones((1, 1))), tmp_path / "deep" / "a.zarr.zip", {})
    (tmp_path / "deep" / ".a.zarr.zip.0123.partial").write_bytes(b"half")
    remove_partial_files(tmp_path)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.zarr.zip"]


def test_shards_are_joined_along_variant_and_shorter_spectra_are_padded(tmp_path: Path) -> None:
    save_store(labelled(np.ones((2, 3))), tmp_path / "0.zarr.zip", {})
    save_store(labelled(np.zeros((1, 2)), first_variant=2), tmp_path / "1.zarr.zip", {})
    joined = open_shards([tmp_path / "0.zarr.zip", tmp_path / "1.zarr.zip"])
    assert joined["variant"].values.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(joined["lyapunov_exponent"][2], [0, 0, np.nan])


def test_hyperparameters_that_only_some_variants_have_are_empty_for_the_others(tmp_path: Path) -> None:
    for name, hyperparameters in {"plain": {}, "stepped": {"eps": 0.1, "nonlinearity": "relu"}}.items():
        coordinates = {
            key: ("variant", [value] * 2, {"units": "1", "long_name": key}) for key, value in hyperparameters.items()
        }
        save_store(labelled(np.ones((2, 3))).assign_coords(coordinates), tmp_path / f"{name}.zarr.zip", {})
    joined = open_shards([tmp_path / "plain.zarr.zip", tmp_path / "stepped.zarr.zip"])
    np.testing.assert_array_equal(joined["eps"], [np.nan, np.nan, 0.1, 0.1])
    assert joined["nonlinearity"].values.tolist() == ["", "", "relu", "relu"]
    assert joined["eps"].attrs == {"units": "1", "long_name": "eps"}


def test_a_coordinate_without_the_variant_dimension_is_unchanged(tmp_path: Path) -> None:
    for number in range(2):
        dataset = labelled(np.ones((2, 3)), first_variant=2 * number)
        if number == 0:
            weight = ("exponent", [0.5, 0.25, 0.125], {"units": "1", "long_name": "weight"})
            dataset = dataset.assign_coords(weight=weight, scale=((), 7.0, {"units": "1", "long_name": "scale"}))
        save_store(dataset, tmp_path / f"{number}.zarr.zip", {})
    joined = open_shards([tmp_path / "0.zarr.zip", tmp_path / "1.zarr.zip"])
    assert joined["weight"].dims == ("exponent",) and joined["weight"].values.tolist() == [0.5, 0.25, 0.125]
    assert joined["scale"].dims == () and joined["scale"].item() == 7.0
