"""Zarr stores: their format and labels, and how they are opened and saved.

A store is a Zarr hierarchy in one sealed zip file (`workflow.files`), `*.zarr.zip`, read and written with xarray. A
single file can be replaced in one step and shared by a cache, and its checksum detects any damage. The same content
gives the same bytes. A store appears complete or not at all. Every variable has a unit and a long name. A store
contains no code.
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from zarr.storage import MemoryStore, ZipStore

from lyapunov_pkg.version import package_version
from lyapunov_pkg.workflow.files import damage, seal, whole_file
from lyapunov_pkg.workflow.provenance import library_versions


def save_store(dataset: xr.Dataset, path: str | Path, configuration: dict[str, Any]) -> None:
    """Write `dataset` as a Zarr store at `path`, completely or not at all.

    The configuration and the versions of the software are added as attributes.

    Raises:
        ValueError: a variable has no `units` or no `long_name`.
        OSError: the store could not be written. The message names it, and nothing is left at `path`.
    """
    unlabelled = [
        name for name, variable in dataset.variables.items() if not {"units", "long_name"} <= set(variable.attrs)
    ]
    if unlabelled:
        raise ValueError(f"variables without units and long_name: {unlabelled}; every stored variable needs both")
    path = Path(path)
    versions = {"python": sys.version.split()[0], "lyapunov-pkg": package_version()} | library_versions()
    dataset = dataset.assign_attrs(
        configuration=json.dumps(configuration, sort_keys=True), software=json.dumps(versions, sort_keys=True)
    )
    # Format 2 is used, because its specification includes fixed-length strings.
    contents: dict[str, Any] = {}
    dataset.drop_encoding().to_zarr(MemoryStore(contents), mode="w", zarr_format=2, consolidated=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            with zipfile.ZipFile(partial, "w") as archive:
                for key in sorted(contents):
                    member = zipfile.ZipInfo(key)  # without the time of writing
                    member.external_attr = 0o644 << 16
                    archive.writestr(member, contents[key].to_bytes())
            seal(partial)
    except OSError as error:
        raise OSError(f"cannot write the store {path}: {error}") from error


def open_store(path: str | Path) -> xr.Dataset:
    """Return the Zarr store at `path`, opened lazily after a check of the whole file, with variables sorted by name.

    Raises:
        FileNotFoundError: there is no store at `path`.
        ValueError: `path` is not a complete store.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no store at {path}: expected a zip file made by the workflow")
    problem = damage(path)
    if problem:
        raise ValueError(f"{path} is damaged ({problem}); delete it and run again")
    try:
        dataset = xr.open_zarr(ZipStore(path, mode="r"), consolidated=False, chunks=None)
    except Exception as error:
        raise ValueError(f"{path} is not a Zarr store ({type(error).__name__}: {error})") from error
    if "configuration" not in dataset.attrs:
        raise ValueError(
            f"{path} has no attribute `configuration`: expected a store made by lyapunov_pkg.workflow.store.save_store"
        )
    # Zarr lists the members of a group in an order that changes from process to process.
    return xr.Dataset(
        {name: dataset[name].variable for name in sorted(dataset.data_vars)},
        {name: dataset[name].variable for name in sorted(dataset.coords)},
        dataset.attrs,
    )


def open_shards(paths: str | Path | Sequence[str | Path]) -> xr.Dataset:
    """Return one store, or several stores with variants of one stage, joined along `variant`.

    Shorter spectra are filled with NaN at their end. Hyperparameters that only some variants have are filled with NaN,
    or with "" if they are text. The function raises the errors of `open_store`.
    """
    if isinstance(paths, str | Path):
        return open_store(paths)
    stores = with_all_coordinates([open_store(path) for path in paths])
    return xr.concat(stores, "variant", data_vars="minimal", coords="minimal", compat="override", join="outer")


def open_variables(paths: str | Path | Sequence[str | Path], variables: Sequence[str]) -> xr.Dataset:
    """Return the same as `open_shards`, but with only the given variables if several stores are joined.

    Other variables are not read. The parameters of networks are large and have different shapes in different groups.
    """
    if isinstance(paths, str | Path):
        return open_store(paths)
    stores = [open_store(path) for path in paths]
    parts = [store[[name for name in variables if name in store.variables]] for store in stores]
    joined = with_all_coordinates(parts)
    return xr.concat(joined, "variant", data_vars="minimal", coords="minimal", compat="override", join="outer")


def with_all_coordinates(stores: Sequence[xr.Dataset]) -> list[xr.Dataset]:
    """Return the stores with the same coordinates along `variant`. Missing ones are filled with empty values."""
    known = {name: values for store in stores for name, values in store.coords.items() if values.dims == ("variant",)}
    filled = []
    for store in stores:
        missing = {
            name: ("variant", np.full(store.sizes["variant"], "" if values.dtype.kind == "U" else np.nan), values.attrs)
            for name, values in known.items()
            if name not in store.coords
        }
        filled.append(store.assign_coords(missing))
    return filled
