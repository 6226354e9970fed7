from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from lyapunov_pkg.labels import describe
from lyapunov_pkg.workflow import cache as cache_module
from lyapunov_pkg.workflow.cache import (
    DAY,
    entries,
    main,
    prepare_cache,
    prune,
    record_user,
    take_out_damaged_links,
    take_out_if_damaged,
)
from lyapunov_pkg.workflow.locks import file_lock, lock_for_this_process
from lyapunov_pkg.workflow.store import save_store


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


def test_listing_says_what_how_large_how_old_and_whether_in_use(cache: Path, tmp_path: Path, capsys) -> None:
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


def test_pruning_by_age_spares_what_is_linked_or_being_trained(cache: Path, tmp_path: Path) -> None:
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


def test_what_a_gone_clone_used_may_be_pruned(cache: Path, tmp_path: Path) -> None:
    entry = add_result(cache, "a", days_ago=9)
    results = tmp_path / "clone" / "results"
    link(cache, entry, results).unlink()
    results.rmdir()
    results.parent.rmdir()
    prune(cache, older_than=DAY)
    assert not entry.exists()
    assert not list((cache / "users").iterdir())


def test_taking_an_entry_makes_it_young_and_leaves_its_time_of_writing(cache: Path) -> None:
    entry = add_result(cache, "a", days_ago=9)
    written = entry.stat().st_mtime
    assert not take_out_if_damaged(entry)
    assert entry.stat().st_mtime == written
    assert not prune(cache, older_than=DAY)


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b.replace(b"nat", b"bit"), lambda b: b""])
def test_damaged_entries_are_taken_out(cache: Path, tmp_path: Path, damage, capsys) -> None:
    entry, whole = add_result(cache, "a", days_ago=1), add_result(cache, "b", days_ago=1)
    link(cache, entry, tmp_path / "clone" / "results")
    entry.write_bytes(damage(entry.read_bytes()))
    take_out_damaged_links(cache, tmp_path / "clone" / "results")
    assert not entry.exists()
    assert f"{entry} was damaged" in capsys.readouterr().err
    assert not take_out_if_damaged(whole) and whole.exists()


def test_nothing_is_pruned_while_a_result_is_taken(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`prune` asks for the lock alone, which `in_use` holds."""
    entry = add_result(cache, "a", days_ago=9)
    waiting = file_lock

    def impatient(path, **options):
        return waiting(path, **options | {"wait": False})

    monkeypatch.setattr(cache_module, "file_lock", impatient)
    with cache_module.in_use(cache), pytest.raises(BlockingIOError):
        prune(cache, older_than=DAY)
    assert entry.exists()


def test_cache_that_cannot_be_made_names_the_setting(tmp_path: Path) -> None:
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
def test_wrong_commands_say_what_is_missing(cache: Path, capsys, arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit):
        main([*arguments, *([] if "--directory" in arguments else ["--directory", str(cache)])])
    assert message in capsys.readouterr().err


def test_second_holder_of_a_lock_is_told_who_holds_it(tmp_path: Path) -> None:
    lock_for_this_process(tmp_path / "run.lock", "the folder here")
    with pytest.raises(BlockingIOError, match=rf"the folder here is locked by process {os.getpid()} on .*, since"):
        lock_for_this_process(tmp_path / "run.lock", "the folder here")
