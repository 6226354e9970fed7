"""Compiled kernels work with a cache that is not writable, is full, or is damaged.

Each program runs in a process of its own and calls two small kernels from a separate folder.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from lyapunov_pkg.linalg import compilation

KERNELS = """
from compilation import compiled

@compiled
def twice(x):
    return 2 * x

@compiled
def twice_and_one(x):
    return twice(x) + 1
"""

# The program loads the module of the library directly for each folder, because importing PyTorch takes longest.
PROGRAM = f"""
import importlib.util, json, sys, warnings

def load(name, file):
    spec = importlib.util.spec_from_file_location(name, file)
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

found = []
for folder in sys.argv[1:]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load("compilation", {compilation.__file__!r})
        kernels = load("kernels", folder + "/kernels.py")
        results = [kernels.twice(2.5), kernels.twice_and_one(3.0)]
    hits = sum(sum(kernel.stats.cache_hits.values()) for kernel in (kernels.twice, kernels.twice_and_one))
    found.append({{"results": results, "warnings": [str(w.message) for w in caught], "hits": hits}})
print(json.dumps(found))
"""

DAC_OVERRIDE, PR_CAPBSET_DROP = 1, 24


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    package = tmp_path / "package"
    package.mkdir()
    (package / "kernels.py").write_text(KERNELS)
    return package


def run_all(
    folders: Sequence[Path], before: Callable[[], None] | None = None, **environment: str
) -> list[dict[str, Any]]:
    """Call the kernels of these folders in one process; return results, warnings, and cache hits of each folder."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, folders)],
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "NUMBA_CACHE_DIR": ""} | environment,
        preexec_fn=before,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    assert all(of_folder["results"] == [5.0, 7.0] for of_folder in found)
    return found


def run(folder: Path, before: Callable[[], None] | None = None, **environment: str) -> dict[str, Any]:
    return run_all([folder], before, **environment)[0]


def cache_files(folder: Path, suffix: str) -> list[Path]:
    files = sorted(folder.rglob(f"*{suffix}"))
    assert files
    return files


def test_machine_code_is_reused_until_a_source_changes(folder):
    first, second = run_all([folder, folder])
    assert first["hits"] == 0 and second == {"results": [5.0, 7.0], "warnings": [], "hits": 2}
    (folder / "other.py").write_text("inlined = 1\n")
    first, second = run_all([folder, folder])
    assert first["hits"] == 0 and second["hits"] == 2


def test_a_change_of_a_listed_source_file_counts(tmp_path):
    source = tmp_path / "source.py"
    source.write_text("a = 1\n")
    before = compilation.contents_of(tmp_path / "source.py")
    compilation.contents_of.cache_clear()
    source.write_text("a = 2\n")
    assert compilation.contents_of(source) != before
    assert compilation.compiled(lambda x: x + 1, sources=[source], error_model="numpy")(2) == 3


def without_a_home(folder: Path) -> dict[str, str]:
    """Set the home and cache folders to the path of a file, so that no folder can be created there."""
    not_a_folder = folder / "kernels.py"
    return {"HOME": str(not_a_folder), "XDG_CACHE_HOME": str(not_a_folder)}


def test_warns_if_no_cache_folder_is_writable(folder):
    (folder / "__pycache__").touch()
    found = run(folder, **without_a_home(folder))
    (warning,) = found["warnings"]
    assert "cannot be stored on disk" in warning and "NUMBA_CACHE_DIR" in warning
    elsewhere = folder.parent / "elsewhere"
    first, second = run_all([folder, folder], **without_a_home(folder), NUMBA_CACHE_DIR=str(elsewhere))
    assert first["warnings"] == second["warnings"] == [] and second["hits"] == 2


def test_a_cache_folder_that_cannot_be_created(folder):
    """The kernels use the next location instead, which is the folder of the source."""
    cache_dir = "/proc/nothing/here"
    first, second = run_all([folder, folder], NUMBA_CACHE_DIR=cache_dir)
    assert first["warnings"] == second["warnings"] == [] and second["hits"] == 2
    (folder / "__pycache__").rename(folder / "moved")
    (folder / "__pycache__").touch()
    assert len(run(folder, **without_a_home(folder), NUMBA_CACHE_DIR=cache_dir)["warnings"]) == 1


def test_read_only_folders(folder):
    def obey_permissions() -> None:
        """Drop the superuser's permission to write everywhere, in case the superuser runs the test."""
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, DAC_OVERRIDE, 0, 0, 0)

    (folder / "__pycache__").mkdir()
    home = folder / "home"
    home.mkdir()
    for place in (folder / "__pycache__", home, folder):
        place.chmod(0o555)
    try:
        found = run(folder, obey_permissions, HOME=str(home), XDG_CACHE_HOME=str(home / "cache"))
    finally:
        for place in (folder, home, folder / "__pycache__"):
            place.chmod(0o755)
    assert len(found["warnings"]) == 1
    assert not any((folder / "__pycache__").iterdir()) and not any(home.iterdir())


def test_a_full_disk(folder):
    def allow_no_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    found = run(folder, allow_no_files)
    (warning,) = found["warnings"]
    assert "cannot be stored" in warning and "__pycache__" in warning
    assert run(folder)["warnings"] == []


def empty(content: bytes) -> bytes:
    return b""


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def garbage(content: bytes) -> bytes:
    return b"\x80\x05garbage" * 20


def flipped(content: bytes) -> bytes:
    """Flip one bit in the middle; in a data file this changes the machine code."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 16]) + content[middle + 1 :]


def test_damaged_files_are_discarded_and_recreated(folder, tmp_path):
    run(folder)
    cases = list(product((empty, truncated, garbage, flipped), (".nbi", ".nbc")))
    copies = [Path(shutil.copytree(folder, tmp_path / f"{damage.__name__}{suffix}")) for damage, suffix in cases]
    for (damage, suffix), copy in zip(cases, copies, strict=True):
        for file in cache_files(copy, suffix):
            file.write_bytes(damage(file.read_bytes()))
    for (damage, suffix), found in zip(cases, run_all(copies), strict=True):
        assert found["hits"] == 0
        # A flipped bit can leave a readable index that contains no entry, which does not count as damage.
        assert len(found["warnings"]) == 1 or (damage is flipped and suffix == ".nbi" and not found["warnings"])
        assert all("damaged" in warning for warning in found["warnings"])
    for found in run_all(copies):
        assert found["hits"] == 2 and found["warnings"] == []


def test_damaged_files_that_cannot_be_removed(folder):
    """A folder replaces the index, so the index can neither be read nor removed as a file."""
    run(folder)
    for file in cache_files(folder, ".nbi"):
        file.unlink()
        file.mkdir()
    assert [len(found["warnings"]) for found in run_all([folder, folder])] == [1, 1]
