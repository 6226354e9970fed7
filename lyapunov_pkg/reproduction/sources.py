"""Data of figures and tables: the variables that their records name, read from the stores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import xarray as xr

from lyapunov_pkg.reproduction.records import Groups, Record, RecordError, did_you_mean


def select_variables(record: Record, stores: Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """Return {argument: variables that a record names}. Of a task's test samples, only the first ones are returned.

    Args:
        record: record of a figure or table.
        stores: {argument: opened store}, as `workflow.store.open_shards` returns it.

    Raises:
        RecordError: a store or one of its variables is missing. The message names the figure or table.
    """
    selected = {}
    for argument, source in record.sources.items():
        if isinstance(source, Groups):
            continue
        if argument not in stores:
            raise RecordError(f"{record.name} takes {argument}; the stores given are {sorted(stores)}")
        store = stores[argument]
        for name in source.variables:
            if name not in store.variables:
                known = sorted(map(str, store.variables))
                raise RecordError(
                    f"{record.name} in {record.module} is drawn from the variable {name!r} of {source}, which has "
                    f"{', '.join(known)}{did_you_mean(name, known)}"
                )
        variables = store[list(source.variables)]
        selected[argument] = variables.isel(test_sample=slice(0, 1), missing_dims="ignore").load()
    return selected


def joined(data: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Return the data of a figure as one Dataset. Names that several stores use get the store's name as prefix."""
    names = Counter(name for dataset in data.values() for name in {*dataset.variables, *dataset.dims})
    told_apart = [
        dataset.rename({name: f"{store}_{name}" for name in {*dataset.variables, *dataset.dims} if names[name] > 1})
        for store, dataset in data.items()
    ]
    return xr.merge(told_apart, combine_attrs="drop_conflicts")


def caption_numbers(data: Mapping[str, xr.Dataset]) -> dict[str, dict[str, int]]:
    """Return the numbers for captions: for each split Dataset, the number of test networks of its first seed."""
    split = {argument: dataset["partition"] for argument, dataset in data.items() if "partition" in dataset}
    return {"n_test": {name: int(np.sum(parts.isel(seed=0).values == "test")) for name, parts in split.items()}}
