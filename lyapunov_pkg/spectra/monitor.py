"""Spectra of a module while it is trained."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from lyapunov_pkg.labels import EPOCH, Label, describe
from lyapunov_pkg.plots import over_training
from lyapunov_pkg.spectra.exponents import lyapunov_spectrum
from lyapunov_pkg.systems.checks import random_numbers_kept
from lyapunov_pkg.systems.evaluation import reference_weight, refuse_bad_weights
from lyapunov_pkg.systems.numbers import Values, whole_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DESCRIPTIONS = {
    "update": Label("update", "updates of the weights since the monitor was created"),
    "loss": Label("1", "loss of the update, as given to the monitor"),
    "diverged": Label("1", "whether weights, inputs or a trajectory were not finite"),
}
NOT_FOR_MONITORS = ("differentiable", "resume")


_Record = tuple[int, NDArray[Any], float, float]
"""Number of updates so far, exponents (sequence, exponent), loss and epoch."""


class Writer(Protocol):
    """The methods of `torch.utils.tensorboard.SummaryWriter` that a monitor uses."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> Any:
        """Write a number."""

    def add_histogram(self, tag: str, values: NDArray[Any], global_step: int) -> Any:
        """Write a distribution."""


class SpectrumMonitor:
    """Computes the Lyapunov spectrum of a module before training, and then regularly during training.

    Call the monitor once after each update of the weights, in any training loop. The training results are bit for bit
    the same as without a monitor: weights, gradients, mode, buffers and random numbers are not changed.

    Args:
        module: the recurrent module that is trained: any module that `lyapunov_spectrum` accepts.
        inputs: as in `lyapunov_spectrum`. Give the same inputs for all updates, so that only the weights change the
            spectrum. If earlier layers compute the inputs and are also trained, give a function without arguments that
            returns the inputs, such as `lambda: submodule_inputs(model, "lstm", tokens)`. None: the module is
            autonomous, and `options` must contain `n_steps`.
        every: number of updates from one spectrum to the next.
        writer: a `torch.utils.tensorboard.SummaryWriter`. The monitor writes the largest exponent, the mean and the
            distribution of the exponents to it, under `lyapunov/`, as means over sequences.
        options: further arguments of `lyapunov_spectrum`, such as `n_exponents` and `warmup`. A monitor is cheap with
            few sequences, a few hundred steps, and only the leading exponents.

    Raises:
        TypeError: `module` is not a torch.nn.Module, or an option is not allowed for a monitor.
        ValueError: `every` is below 1, or `lyapunov_spectrum` refuses an argument. The first spectrum is computed
            immediately, so that wrong arguments are found before training.

    Example:
        >>> import torch
        >>> from lyapunov_pkg import SpectrumMonitor
        >>> _ = torch.manual_seed(0)
        >>> inputs, target = torch.randn(8, 50, 3), torch.randn(8, 50, 16)
        >>> gru = torch.nn.GRU(3, 16, batch_first=True)
        >>> optimizer = torch.optim.Adam(gru.parameters())
        >>> monitor = SpectrumMonitor(gru, inputs[:2], every=10, n_exponents=4)
        >>> for update in range(20):
        ...     loss = (gru(inputs)[0] - target).square().mean()
        ...     optimizer.zero_grad()
        ...     loss.backward()
        ...     _ = optimizer.step()
        ...     monitor(loss)
        >>> dict(monitor.dataset()["lyapunov_exponent"].sizes)
        {'update': 3, 'sequence': 2, 'exponent': 4}
        >>> monitor.dataset()["update"].values
        array([ 0, 10, 20])
    """

    def __init__(
        self,
        module: torch.nn.Module,
        inputs: Values | Callable[[], Values] | None = None,
        *,
        every: int,
        writer: Writer | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(module, torch.nn.Module):
            raise TypeError(f"module: got {type(module).__name__}, expected a torch.nn.Module")
        every = whole_number("every", every, "a number of updates from 1 on", 1, sys.maxsize)
        refused = [name for name in NOT_FOR_MONITORS if name in options]
        if refused:
            raise TypeError(f"{refused[0]}: a monitor does not accept this option")
        self.module, self.every, self.writer = module, every, writer
        self._inputs, self._options = inputs, {"progress": False} | options
        self._n_updates = 0
        first = lyapunov_spectrum(module, self._current_inputs(), **self._options)
        self._first = first["lyapunov_exponent"]
        self._attributes = first.attrs
        self._records: list[_Record] = []
        self._record(self._first.values, np.nan, np.nan)

    def __call__(self, loss: float | Tensor | None = None, *, epoch: float | None = None) -> None:
        """Count an update of the weights, and compute a spectrum if it is due.

        Args:
            loss: loss of this update, which is stored with the spectrum. A tensor is read only if a spectrum is due.
            epoch: number of passes over the training samples so far, which becomes a coordinate.

        Raises:
            ValueError: `lyapunov_spectrum` refuses the module in its present form, for a reason other than weights that
                are not finite.
        """
        self._n_updates += 1
        if self._n_updates % self.every == 0:
            loss = loss.item() if isinstance(loss, Tensor) else loss
            self._record(self._spectrum(), *(np.nan if number is None else float(number) for number in (loss, epoch)))

    def dataset(self) -> xr.Dataset:
        """Return the spectra so far.

        Returns:
            Dataset with these variables.

            * `lyapunov_exponent(update, sequence, exponent)`: nats per step.
            * `loss(update)`: the first loss is NaN, because no update precedes it.
            * `diverged(update)`: whether weights, inputs or a trajectory were not finite. The exponents are then NaN.

            `update` counts from the creation of the monitor. `epoch(update)` is a coordinate if an epoch was ever
            given. It is NaN where none was given, as for the first spectrum.
        """
        updates, exponents, losses, epochs = zip(*self._records, strict=True)
        spectra = np.stack(exponents)
        diverged = np.isnan(spectra).reshape(len(spectra), -1).any(axis=1)
        variables = {
            "lyapunov_exponent": (("update", *self._first.dims), spectra, self._first.attrs),
            "loss": ("update", np.array(losses)),
            "diverged": ("update", diverged),
        }
        coordinates = {"update": np.array(updates), "exponent": self._first["exponent"].variable}
        attributes = {name: self._attributes[name] for name in ("jacobian", "lyapunov_pkg_version")}
        result = xr.Dataset(variables, coordinates, attributes | {"every": self.every})
        result = describe(result, DESCRIPTIONS)
        if np.isnan(epochs).all():
            return result
        return describe(result.assign_coords(epoch=("update", np.array(epochs))), {"epoch": EPOCH})

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the exponents (means over sequences) against the update; see `lyapunov_pkg.plots.over_training`."""
        return over_training(self.dataset(), ax)

    def _current_inputs(self) -> Values | None:
        if not callable(self._inputs):
            return self._inputs
        weight = reference_weight(self.module)
        with torch.no_grad(), random_numbers_kept(torch.device("cpu") if weight is None else weight.device):
            return self._inputs()

    def _spectrum(self) -> NDArray[Any]:
        """Return the present exponents; NaN if weights or inputs are not finite."""
        not_finite = np.full_like(self._first.values, np.nan)
        try:
            refuse_bad_weights(self.module)
        except ValueError:
            return not_finite
        inputs = self._current_inputs()
        if callable(self._inputs):  # fixed inputs were checked with the first spectrum
            numbers = inputs if isinstance(inputs, Tensor) else torch.as_tensor(np.asarray(inputs))
            if not bool(torch.isfinite(numbers).all()):
                return not_finite
        return lyapunov_spectrum(self.module, inputs, **self._options)["lyapunov_exponent"].values

    def _record(self, exponents: NDArray[Any], loss: float, epoch: float) -> None:
        self._records.append((self._n_updates, exponents, loss, epoch))
        if self.writer is not None:
            self._write(exponents.reshape(-1, exponents.shape[-1]).mean(axis=0))

    def _write(self, spectrum: NDArray[Any]) -> None:
        writer, update = self.writer, self._n_updates
        assert writer is not None
        writer.add_scalar("lyapunov/maximum_exponent", float(spectrum[0]), update)
        writer.add_scalar("lyapunov/mean_exponent", float(spectrum.mean()), update)
        finite = spectrum[np.isfinite(spectrum)]
        if len(finite):  # TensorBoard cannot draw an empty histogram
            writer.add_histogram("lyapunov/exponents", finite, update)
