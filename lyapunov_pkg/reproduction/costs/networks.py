"""Operation counts of training and of spectra, from the sizes of networks and of their data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lyapunov_pkg.cells import make_cell
from lyapunov_pkg.reproduction.costs.constants import (
    BASE_MEMORY,
    EVALUATED_STEPS,
    FLOAT,
    RECOMPUTED,
    SPECTRUM,
    STACKED,
    TANGENT_FLOP,
    TANGENT_STEP,
    TRAINED_ELEMENT,
    TRAINED_FLOP,
    UPDATE,
)
from lyapunov_pkg.reproduction.costs.data import Data
from lyapunov_pkg.reproduction.training.design import COMMON, Group


@dataclass(frozen=True)
class Networks:
    """Operation counts of the networks of a group on the data of their task."""

    study: Mapping[str, Any]
    group: Group
    data: Data

    @cached_property
    def _value(self) -> dict[str, Any]:
        settings = dict(self.group.settings)
        cell = {name: value for name, value in settings.items() if name not in COMMON and name != "architecture"}
        made = make_cell(settings["architecture"], self.data.n_features, settings["hidden_size"], **cell)
        return {"cell": made, "layers": settings.get("n_layers", 1)}

    @property
    def hidden_size(self) -> int:
        """Return the number of units of all layers."""
        return int(self.group.settings["hidden_size"]) * int(self._value["layers"])

    @property
    def n_parameters(self) -> int:
        """Return the number of parameters of one network, including the readout."""
        shapes = self._value["cell"].parameter_shapes()
        first = sum(rows * columns for rows, columns in shapes.values())
        rows, columns = shapes["recurrent_weight"]
        further = rows * (columns + self._value["cell"].hidden_size) * (self._value["layers"] - 1)
        return int(first + further + self.data.n_outputs * self._value["cell"].hidden_size)

    @property
    def n_rows(self) -> int:
        """Return the number of pre-activations of a step."""
        return int(self._value["cell"].parameter_shapes()["recurrent_weight"][0] * self._value["layers"])

    @property
    def scored(self) -> int:
        """Return the number of outputs in the loss, per step."""
        return self.data.n_outputs if self.study["training"].get("loss_on") == "all" else 0

    def training_seconds(self, n_networks: int, epochs: float) -> float:
        """Return the seconds to train some of the networks."""
        training, data = self.study["training"], self.data
        share = training.get("subsample") or 1.0
        n_validation = data.n_validation * (2 if training.get("validate_on") == "held_out" else 1)
        elements = TRAINED_ELEMENT * (self.n_rows + self.scored)
        step = 6 * self.n_parameters * TRAINED_FLOP + elements
        evaluated = 2 * self.n_parameters * TRAINED_FLOP + elements
        steps = share * data.n_steps * (data.n_train * step + n_validation * evaluated)
        updates = math.ceil(share * data.n_train / training["batch_size"]) * math.ceil(n_networks / STACKED)
        return epochs * (n_networks * steps + updates * UPDATE)

    def training_memory(self, n_networks: int, n_kept: int) -> float:
        """Return the MB of a job that trains some of the networks and stores the parameters of `n_kept` epochs."""
        stack, training = min(n_networks, STACKED), self.study["training"]
        evaluated = min(self.data.n_validation * self.data.n_steps, max(EVALUATED_STEPS, self.data.n_steps))
        steps = stack * max(training["batch_size"] * self.data.n_steps, evaluated)
        activations = steps * (4 * self.n_rows + 13 * self.scored) * FLOAT
        parameters = self.n_parameters * FLOAT
        return BASE_MEMORY + activations + parameters * (4 * stack + 3 * n_networks * n_kept)

    def spectra_seconds(self, n_networks: int, n_epochs: int) -> float:
        """Return the seconds to compute the spectra of some of the networks after some epochs."""
        spectra = self.study["spectra"]
        passes = spectra["warmup_passes"] + spectra.get("measured_passes", 1)
        steps = passes * spectra.get("n_steps", self.data.n_steps)
        rows = self._value["cell"].state_size if spectra.get("jacobian") == "full" else self.hidden_size
        flops = tangent_flops(rows, spectra["orthonormalize_every"])
        single = 1 if spectra["dtype"] == "float32" else 2
        of_one = spectra["n_sequences"] * steps * (RECOMPUTED * single * flops * TANGENT_FLOP + TANGENT_STEP)
        return n_networks * n_epochs * (of_one + SPECTRUM)


def tangent_flops(size: int, orthonormalize_every: int = 1, n_vectors: int | None = None) -> float:
    """Return the operations of a step of tangent vectors: a product, and a share of a QR decomposition."""
    k = size if n_vectors is None else n_vectors
    return 2.0 * size * k * (size + k / orthonormalize_every)
