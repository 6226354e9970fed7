"""Units and long names of the variables in results and stores.

Labels of quantities that several results contain are defined here. The label of a quantity of only one result is next
to the function that computes it. Each label is a separate definition, so that a new one does not change the code of
other stages. A name has one unit throughout the package, with two exceptions: losses have the unit of their task
(`in_unit`), and the `time` of a flow is in time units.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import xarray as xr


class Label(NamedTuple):
    """Unit and long name of a variable. The unit of a dimensionless variable is "1"."""

    units: str
    long_name: str

    def of(self, which: str) -> Label:
        """Return the label of a special case, which is added to the long name after a comma.

        >>> Label("nat/step", "Lyapunov exponent").of("mean over sequences")
        Label(units='nat/step', long_name='Lyapunov exponent, mean over sequences')
        """
        return Label(self.units, f"{self.long_name}, {which}")


LYAPUNOV_EXPONENT = Label("nat/step", "Lyapunov exponent")
LYAPUNOV_EXPONENT_STD = Label("nat/step", "standard deviation of the Lyapunov exponent")
RUNNING_EXPONENT = Label("nat/step", "Lyapunov exponent as estimated up to this time")
EXPONENT = Label("1", "index of the exponent, the largest first")
TIME = Label("step", "steps of the sequence taken")
EPOCH = Label("epoch", "passes over the training samples; 0 is before training")
VARIANT = Label("1", "index of the variant within its group")


def in_unit(units: str, long_names: Mapping[str, str]) -> dict[str, Label]:
    """Return labels {name: label} of quantities with the same unit, from {name: long name}.

    >>> in_unit("nat", {"predicted_loss": "predicted validation loss"})
    {'predicted_loss': Label(units='nat', long_name='predicted validation loss')}
    """
    return {name: Label(units, long_name) for name, long_name in long_names.items()}


def describe(dataset: xr.Dataset, descriptions: Mapping[str, tuple[str, str]]) -> xr.Dataset:
    """Set `units` and `long_name` on variables and coordinates, and return the Dataset.

    >>> spectrum = xr.Dataset({"lyapunov_exponent": ("exponent", [0.1, -0.3])})
    >>> describe(spectrum, {"lyapunov_exponent": LYAPUNOV_EXPONENT})["lyapunov_exponent"].attrs
    {'units': 'nat/step', 'long_name': 'Lyapunov exponent'}

    Args:
        dataset: changed in place.
        descriptions: {name: (units, long_name)}.

    Raises:
        KeyError: the Dataset has no variable of that name.
    """
    for name, (units, long_name) in descriptions.items():
        dataset.variables[name].attrs.update(units=units, long_name=long_name)
    return dataset
