from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lyapunov_pkg.workflow.locks import file_lock, is_locked, lock_for_this_process
from tests.workflow.conftest import another_user


def test_the_error_about_a_held_lock_names_its_holder(tmp_path: Path) -> None:
    lock_for_this_process(tmp_path / "run.lock", "the folder here")
    with pytest.raises(BlockingIOError, match=rf"the folder here is locked by process {os.getpid()} on .*, since"):
        lock_for_this_process(tmp_path / "run.lock", "the folder here")


def test_a_shared_lock_has_many_holders_and_an_exclusive_lock_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with file_lock(path, shared=True), file_lock(path, shared=True, wait=False):
        with pytest.raises(BlockingIOError), file_lock(path, wait=False):
            pass
        assert is_locked(path)
    assert not is_locked(path)


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    program = "import sys, time\nfrom lyapunov_pkg.workflow.locks import lock_for_this_process\n"
    program += "lock_for_this_process(sys.argv[1], 'it')\nprint('held', flush=True)\ntime.sleep(60)\n"
    command = [sys.executable, "-c", program, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        assert is_locked(tmp_path / "lock")
        holder.kill()
        holder.wait()
    assert not is_locked(tmp_path / "lock")


def test_a_lock_whose_file_was_replaced_is_acquired_again(tmp_path: Path) -> None:
    """A process that waited for a lock, which was deleted with its folder, does not hold the lock of the new folder."""
    path, taken = tmp_path / "lock", threading.Event()

    def wait_for_it() -> None:
        with file_lock(path):
            taken.set()

    with file_lock(path):
        waiting = threading.Thread(target=wait_for_it)
        waiting.start()
        time.sleep(0.2)
        path.unlink()
        new_holder = file_lock(path)
        new_holder.__enter__()
    time.sleep(0.2)
    assert not taken.is_set()
    new_holder.__exit__(None, None, None)
    waiting.join(10)
    assert taken.is_set()


def test_a_link_in_place_of_a_lock_is_refused_and_its_target_unchanged(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "secret").chmod(0o600)
    (tmp_path / "lock").symlink_to(tmp_path / "secret")
    with (
        pytest.raises(OSError, match=r"a link is not followed; expected a lock file: '.*lock'"),
        file_lock(tmp_path / "lock"),
    ):
        pass
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert (tmp_path / "secret").read_text() == "secret"


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: os.mkfifo(path)])
def test_only_a_regular_file_can_be_a_lock(tmp_path: Path, make) -> None:
    make(tmp_path / "lock")
    with pytest.raises(OSError, match=r"lock"), file_lock(tmp_path / "lock"):
        pass


def test_a_read_only_lock_file_can_be_locked(public_folder: Path) -> None:
    (public_folder / "lock").write_text("")
    path = public_folder / "lock"
    with another_user(), file_lock(path, shared=True), pytest.raises(BlockingIOError), file_lock(path, wait=False):
        pass


def test_a_lock_that_does_not_exist_has_no_holder(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "lock")
    assert not (tmp_path / "lock").exists()
