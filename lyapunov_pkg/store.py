"""The Zarr schema in one place: what is stored, how it is labelled, and how a store is opened and saved.

A store is a Zarr directory read and written with xarray. It appears whole or not at all, every variable says its unit
and its meaning, and nothing in it is code.
"""

from __future__ import annotations

import json
import shutil
import sys
import uuid
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import xarray as xr

from lyapunov_pkg.provenance import library_versions


def describe(dataset: xr.Dataset, descriptions: dict[str, tuple[str, str]]) -> xr.Dataset:
    """Set `units` and `long_name` on variables and coordinates: {name: (units, long_name)}."""
    for name, (units, long_name) in descriptions.items():
        dataset[name].attrs.update(units=units, long_name=long_name)
    return dataset


def save_store(dataset: xr.Dataset, path: str | Path, configuration: dict[str, Any]) -> None:
    """Write `dataset` as a Zarr store at `path`, whole or not at all.

    The configuration that made it and the versions of the software are added as attributes.

    Raises:
        ValueError: a variable has no `units` or no `long_name`.
        OSError: the store could not be written (the message names it); nothing is left at `path`.
    """
    unlabelled = [
        name for name, variable in dataset.variables.items() if not {"units", "long_name"} <= set(variable.attrs)
    ]
    if unlabelled:
        raise ValueError(f"variables without units and long_name: {unlabelled}; every stored variable needs both")
    path = Path(path)
    versions = {"python": sys.version.split()[0], "lyapunov-pkg": version("lyapunov-pkg")} | library_versions()
    dataset = dataset.assign_attrs(
        configuration=json.dumps(configuration, sort_keys=True), software=json.dumps(versions, sort_keys=True)
    )
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Format 2 is the one whose specification has fixed-length strings.
        dataset.drop_encoding().to_zarr(partial, mode="w", zarr_format=2, consolidated=False)
        if path.exists():
            shutil.rmtree(path)
        partial.rename(path)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise OSError(f"cannot write the store {path}: {error}") from error


def open_store(path: str | Path) -> xr.Dataset:
    """Open the Zarr store at `path`, lazily.

    Raises:
        FileNotFoundError: there is no store at `path`.
        ValueError: what is there is not a whole store.
    """
    path = Path(path)
    if not path.is_dir():
        raise FileNotFoundError(f"no store at {path}: expected a Zarr directory made by the workflow")
    try:
        with warnings.catch_warnings():
            # Snakemake leaves its own timestamp file in the directories that it makes.
            warnings.filterwarnings("ignore", message="Object at .snakemake_timestamp")
            dataset = xr.open_zarr(path, consolidated=False, chunks=None)
    except Exception as error:
        raise ValueError(
            f"{path} is not a readable Zarr store ({type(error).__name__}: {error}); delete it and make it again"
        ) from error
    if "configuration" not in dataset.attrs:
        raise ValueError(
            f"{path} has no attribute `configuration`: expected a store made by lyapunov_pkg.store.save_store"
        )
    return dataset


def open_shards(paths: str | Path | Sequence[str | Path]) -> xr.Dataset:
    """Open one store, or several that hold variants of one stage, joined along `variant`.

    Spectra of different lengths are filled with NaN behind the shorter ones. Raises as `open_store` does.
    """
    if isinstance(paths, str | Path):
        return open_store(paths)
    stores = [open_store(path) for path in paths]
    return xr.concat(stores, "variant", data_vars="minimal", coords="minimal", compat="override", join="outer")
