"""Checkpoints of training: the state of a stack of variants after every epoch.

An interrupted training continues from them after its last finished epoch. A longer training continues after the last
epoch of a shorter one. The results are bit for bit those of an uninterrupted training. The random numbers of a variant
depend only on its seed and the epoch, so that parameters and the optimiser's moments are the whole state. If variants
are added to a study, the others are already trained.

A folder of checkpoints has these files in `{first variant}-{last variant}/`:

* `epoch_{n}.npz`: losses and accuracies after an epoch.
* `parameters_{n}.npz`: parameters of the last epoch and of the epochs in the training store.
* `optimizer_{n}.npz`: the optimiser's state after the last epoch.
* `store.zarr.zip`: the training store, once it is written. It replaces all parameters. It is a hard link to the same
  file, so that there is no second copy.

The files are sealed (`workflow.files`). A damaged file counts as missing. The files contain no code.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lyapunov_pkg.reproduction.training.store import Kept
from lyapunov_pkg.reproduction.training.variants import Variant
from lyapunov_pkg.workflow.files import (
    damage,
    is_regular_file,
    link_file,
    make_folder,
    remove_partial_files,
    seal,
    take_permissions_from_folder,
    whole_file,
)
from lyapunov_pkg.workflow.locks import file_lock
from lyapunov_pkg.workflow.store import open_store

Arrays = dict[str, np.ndarray]
STORE = "store.zarr.zip"


@dataclass
class Trained:
    """The state of a stack of variants whose training has begun.

    Attributes:
        history: {name: (variant,)} of losses and accuracies, for epochs 0, 1, and so on.
        parameters: {epoch: parameters} of the last epoch and of the epochs for the training store.
        optimizer: the optimiser's state after the last epoch; empty if training is complete.
    """

    history: list[Arrays]
    parameters: dict[int, Arrays]
    optimizer: Arrays = field(default_factory=dict)


def validation_losses(history: Sequence[Mapping[str, np.ndarray]]) -> NDArray:
    """Return the validation losses (variant, epoch) of a history, which has {name: (variant,)} for every epoch."""
    return np.stack([result["validation_loss"] for result in history], axis=1)


class Checkpoints:
    """The checkpoints of one training. The name of their folder is the digest of everything that influences it."""

    def __init__(self, directory: str | Path, way_of_training: Mapping[str, Any]) -> None:
        """Open the checkpoints of one training. The folder is created with the first checkpoint.

        Args:
            directory: folder of the checkpoints of all trainings.
            way_of_training: everything that influences a variant's training, except its index and the number of epochs:
                settings, data, code, versions of libraries. It must be valid JSON.
        """
        self.way_of_training = json.dumps(way_of_training, sort_keys=True)
        self.directory = Path(directory) / hashlib.sha256(self.way_of_training.encode()).hexdigest()

    def stacks(self, variants: Sequence[Variant], width: int) -> list[list[Variant]]:
        """Return stacks of at most `width` variants: existing stacks first, then new ones at multiples of `width`."""
        left = {variant.index: variant for variant in variants}
        stacks = []
        for begun in self.begun():
            if left.keys() >= set(begun):
                stacks.append([left.pop(index) for index in begun])
        return sorted(stacks + consecutive(left.values(), width), key=lambda stack: stack[0].index)

    def begun(self) -> list[range]:
        """Return the indices of every stack whose training has begun, larger stacks first."""
        bounds = [re.fullmatch(r"([0-9]+)-([0-9]+)", path.name) for path in self.directory.glob("*-*")]
        stacks = [range(int(found[1]), int(found[2]) + 1) for found in bounds if found]
        return sorted((stack for stack in stacks if stack), key=lambda stack: (-len(stack), stack.start))

    @contextlib.contextmanager
    def of(self, stack: Sequence[Variant]) -> Iterator[StackCheckpoints]:
        """Open and lock the checkpoints of one stack. It waits while another process trains the same stack.

        In a read-only folder, existing checkpoints are used and new ones are not stored, with a message on standard
        error.

        Raises:
            OSError: the folder cannot be created. The message names it.
        """
        folder = self.directory / f"{stack[0].index}-{stack[-1].index}"
        with contextlib.ExitStack() as locks:
            try:
                self._hold(folder, locks)
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                    raise OSError(f"cannot write the checkpoints in {folder}: {error}") from error
                print(f"checkpoints cannot be kept: {error}", file=sys.stderr)
                yield StackCheckpoints(folder, stack, read_only=True)
                return
            remove_partial_files(folder)
            yield StackCheckpoints(folder, stack)

    def finish(self, variants: Sequence[Variant], width: int, store: Path, kept: Kept) -> None:
        """Replace the parameters of `variants` by their training store.

        If every epoch is stored, training can continue after the last one. If only some are stored, the optimiser's
        state is also deleted, because it is twice as large as the parameters of an epoch.
        """
        for stack in self.stacks(variants, width):
            with self.of(stack) as own:
                own.finish(store, can_go_on=kept.epochs is None)

    def _hold(self, folder: Path, locks: contextlib.ExitStack) -> None:
        """Create the folder of a stack, and lock it against pruning and against other processes."""
        while True:
            self.directory.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # it was pruned before it was locked
                make_folder(self.directory)
                locks.enter_context(file_lock(self.directory / "lock", shared=True))
                break
        make_folder(folder)
        with whole_file(self.directory / "about.json") as about:
            about.write_text(self.way_of_training)
            take_permissions_from_folder(about)
        locks.enter_context(file_lock(folder / "lock"))


class StackCheckpoints:
    """The checkpoints of one stack of variants."""

    def __init__(self, folder: Path, stack: Sequence[Variant], *, read_only: bool = False) -> None:
        """Use the checkpoints in `folder`. With `read_only` no new ones are stored."""
        self.folder = folder
        self.read_only = read_only
        self.seeds = np.array([variant.seed for variant in stack])

    def load(self, epochs: int, kept: Kept) -> Trained | None:
        """Return the state after the last epoch with complete files, or None.

        Args:
            epochs: largest number of epochs to return.
            kept: the epochs whose parameters are needed, besides the last one.
        """
        history: list[Arrays] = []
        while len(history) <= epochs and (result := self.read(f"epoch_{len(history)}.npz")) is not None:
            history.append(result)
        if len(history) > epochs:
            parameters = self._parameters(history, kept)
            return None if parameters is None else Trained(history, parameters)
        for last in reversed(range(len(history))):
            optimizer = self.read(f"optimizer_{last}.npz")
            if optimizer is not None:
                parameters = self._parameters(history[: last + 1], kept)
                return None if parameters is None else Trained(history[: last + 1], parameters, optimizer)
        return None

    def _parameters(self, history: Sequence[Arrays], kept: Kept) -> dict[int, Arrays] | None:
        """Return {epoch: parameters (variant, ...)} of the last and of the kept epochs, or None if one is missing.

        If an epoch is kept for some variants only, the parameters of the others are arbitrary.
        """
        needed = kept.by_variant(validation_losses(history))
        last = np.full((len(needed), 1), len(history) - 1)
        needed = np.concatenate([needed, last], axis=1)
        store = self._store()
        found: dict[int, Arrays] = {}
        for epoch in np.unique(needed).tolist():
            parameters = self.read(f"parameters_{epoch}.npz")
            if parameters is None and store is not None:
                parameters = stored_parameters(store, epoch, (needed == epoch).any(axis=1))
            if parameters is None:
                return None
            found[epoch] = parameters
        return found

    def _store(self) -> xr.Dataset | None:
        """Return the training store that replaced the parameters, with only the variants of the stack."""
        path = self.folder / STORE
        if not is_regular_file(path):
            return None
        try:
            store = open_store(path)
        except (OSError, ValueError):  # the store cannot be read, or is damaged
            return None
        rows = [np.flatnonzero(store["seed"].values == seed) for seed in self.seeds]
        return store.isel(variant=np.concatenate(rows)).load() if all(map(len, rows)) else None

    def save(self, epoch: int, result: Arrays, parameters: Mapping[int, Arrays], optimizer: Arrays) -> None:
        """Store the results of an epoch, arrays (variant, ...), and the optimiser's state after it.

        Args:
            epoch: number of the epoch.
            result: losses and accuracies.
            parameters: {epoch: parameters} of this epoch and of all others that will be needed. Other parameters are
                deleted.
            optimizer: the optimiser's state.

        Raises:
            OSError: the checkpoint could not be written. The message names it. Earlier checkpoints are intact.
        """
        if self.read_only:
            return
        self.write(f"parameters_{epoch}.npz", parameters[epoch])
        self.write(f"epoch_{epoch}.npz", result)
        self.write(f"optimizer_{epoch}.npz", optimizer)
        self._delete("optimizer", {epoch})
        self._delete("parameters", parameters)

    def finish(self, store: Path, *, can_go_on: bool) -> None:
        """Replace the parameters by a training store, if it is on the same disk and there are parameters.

        Args:
            store: training store with all variants of the stack, and possibly others.
            can_go_on: whether to keep the optimiser's state, from which training can continue.
        """
        if self.read_only or not any(self.folder.glob("parameters_*.npz")):
            return
        try:
            with whole_file(self.folder / STORE) as partial:
                link_file(partial, store)
        except OSError:  # for example on another disk
            return
        self._delete("parameters", ())
        if not can_go_on:
            self._delete("optimizer", ())

    def _delete(self, kind: str, epochs: Iterable[int]) -> None:
        """Delete the files of a kind except those of the given epochs."""
        spared = {f"{kind}_{epoch}.npz" for epoch in epochs}
        for path in self.folder.glob(f"{kind}_*.npz"):
            if path.name not in spared:
                path.unlink(missing_ok=True)

    def read(self, name: str) -> Arrays | None:
        """Return the arrays of a file, or None if it is missing, damaged, or of other variants or another epoch."""
        path = self.folder / name
        if not is_regular_file(path) or damage(path):
            return None
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        seeds, saved_as = arrays.pop("seed", None), arrays.pop("saved_as", None)
        return arrays if np.array_equal(seeds, self.seeds) and saved_as == name else None

    def write(self, name: str, arrays: Arrays) -> None:
        """Write arrays to a file, completely or not at all."""
        try:
            with whole_file(self.folder / name) as partial:
                with partial.open("xb") as file:
                    np.savez(file, allow_pickle=False, seed=self.seeds, saved_as=np.array(name), **arrays)
                seal(partial)
                take_permissions_from_folder(partial)
        except OSError as error:
            raise OSError(f"cannot write the checkpoint {self.folder / name}: {error}") from error


def consecutive(variants: Iterable[Variant], width: int) -> list[list[Variant]]:
    """Return groups of variants with consecutive indices. No group crosses a multiple of `width`."""
    ordered = sorted(variants, key=lambda variant: variant.index)
    groups = groupby(enumerate(ordered), lambda item: (item[1].index - item[0], item[1].index // width))
    return [[variant for _, variant in group] for _, group in groups]


def stored_parameters(store: xr.Dataset, epoch: int, needed: NDArray[np.bool_]) -> Arrays | None:
    """Return {name: parameters (variant, ...)} after an epoch, or None if a needed variant has none.

    For variants that are not needed, the parameters may be those of another epoch.
    """
    is_kept = store["kept_epoch"].values == epoch
    if not is_kept.any(axis=1)[needed].all():
        return None
    rows, positions = np.arange(len(is_kept)), is_kept.argmax(axis=1)
    names = [
        str(name) for name, variable in store.data_vars.items() if "kept" in variable.dims and name != "kept_epoch"
    ]
    return {name: store[name].values[rows, positions] for name in names}
