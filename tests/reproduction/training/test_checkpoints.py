from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from lyapunov_pkg.reproduction.training import bptt, checkpoints
from lyapunov_pkg.reproduction.training.bptt import KEEP_ALL, TrainingSettings, train_variants
from lyapunov_pkg.reproduction.training.checkpoints import Checkpoints, StackCheckpoints
from lyapunov_pkg.reproduction.training.optimizers import OPTIMIZERS
from lyapunov_pkg.reproduction.training.store import Kept
from lyapunov_pkg.reproduction.training.variants import Variant, design_variants
from lyapunov_pkg.workflow.store import save_store

CPU = torch.device("cpu")
SETTINGS = TrainingSettings(epochs=1, batch_size=16, loss_on="last", optimizer="adam")


@pytest.fixture(scope="module")
def dataset() -> xr.Dataset:
    rng = np.random.default_rng(0)
    inputs = rng.uniform(0, 1, (60, 5, 3)).astype(np.float32)
    labels = np.argmax(inputs.sum(1), 1)
    names = {"train": slice(0, 40), "test": slice(40, 60)}
    return xr.Dataset(
        {
            f"{part}_{kind}": ((f"{part}_sample", "time", "feature")[: values.ndim], values[rows])
            for part, rows in names.items()
            for kind, values in {"input": inputs, "label": labels}.items()
        }
    )


@pytest.fixture(autouse=True)
def two_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put two variants in each stack."""
    monkeypatch.setitem(bptt.VARIANTS_TOGETHER, "cpu", 2)


@pytest.fixture
def trained_epochs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Return (epoch, variants...) of every training epoch that actually runs."""
    calls: list[tuple[int, ...]] = []
    train_epoch = bptt.train_epoch

    def recorded(network, optimizer, variants, task, samples, settings, epoch):
        calls.append((epoch, *(variant.index for variant in variants)))
        return train_epoch(network, optimizer, variants, task, samples, settings, epoch)

    monkeypatch.setattr(bptt, "train_epoch", recorded)
    return calls


def noisy_variants(n_variants: int, seed: int = 3) -> list[Variant]:
    """Return noisy networks with dropout, which use random numbers in every training step."""
    settings = {"architecture": "noisy", "hidden_size": 6, "init_param": {"uniform": [0.1, 1.0]}}
    settings |= {"learning_rate": {"log_uniform": [0.003, 0.03]}, "dropout": 0.2}
    return design_variants("test", "noisy", settings, range(n_variants), seed)


def train(
    dataset: xr.Dataset,
    n_variants: int,
    epochs: int,
    checkpoints: Checkpoints | None = None,
    kept: Kept = KEEP_ALL,
    **settings: object,
) -> xr.Dataset:
    settings = SETTINGS.replaced(epochs=epochs, **{"subsample": 0.9} | settings)
    return train_variants(noisy_variants(n_variants), dataset, settings, CPU, checkpoints, kept).drop_vars("best_epoch")


def finish(training: xr.Dataset, checkpoints: Checkpoints, kept: Kept = KEEP_ALL) -> None:
    """Write a training store of noisy variants and let it replace the parameters in the checkpoints."""
    path = checkpoints.directory.parent / "store.zarr.zip"
    path.unlink(missing_ok=True)
    save_store(training, path, {})
    checkpoints.finish(noisy_variants(training.sizes["variant"]), 2, path, kept)


def save_first(own: StackCheckpoints, loss: float = 1) -> None:
    """Save the checkpoint of epoch 0 of two variants."""
    own.save(0, {"validation_loss": np.full(2, loss)}, {0: {"weight": np.ones(2)}}, {"moment": np.ones(2)})


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_continued_training_gives_the_bits_of_uninterrupted_training(
    dataset: xr.Dataset, tmp_path: Path, trained_epochs: list[tuple[int, ...]], optimizer: str
) -> None:
    settings: dict[str, object] = {"optimizer": optimizer, "learning_rate_decay": {"factor": 0.5, "after_epoch": 2}}
    settings |= {"momentum": 0.9} if optimizer == "sgd" else {}
    at_once = train(dataset, 2, 5, **settings)
    trained_epochs.clear()
    train(dataset, 2, 3, Checkpoints(tmp_path, {}), **settings)
    continued = train(dataset, 2, 5, Checkpoints(tmp_path, {}), **settings)
    assert [epoch for epoch, *_ in trained_epochs] == [1, 2, 3, 4, 5]
    xr.testing.assert_identical(continued, at_once)


def test_fewer_epochs_are_read_from_the_checkpoints(
    dataset: xr.Dataset, tmp_path: Path, trained_epochs: list[tuple[int, ...]]
) -> None:
    long = train(dataset, 2, 5, Checkpoints(tmp_path, {}))
    trained_epochs.clear()
    short = train(dataset, 2, 3, Checkpoints(tmp_path, {}))
    assert not trained_epochs
    xr.testing.assert_identical(short, long.isel(epoch=slice(0, 4), kept=slice(0, 4)))


def test_only_additional_variants_are_trained(
    dataset: xr.Dataset, tmp_path: Path, trained_epochs: list[tuple[int, ...]]
) -> None:
    few = train(dataset, 3, 1, Checkpoints(tmp_path, {}))
    assert trained_epochs == [(1, 0, 1), (1, 2)]
    trained_epochs.clear()
    more = train(dataset, 6, 1, Checkpoints(tmp_path, {}))
    assert trained_epochs == [(1, 3), (1, 4, 5)]
    xr.testing.assert_identical(more.isel(variant=slice(0, 3)), few)
    assert more["variant"].values.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("kept", [Kept([0, 2]), Kept([3], best=True), Kept([1, 3], best=True)])
def test_selected_epochs_are_stored_as_in_a_complete_store(dataset: xr.Dataset, tmp_path: Path, kept: Kept) -> None:
    every = train(dataset, 3, 3)
    some = train(dataset, 3, 3, Checkpoints(tmp_path, {}), kept)
    of_losses = [name for name, variable in every.data_vars.items() if "kept" not in variable.dims]
    xr.testing.assert_identical(some[of_losses], every[of_losses])
    best = every["validation_loss"].argmin("epoch").values
    expected = [[*kept.epochs, *([best[variant]] if kept.best else [])] for variant in range(3)]
    np.testing.assert_array_equal(some["kept_epoch"], expected)
    for variant, epochs in enumerate(expected):
        for name in some.data_vars:
            if "kept" in some[name].dims and name != "kept_epoch":
                np.testing.assert_array_equal(some[name][variant], every[name][variant].values[epochs])


def test_divergence_is_recorded_for_any_stored_epochs(dataset: xr.Dataset) -> None:
    dataset = dataset.copy(deep=True)
    dataset["train_input"][0] = np.nan
    assert train(dataset, 2, 2, kept=Kept([0]))["diverged"].all()


def test_finished_training_keeps_one_copy_of_parameters_and_can_be_continued(
    dataset: xr.Dataset, tmp_path: Path, trained_epochs: list[tuple[int, ...]]
) -> None:
    checkpoints = Checkpoints(tmp_path, {})
    finish(train(dataset, 2, 2, checkpoints), checkpoints)
    assert not list(tmp_path.rglob("parameters_*"))
    assert (checkpoints.directory / "0-1" / "store.zarr.zip").samefile(tmp_path / "store.zarr.zip")
    trained_epochs.clear()
    longer = train(dataset, 3, 4, checkpoints)
    assert trained_epochs == [(3, 0, 1), (4, 0, 1), *((epoch, 2) for epoch in (1, 2, 3, 4))]
    xr.testing.assert_identical(longer, train(dataset, 3, 4))
    finish(longer, checkpoints)
    trained_epochs.clear()
    xr.testing.assert_identical(train(dataset, 3, 4, checkpoints), longer)
    assert not trained_epochs


def test_finished_training_with_selected_epochs_keeps_little_besides_the_store(
    dataset: xr.Dataset, tmp_path: Path, trained_epochs: list[tuple[int, ...]]
) -> None:
    kept, checkpoints = Kept([2], best=True), Checkpoints(tmp_path, {})
    finish(train(dataset, 2, 2, checkpoints, kept), checkpoints, kept)
    left = {path.name for path in (checkpoints.directory / "0-1").iterdir()}
    assert left == {"lock", "store.zarr.zip", "epoch_0.npz", "epoch_1.npz", "epoch_2.npz"}
    trained_epochs.clear()
    train(dataset, 3, 2, checkpoints, kept)
    assert trained_epochs == [(1, 2), (2, 2)]
    # Other epochs require training from the first epoch.
    xr.testing.assert_identical(train(dataset, 2, 2, checkpoints), train(dataset, 2, 2))


@pytest.mark.parametrize("damaged", [True, False])
def test_a_damaged_or_remote_store_costs_time_and_changes_no_result(
    dataset: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: bool
) -> None:
    checkpoints = Checkpoints(tmp_path, {})
    if not damaged:
        monkeypatch.setattr(Path, "hardlink_to", lambda path, target: os.link(path, "/nowhere/else"))
    finish(train(dataset, 2, 2, checkpoints), checkpoints)
    assert bool(list(tmp_path.rglob("parameters_*"))) != damaged
    if damaged:
        path = tmp_path / "store.zarr.zip"
        path.write_bytes(path.read_bytes()[:-1])
    xr.testing.assert_identical(train(dataset, 2, 3, checkpoints), train(dataset, 2, 3))


@pytest.mark.parametrize("interrupted_file", ["epoch_0.npz", "epoch_2.npz", "parameters_2.npz", "optimizer_2.npz"])
def test_a_kill_while_saving_any_file_loses_no_result(
    dataset: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupted_file: str
) -> None:
    savez = np.savez

    def killed(file, **arrays) -> None:
        if interrupted_file in file.name:
            half_written = Path(file.name).with_name(".epoch.npz.0123.partial")
            half_written.write_bytes(b"half")
            raise KeyboardInterrupt
        savez(file, **arrays)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(np, "savez", killed)
        train(dataset, 2, 3, Checkpoints(tmp_path, {}))
    assert list(tmp_path.rglob(".*.partial"))
    resumed = train(dataset, 2, 3, Checkpoints(tmp_path, {}))
    xr.testing.assert_identical(resumed, train(dataset, 2, 3))
    assert not list(tmp_path.rglob(".*.partial"))


@pytest.mark.parametrize("name", ["epoch_0.npz", "epoch_1.npz", "parameters_1.npz", "optimizer_2.npz"])
def test_a_damaged_checkpoint_is_not_used(dataset: xr.Dataset, tmp_path: Path, name: str) -> None:
    train(dataset, 2, 2, Checkpoints(tmp_path, {}))
    path = next(tmp_path.rglob(name))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    xr.testing.assert_identical(train(dataset, 2, 3, Checkpoints(tmp_path, {})), train(dataset, 2, 3))


def test_other_settings_and_other_variants_have_separate_checkpoints(
    dataset: xr.Dataset, tmp_path: Path, trained_epochs: list[tuple[int, ...]]
) -> None:
    train(dataset, 2, 1, Checkpoints(tmp_path, {"learning_rate": 0.01}))
    train(dataset, 2, 1, Checkpoints(tmp_path, {"learning_rate": 0.02}))
    assert len(trained_epochs) == 2
    others, kept = noisy_variants(2, seed=4), Checkpoints(tmp_path, {"learning_rate": 0.01})
    found = train_variants(others, dataset, SETTINGS, CPU, kept)
    assert len(trained_epochs) == 3
    assert found["seed"].values.tolist() == [variant.seed for variant in others]


def test_two_simultaneous_runs_train_once(
    dataset: xr.Dataset, tmp_path: Path, trained_epochs: list[tuple[int, ...]]
) -> None:
    """The second run waits for the first one and uses its checkpoints."""
    results: list[xr.Dataset] = []
    threads = [
        threading.Thread(target=lambda: results.append(train(dataset, 2, 3, Checkpoints(tmp_path, {}))))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    xr.testing.assert_identical(*results)
    assert sorted(epoch for epoch, *_ in trained_epochs) == [1, 2, 3]


def test_an_unwritable_folder_gives_one_clear_error(dataset: xr.Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OSError, match=r"cannot write the checkpoints in .*file"):
        train(dataset, 2, 1, Checkpoints(tmp_path / "file", {}))


@pytest.mark.parametrize("place", ["way of training", "stack", "epoch"])
def test_foreign_links_are_not_followed(tmp_path: Path, place: str) -> None:
    kept, stack = Checkpoints(tmp_path / "checkpoints", {}), noisy_variants(2)
    with kept.of(stack) as own:
        save_first(own)
    private = tmp_path / "private"
    paths = {"way of training": kept.directory, "stack": kept.directory / "0-1"}
    link = paths.get(place, kept.directory / "0-1" / "epoch_0.npz")
    link.rename(private)
    private.chmod(0o700)
    link.symlink_to(private)
    if place == "epoch":
        with kept.of(stack) as own:
            assert own.load(0, Kept()) is None
            save_first(own, loss=0)
        assert not link.is_symlink()
        assert np.load(private)["validation_loss"].tolist() == [1, 1]
    else:
        with pytest.raises(OSError, match="is a link or a file; expected a folder"), kept.of(stack):
            pass
    assert private.stat().st_mode & 0o777 == 0o700


def test_a_damaged_checkpoint_counts_as_missing(tmp_path: Path) -> None:
    """The damage is a flipped bit at various positions. `tests/workflow/test_files.py` tries every bit."""
    kept, stack = Checkpoints(tmp_path, {}), noisy_variants(2)
    with kept.of(stack) as own:
        save_first(own)
        path = kept.directory / "0-1" / "epoch_0.npz"
        whole = path.read_bytes()
        for place in range(0, len(whole), len(whole) // 50):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
            assert own.read("epoch_0.npz") is None
        path.write_bytes(whole)
        assert own.read("epoch_0.npz") is not None


def test_exchanged_checkpoints_and_unknown_folders_count_as_missing(tmp_path: Path) -> None:
    kept, stack = Checkpoints(tmp_path, {}), noisy_variants(2)
    with kept.of(stack) as own:
        for epoch in range(2):
            own.save(
                epoch, {"validation_loss": np.full(2, epoch)}, {epoch: {"weight": np.ones(2)}}, {"moment": np.ones(2)}
            )
        assert own.load(1, Kept([1])) is not None
        first, second = (own.folder / f"epoch_{epoch}.npz" for epoch in range(2))
        first.write_bytes(second.read_bytes())
        assert own.load(1, Kept([1])) is None
    for name in ("a-b", "3-", "lost-and-found", "5-2"):
        (kept.directory / name).mkdir()
    assert kept.begun() == [range(2)]


@pytest.mark.parametrize("moment", ["before its permissions are set", "before it is locked"])
def test_a_folder_that_is_deleted_during_its_creation_is_created_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    make_folder, pruned = checkpoints.make_folder, []

    def make_and_prune(path: Path) -> None:
        if not pruned:
            pruned.append(path)
            path.mkdir()
            path.rename(tmp_path / "pruned")
            if moment == "before its permissions are set":
                raise FileNotFoundError(path)
            return
        make_folder(path)

    monkeypatch.setattr(checkpoints, "make_folder", make_and_prune)
    with Checkpoints(tmp_path / "checkpoints", {}).of(noisy_variants(2)) as own:
        save_first(own)
        assert own.read("epoch_0.npz") is not None
    assert len(pruned) == 1
