"""Labels of the variables that results and stores hold: units and long names."""

from __future__ import annotations

from collections.abc import Mapping

import xarray as xr


def describe(dataset: xr.Dataset, descriptions: Mapping[str, tuple[str, str]]) -> xr.Dataset:
    """Set `units` and `long_name` on variables and coordinates, and return the Dataset.

    Args:
        dataset: changed in place.
        descriptions: {name: (units, long_name)}.

    Raises:
        KeyError: the Dataset has no variable of that name.
    """
    for name, (units, long_name) in descriptions.items():
        dataset[name].attrs.update(units=units, long_name=long_name)
    return dataset
