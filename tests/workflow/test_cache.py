from __future__ import annotations

import errno
import grp
import itertools
import os
import stat
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from lyapunov_pkg.labels import describe
from lyapunov_pkg.reproduction.training.checkpoints import Checkpoints
from lyapunov_pkg.reproduction.training.store import Kept
from lyapunov_pkg.reproduction.training.variants import Variant
from lyapunov_pkg.workflow import cache as cache_module
from lyapunov_pkg.workflow import pruning
from lyapunov_pkg.workflow.cache import (
    delete_damaged_links,
    in_use,
    is_damaged,
    is_writable,
    keep,
    links,
    open_to_everybody,
    prepare_cache,
    record_name,
    record_text,
    record_user,
)
from lyapunov_pkg.workflow.locks import file_lock
from lyapunov_pkg.workflow.pruning import entries, linked_entries, main, prune
from lyapunov_pkg.workflow.store import save_store
from tests.workflow.conftest import another_user

DAY = 86_400.0  # seconds; not that of the tested module, whose unit is tested as well


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return prepare_cache(tmp_path / "deep" / "cache")


def add_result(cache: Path, name: str, days_ago: float = 0.0, n: int = 10) -> Path:
    dataset = describe(
        xr.Dataset({"loss": ("variant", np.random.default_rng(0).normal(size=n))}), {"loss": ("nat", "loss")}
    )
    path = cache / "results" / f"{name}.zip"
    save_store(dataset, path, {"job": f"train smnist {name} 0"})
    used = time.time() - days_ago * DAY
    os.utime(path, (used, used))
    return path


def add_checkpoints(cache: Path, name: str, days_ago: float = 0.0) -> Path:
    folder = cache / "checkpoints" / name
    (folder / "0-3").mkdir(parents=True)
    (folder / "about.json").write_text('{"job": "train smnist gru 0"}')
    (folder / "0-3" / "epoch_0.npz").write_bytes(b"x" * 1000)
    (folder / "0-3" / "lock").touch()
    used = time.time() - days_ago * DAY
    for path in folder.rglob("*"):
        os.utime(path, (used, used))
    return folder


def link(cache: Path, entry: Path, results: Path) -> Path:
    results.mkdir(parents=True, exist_ok=True)
    record_user(cache, results)
    (results / "store.zarr.zip").symlink_to(entry)
    return results / "store.zarr.zip"


def test_the_list_shows_description_size_age_and_use(cache: Path, tmp_path: Path, capsys) -> None:
    add_result(cache, "lstm", days_ago=3)
    used = add_result(cache, "gru", days_ago=2)
    link(cache, used, tmp_path / "clone" / "results")
    add_checkpoints(cache, "abc", days_ago=1)
    found = entries(cache)
    assert [entry.description for entry in found] == [
        "train smnist lstm 0",
        "train smnist gru 0",
        "checkpoints train smnist gru 0",
    ]
    assert [entry.in_use for entry in found] == [False, True, False]
    assert found[1].size == used.stat().st_size
    assert found[2].size >= 1000
    main(["list", "--directory", str(cache)])
    lines = capsys.readouterr().out.splitlines()
    assert "3.0 days" in lines[1] and "train smnist lstm 0" in lines[1] and "in use" not in lines[1]
    assert "in use" in lines[2]


def test_pruning_by_age_spares_linked_entries_and_running_trainings(cache: Path, tmp_path: Path) -> None:
    old, new, linked = (add_result(cache, name, days) for name, days in (("old", 9), ("new", 1), ("linked", 9)))
    link(cache, linked, tmp_path / "clone" / "results")
    idle, training = (add_checkpoints(cache, name, days_ago=9) for name in ("idle", "training"))
    with file_lock(training / "0-3" / "lock"):
        deleted = prune(cache, older_than=5 * DAY)
    assert {entry.path for entry in deleted} == {old, idle}
    assert not old.exists() and not idle.exists()
    assert new.exists() and linked.exists() and (training / "0-3" / "epoch_0.npz").exists()
    prune(cache, older_than=5 * DAY)
    assert not training.exists()


def test_pruning_by_size_deletes_the_longest_unused_first(cache: Path) -> None:
    oldest, middle, newest = (add_result(cache, str(days), days, n=1000) for days in (3, 2, 1))
    prune(cache, max_size=2.5 * newest.stat().st_size)
    assert [path.exists() for path in (oldest, middle, newest)] == [False, True, True]


def test_the_limits_of_the_command_are_in_gigabytes_and_days(cache: Path) -> None:
    oldest, old, newest = (add_result(cache, name, days) for name, days in (("c", 9.0), ("a", 3.0), ("b", 1.0)))
    prune_with = ["prune", "--directory", str(cache)]
    main([*prune_with, "--max-size", f"{3.5e-9 * newest.stat().st_size}"])
    assert oldest.exists() and old.exists() and newest.exists()
    main([*prune_with, "--max-size", f"{2.5e-9 * newest.stat().st_size}"])
    assert not oldest.exists() and old.exists() and newest.exists()
    main([*prune_with, "--older-than", "2"])
    assert not old.exists() and newest.exists()


def test_entries_of_a_deleted_clone_are_pruned(cache: Path, tmp_path: Path) -> None:
    entry = add_result(cache, "a", days_ago=9)
    results = tmp_path / "clone" / "results"
    link(cache, entry, results).unlink()
    results.rmdir()
    results.parent.rmdir()
    prune(cache, older_than=DAY)
    assert not entry.exists()
    assert not list((cache / "users").iterdir())


def test_using_an_entry_renews_its_age_and_keeps_its_modification_time(cache: Path) -> None:
    entry = add_result(cache, "a", days_ago=9)
    written = entry.stat().st_mtime
    assert not is_damaged(entry)
    assert entry.stat().st_mtime == written
    assert not prune(cache, older_than=DAY)


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b.replace(b"nat", b"bit"), lambda b: b""])
def test_damaged_entries_are_deleted(cache: Path, tmp_path: Path, damage, capsys) -> None:
    entry, whole = add_result(cache, "a", days_ago=1), add_result(cache, "b", days_ago=1)
    link(cache, entry, tmp_path / "clone" / "results")
    entry.write_bytes(damage(entry.read_bytes()))
    delete_damaged_links(cache, tmp_path / "clone" / "results")
    assert not entry.exists()
    assert f"{entry} was damaged" in capsys.readouterr().err
    assert not is_damaged(whole) and whole.exists()


def test_nothing_is_pruned_while_a_result_is_linked(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`prune` needs an exclusive lock, and `in_use` holds the lock."""
    entry = add_result(cache, "a", days_ago=9)
    waiting = file_lock

    def impatient(path, **options):
        return waiting(path, **options | {"wait": False})

    monkeypatch.setattr(pruning, "file_lock", impatient)
    with cache_module.in_use(cache), pytest.raises(BlockingIOError):
        prune(cache, older_than=DAY)
    assert entry.exists()


def test_the_error_about_an_unusable_cache_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cache_directory is .*file/cache, which cannot be used"):
        prepare_cache(tmp_path / "file" / "cache")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prune"], "prune needs --older-than or --max-size"),
        (["list", "--directory", "/nowhere"], "there is no cache at /nowhere"),
    ],
)
def test_wrong_commands_name_the_missing_arguments(cache: Path, capsys, arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit):
        main([*arguments, *([] if "--directory" in arguments else ["--directory", str(cache)])])
    assert message in capsys.readouterr().err


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_only_the_owner_can_use_a_new_cache(cache: Path, tmp_path: Path) -> None:
    add_result(cache, "a")
    output = tmp_path / "output.zip"
    output.write_bytes(b"result")
    keep(output, cache / "results/kept.zip")
    record_user(cache, tmp_path / "results")
    with in_use(cache):
        pass
    assert {mode(path) for path in (cache, *(path for path in cache.rglob("*") if path.is_dir()))} == {0o700}
    made = [cache / "results/kept.zip", cache / "lock", *(cache / "users").iterdir()]
    assert {mode(path) for path in made} == {0o600} and len(made) == 3


def test_a_cache_can_be_shared_with_a_group(tmp_path: Path) -> None:
    group = grp.getgrgid(os.getgid()).gr_name
    cache = prepare_cache(tmp_path / "cache", group)
    output = tmp_path / "output.zip"
    output.write_bytes(b"result")
    keep(output, cache / "results/kept.zip")
    record_user(cache, tmp_path / "results")
    assert {mode(path) for path in (cache, *(path for path in cache.rglob("*") if path.is_dir()))} == {0o2770}
    assert {mode(path) for path in cache.rglob("*") if path.is_file()} == {0o660}
    assert {path.stat().st_gid for path in (cache, *cache.rglob("*"))} == {os.getgid()}
    assert prepare_cache(tmp_path / "cache", group) == cache


def test_the_error_about_a_cache_of_another_group_says_how_to_share_it(cache: Path) -> None:
    group = grp.getgrgid(os.getgid()).gr_name
    with pytest.raises(OSError, match=rf"cache_group is {group}, but .* to share it: chgrp -R {group} .*; chmod -R g"):
        prepare_cache(cache, group)
    assert mode(cache) == 0o700
    with pytest.raises(OSError, match="cache_group is 'nosuchgroup', and there is no such group"):
        prepare_cache(cache.parent / "another", "nosuchgroup")


def test_a_cache_that_everybody_can_write_gives_a_warning(cache: Path) -> None:
    assert open_to_everybody(cache) is None
    cache.chmod(0o777)
    assert f"chmod -R o-w {cache}" in str(open_to_everybody(cache))
    assert mode(cache) == 0o777


@pytest.mark.parametrize("name", ["results", "checkpoints", "users"])
def test_links_in_place_of_the_cache_folders_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "private").mkdir(mode=0o700)
    (tmp_path / "cache" / name).symlink_to(tmp_path / "private")
    with pytest.raises(OSError, match=rf"cache_directory is .*{name} is a link or a file; expected a folder"):
        prepare_cache(tmp_path / "cache")
    assert mode(tmp_path / "private") == 0o700


def test_a_link_in_place_of_a_result_counts_as_damage(cache: Path, tmp_path: Path, capsys) -> None:
    elsewhere = add_result(cache, "a").rename(tmp_path / "elsewhere.zip")
    (cache / "results/b.zip").symlink_to(elsewhere)
    assert is_damaged(cache / "results/b.zip")
    assert not os.path.lexists(cache / "results/b.zip") and elsewhere.exists()
    assert "it is no regular file" in capsys.readouterr().err


def test_a_stored_result_becomes_a_link_to_the_cache(cache: Path, tmp_path: Path) -> None:
    output, entry = tmp_path / "store.zip", cache / "results/digest.zip"
    for content in (b"first", b"second"):  # Another run may have stored the same result in the meantime.
        output.unlink(missing_ok=True)
        output.write_bytes(content)
        keep(output, entry)
        assert output.is_symlink() and output.resolve() == entry and output.read_bytes() == content
    assert [path.name for path in (cache / "results").iterdir()] == ["digest.zip"]


def test_a_result_that_cannot_be_cached_stays_in_place(cache: Path, tmp_path: Path) -> None:
    output = tmp_path / "store.zip"
    output.write_bytes(b"result")
    with pytest.raises(OSError):
        keep(output, cache / "nowhere/digest.zip")
    assert output.read_bytes() == b"result" and not output.is_symlink()


RECORDS: dict[str, Callable[[Path], object]] = {
    "empty": lambda record: record.write_text(""),
    "torn": lambda record: record.write_text(record.read_text()[:12]),
    "without its disk": lambda record: record.write_text(record.read_text().partition("\n")[0] + "\n/\n"),
    "of another folder": lambda record: record.write_text("/\n/\n"),
    "not text": lambda record: record.write_bytes(b"\xff\xfe\n"),
    "a link": lambda record: record.rename(record.parents[2] / "r") and record.symlink_to(record.parents[2] / "r"),
    "a folder": lambda record: record.unlink() or record.mkdir(),
}


@pytest.mark.parametrize("change", RECORDS.values(), ids=RECORDS.keys())
def test_no_result_is_pruned_if_a_record_does_not_name_its_folder(
    cache: Path, tmp_path: Path, change: Callable[[Path], object], capsys
) -> None:
    linked, idle = add_result(cache, "linked", days_ago=9), add_checkpoints(cache, "idle", days_ago=9)
    link(cache, linked, tmp_path / "clone" / "results")
    (record,) = (cache / "users").iterdir()
    change(record)
    main(["prune", "--older-than", "1", "--directory", str(cache)])
    assert linked.exists() and not idle.exists()  # Checkpoints are never linked.
    message = capsys.readouterr().err
    assert (
        f"no result is pruned, because a folder that may use it cannot be read: {record}: the record does not"
        in message
    )
    record.rmdir() if record.is_dir() and not record.is_symlink() else record.unlink()
    assert {entry.path for entry in prune(cache, older_than=DAY)} == {linked}


@pytest.mark.parametrize("unreadable", ["clone", "clone/results", "clone/results/training"])
def test_no_result_is_pruned_if_a_folder_of_results_cannot_be_read(public_folder: Path, unreadable: str) -> None:
    with another_user():
        pass  # Skips the test before any file is created.
    cache = prepare_cache(public_folder / "cache")
    linked = add_result(cache, "linked", days_ago=9)
    link(cache, linked, public_folder / "clone/results/training")
    os.chown(cache, 65_534, -1)
    for path in cache.rglob("*"):
        os.chown(path, 65_534, -1)
    (public_folder / unreadable).chmod(0o700)
    with another_user():
        assert prune(cache, older_than=DAY) == []
        assert "Permission denied" in linked_entries(cache)[1][0]
    (public_folder / unreadable).chmod(0o755)
    with another_user():
        assert prune(cache, older_than=DAY) == []  # The folder can now be read, so the entry is known to be linked.
        assert linked_entries(cache) == ({linked}, [])
    assert linked.exists()


def test_no_result_is_pruned_while_the_disk_of_a_user_is_not_mounted(cache: Path, tmp_path: Path) -> None:
    linked, results = add_result(cache, "linked", days_ago=9), tmp_path / "disk/clone/results"
    record = cache / "users" / record_name(results)
    record.write_text(record_text(results, tmp_path / "disk"))
    assert prune(cache, older_than=DAY) == []
    assert "neither is its disk" in linked_entries(cache)[1][0]
    record.write_text(record_text(results, Path("/")))
    assert {entry.path for entry in prune(cache, older_than=DAY)} == {linked}


def test_an_emptied_folder_of_results_stays_recorded(cache: Path, tmp_path: Path) -> None:
    entry, results = add_result(cache, "a", days_ago=9), tmp_path / "clone" / "results"
    link(cache, entry, results).unlink()
    results.rmdir()
    assert prune(cache, older_than=DAY) and len(list((cache / "users").iterdir())) == 1


def test_unusual_links_in_results_are_ignored(cache: Path, tmp_path: Path) -> None:
    linked, results = add_result(cache, "linked", days_ago=9), tmp_path / "clone" / "results"
    link(cache, linked, results)
    (results / "loop").symlink_to(results / "loop")
    (results / "broken").symlink_to(results / "nowhere")
    (results / "up").symlink_to(tmp_path)
    relative = Path(os.path.relpath(linked, results))
    (results / "relative").symlink_to(relative)
    assert [path.name for path, _ in sorted(links(cache, results))] == ["relative", "store.zarr.zip"]
    assert prune(cache, older_than=DAY) == []


def test_a_record_survives_a_full_disk(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record_user(cache, tmp_path / "results")
    (record,) = (cache / "users").iterdir()
    before = record.read_text()
    record.write_text(before.replace("\n", "\n\n"))  # The changed text makes `record_user` write the record again.

    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match=rf"cannot record in {record} that .*results uses the cache: .*No space left"):
        record_user(cache, tmp_path / "results")
    assert record.read_text() == before.replace("\n", "\n\n")
    assert list((cache / "users").iterdir()) == [record]


def test_pruning_removes_unfinished_files(cache: Path) -> None:
    (cache / "results/tmpabc").mkdir()
    (cache / "results/tmpabc/half.zip").write_bytes(b"half")
    (cache / "results/.digest.zip.0123.partial").write_bytes(b"half")
    (cache / "users/.digest.0123.partial").write_text("half")
    (cache / "checkpoints/.deleted-0123").mkdir()
    (cache / "checkpoints/.deleted-0123/epoch_0.npz").write_bytes(b"half")
    assert entries(cache) == []
    assert prune(cache, older_than=DAY) == []
    assert sorted(path.name for path in cache.rglob("*")) == ["checkpoints", "lock", "results", "users"]


def test_a_starting_training_is_not_pruned(cache: Path) -> None:
    """The training holds the lock of the folder before the folder contains any stack."""
    folder = add_checkpoints(cache, "begun", days_ago=9)
    with file_lock(folder / "lock", shared=True):
        os.utime(folder / "lock", (0, 0))
        assert prune(cache, older_than=DAY) == []
        assert (folder / "0-3/epoch_0.npz").exists()
    assert [entry.path for entry in prune(cache, older_than=DAY)] == [folder]


def test_pruning_works_beside_running_trainings_and_other_pruning(cache: Path) -> None:
    """Folders and files appear and disappear while the cache is listed and pruned, and locked ones stay complete."""
    end = time.monotonic() + 2
    failures: list[BaseException] = []

    def train(name: str) -> None:
        folder = cache / "checkpoints" / name
        stack = [Variant(0, "rnn", 2, 1.0, 0.1, seed=1)]
        try:
            for epoch in itertools.count():
                with Checkpoints(cache / "checkpoints", {"job": name}).of(stack) as kept:
                    kept.save(
                        epoch % 3,
                        {"validation_loss": np.ones(1)},
                        {epoch % 3: {"weight": np.ones((1, 3))}},
                        {"moment": np.ones(2)},
                    )
                    assert kept.read(f"epoch_{epoch % 3}.npz") is not None, folder
                if time.monotonic() > end:
                    return
        except BaseException as error:
            failures.append(error)

    def prune_often() -> None:
        try:
            while time.monotonic() < end:
                prune(cache, older_than=0.0)
                entries(cache)
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=train, args=(name,)) for name in ("a", "a", "b")]
    workers += [threading.Thread(target=prune_often) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert not failures, [traceback.format_exception(failure) for failure in failures]


def test_files_of_another_user_that_cannot_be_deleted_stay(public_folder: Path, capsys) -> None:
    with another_user():
        pass
    cache = prepare_cache(public_folder / "cache")
    entry = add_result(cache, "a", days_ago=9)
    folder = add_checkpoints(cache, "b", days_ago=9)
    (cache / "lock").write_text("")
    for path in (cache, *cache.rglob("*")):
        path.chmod(0o755)
    with another_user():
        assert prune(cache, older_than=DAY) == []
    assert entry.exists() and (folder / "0-3/epoch_0.npz").exists()
    assert f"{entry} stays: " in capsys.readouterr().err


def test_a_read_only_cache_is_used(public_folder: Path, capsys) -> None:
    with another_user():
        pass
    cache = prepare_cache(public_folder / "cache")
    whole, broken = add_result(cache, "whole"), add_result(cache, "broken")
    broken.write_bytes(b"PK")
    stack = [Variant(0, "rnn", 2, 1.0, 0.1, seed=1)]
    with Checkpoints(cache / "checkpoints", {}).of(stack) as kept:
        kept.save(0, {"validation_loss": np.ones(1)}, {0: {"weight": np.ones((1, 3))}}, {"moment": np.ones(2)})
    for path in (cache, *cache.rglob("*")):
        path.chmod(0o755)
    assert is_writable(cache)
    with another_user():
        assert prepare_cache(cache) == cache and not is_writable(cache)
        with in_use(cache):
            assert not is_damaged(whole) and is_damaged(broken)
        with Checkpoints(cache / "checkpoints", {}).of(stack) as kept:
            found = kept.load(5, Kept())
            kept.save(1, {"validation_loss": np.ones(1)}, {1: {"weight": np.ones((1, 3))}}, {"moment": np.ones(2)})
        with Checkpoints(cache / "checkpoints", {"new": 1}).of(stack) as kept:
            assert kept.load(5, Kept()) is None
    assert found is not None and len(found.history) == 1 and broken.exists()
    assert capsys.readouterr().err.count("checkpoints cannot be kept") == 2
    assert len(list((cache / "checkpoints").glob("*/0-0/epoch_*.npz"))) == 1


@pytest.mark.parametrize("limit", ["-1", "nan", "inf"])
def test_limits_of_pruning_are_nonnegative_numbers(cache: Path, capsys, limit: str) -> None:
    entry = add_result(cache, "a", days_ago=9)
    with pytest.raises(SystemExit):
        main(["prune", f"--max-size={limit}", "--directory", str(cache)])
    assert "expected 0 or more" in capsys.readouterr().err and entry.exists()
