"""Checkpoints of training: the state of a stack of variants after every epoch.

From them an interrupted training goes on after its last finished epoch, and a longer one after the last epoch of the
shorter one, to the same bits as if it had never stopped: a variant's random numbers come from its own seed and the
epoch, so parameters and the optimiser's moments are the whole state. Variants that are added find the others trained.

Layout of a folder of checkpoints: `{first variant}-{last variant}/epoch_{n}.npz` holds losses and accuracies after an
epoch, `parameters_{n}.npz` the parameters, of the epochs that the training store keeps and of the last one,
`optimizer_{n}.npz` the optimiser's state, of the last epoch alone. Once the training store is written, it takes the
place of all parameters: `store.zarr.zip` is another name of the same file, so that no second copy is on the disk. The
files are sealed (`workflow.files`): one that is damaged counts as missing. Nothing in them is code.
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
    """What is known of a stack of variants that has begun to train.

    Attributes:
        history: of epochs 0, 1, ..., losses and accuracies by name, (variant,).
        parameters: by epoch, of the last epoch and of those that are kept.
        optimizer: the optimiser's state after the last epoch; empty if nothing is left to train.
    """

    history: list[Arrays]
    parameters: dict[int, Arrays]
    optimizer: Arrays = field(default_factory=dict)


def validation_losses(history: Sequence[Mapping[str, np.ndarray]]) -> NDArray:
    """Return the validation losses (variant, epoch) of a history, arrays (variant,) by name for every epoch."""
    return np.stack([result["validation_loss"] for result in history], axis=1)


class Checkpoints:
    """The checkpoints of one way of training: a folder named by the digest of all that the training depends on."""

    def __init__(self, directory: str | Path, way_of_training: Mapping[str, Any]) -> None:
        """Open the checkpoints of one way of training, made when the first one is saved.

        Args:
            directory: where the checkpoints of every way of training lie.
            way_of_training: all that a variant's training depends on but its index and the number of epochs: settings,
                data, code, versions of libraries. Must be JSON.
        """
        self.way_of_training = json.dumps(way_of_training, sort_keys=True)
        self.directory = Path(directory) / hashlib.sha256(self.way_of_training.encode()).hexdigest()

    def stacks(self, variants: Sequence[Variant], width: int) -> list[list[Variant]]:
        """Split variants into stacks of at most `width`: as they have begun to train, or at multiples of `width`."""
        left = {variant.index: variant for variant in variants}
        stacks = []
        for begun in self.begun():
            if left.keys() >= set(begun):
                stacks.append([left.pop(index) for index in begun])
        return sorted(stacks + consecutive(left.values(), width), key=lambda stack: stack[0].index)

    def begun(self) -> list[range]:
        """Return the indices of every stack that has begun to train, larger ones first."""
        bounds = [re.fullmatch(r"([0-9]+)-([0-9]+)", path.name) for path in self.directory.glob("*-*")]
        stacks = [range(int(found[1]), int(found[2]) + 1) for found in bounds if found]
        return sorted((stack for stack in stacks if stack), key=lambda stack: (-len(stack), stack.start))

    @contextlib.contextmanager
    def of(self, stack: Sequence[Variant]) -> Iterator[StackCheckpoints]:
        """Open the checkpoints of one stack, and keep them from others; waits while another process trains the same.

        In a folder that can only be read, the checkpoints that are there are used and no others are kept; standard
        error says so.

        Raises:
            OSError: the folder cannot be made; the message names it.
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
        """Let the training store of `variants` take the place of their parameters.

        Where every epoch is kept, more epochs can go on from the last one. Where only some are, the optimiser's state
        is deleted, too: it is twice as large as the parameters of an epoch.
        """
        for stack in self.stacks(variants, width):
            with self.of(stack) as own:
                own.finish(store, can_go_on=kept.epochs is None)

    def _hold(self, folder: Path, locks: contextlib.ExitStack) -> None:
        """Make the folder of a stack, and keep it from being pruned and from others who would train the same."""
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
        """Use the checkpoints in `folder`; `read_only` keeps no more than are there."""
        self.folder = folder
        self.read_only = read_only
        self.seeds = np.array([variant.seed for variant in stack])

    def load(self, epochs: int, kept: Kept) -> Trained | None:
        """Return what was trained up to the last epoch of which all that is needed is there, or None.

        Args:
            epochs: return no more than these.
            kept: the epochs of which parameters are needed, besides the last one.
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
        """Return the parameters (variant, ...) by epoch of the last epoch and of those that are kept, if all are there.

        Of an epoch that is kept of some variants alone, those of the others may be anything.
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
        """Return the training store that took the place of parameters, its variants being those of the stack."""
        path = self.folder / STORE
        if not is_regular_file(path):
            return None
        try:
            store = open_store(path)
        except (OSError, ValueError):  # it cannot be read, or is damaged
            return None
        rows = [np.flatnonzero(store["seed"].values == seed) for seed in self.seeds]
        return store.isel(variant=np.concatenate(rows)).load() if all(map(len, rows)) else None

    def save(self, epoch: int, result: Arrays, parameters: Mapping[int, Arrays], optimizer: Arrays) -> None:
        """Keep the results of an epoch, arrays (variant, ...), and the optimiser's state after it.

        Args:
            epoch: which one.
            result: losses and accuracies.
            parameters: by epoch, of this one and of all others that will be needed; more are deleted.
            optimizer: the optimiser's state.

        Raises:
            OSError: the checkpoint could not be written; the message names it, and those before it are whole.
        """
        if self.read_only:
            return
        self.write(f"parameters_{epoch}.npz", parameters[epoch])
        self.write(f"epoch_{epoch}.npz", result)
        self.write(f"optimizer_{epoch}.npz", optimizer)
        self._delete("optimizer", {epoch})
        self._delete("parameters", parameters)

    def finish(self, store: Path, *, can_go_on: bool) -> None:
        """Let a training store take the place of the parameters, if it is on the same disk and any are there.

        Args:
            store: of all variants of the stack, and of others.
            can_go_on: keep the optimiser's state, from which more epochs can go on.
        """
        if self.read_only or not any(self.folder.glob("parameters_*.npz")):
            return
        try:
            with whole_file(self.folder / STORE) as partial:
                link_file(partial, store)
        except OSError:  # as on another disk
            return
        self._delete("parameters", ())
        if not can_go_on:
            self._delete("optimizer", ())

    def _delete(self, kind: str, epochs: Iterable[int]) -> None:
        """Delete the files of a kind but those of some epochs."""
        spared = {f"{kind}_{epoch}.npz" for epoch in epochs}
        for path in self.folder.glob(f"{kind}_*.npz"):
            if path.name not in spared:
                path.unlink(missing_ok=True)

    def read(self, name: str) -> Arrays | None:
        """Return the arrays of a file; None if there is none, it is damaged, or of other variants or another epoch."""
        path = self.folder / name
        if not is_regular_file(path) or damage(path):
            return None
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        seeds, saved_as = arrays.pop("seed", None), arrays.pop("saved_as", None)
        return arrays if np.array_equal(seeds, self.seeds) and saved_as == name else None

    def write(self, name: str, arrays: Arrays) -> None:
        """Write arrays to a file, whole or not at all."""
        try:
            with whole_file(self.folder / name) as partial:
                with partial.open("xb") as file:
                    np.savez(file, allow_pickle=False, seed=self.seeds, saved_as=np.array(name), **arrays)
                seal(partial)
                take_permissions_from_folder(partial)
        except OSError as error:
            raise OSError(f"cannot write the checkpoint {self.folder / name}: {error}") from error


def consecutive(variants: Iterable[Variant], width: int) -> list[list[Variant]]:
    """Group variants whose indices follow one another, no group reaching over a multiple of `width`."""
    ordered = sorted(variants, key=lambda variant: variant.index)
    groups = groupby(enumerate(ordered), lambda item: (item[1].index - item[0], item[1].index // width))
    return [[variant for _, variant in group] for _, group in groups]


def stored_parameters(store: xr.Dataset, epoch: int, needed: NDArray[np.bool_]) -> Arrays | None:
    """Return the parameters (variant, ...) by name after an epoch, or None if a variant that is needed has none.

    Of variants that are not needed they may be those of another epoch.
    """
    is_kept = store["kept_epoch"].values == epoch
    if not is_kept.any(axis=1)[needed].all():
        return None
    rows, positions = np.arange(len(is_kept)), is_kept.argmax(axis=1)
    names = [
        str(name) for name, variable in store.data_vars.items() if "kept" in variable.dims and name != "kept_epoch"
    ]
    return {name: store[name].values[rows, positions] for name in names}
