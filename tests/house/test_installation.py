"""The wheel from `pip install .` works in an environment that has only the base dependencies."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from lyapunov_pkg.version import package_version
from tests.house.base_dependencies import ROOT, base_requirements, required_distributions
from tests.house.documentation import python_blocks

SOURCES = ("pyproject.toml", "README.md", "LICENSE", "lyapunov_pkg")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of this repository in a separate folder and return its path."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, folder / name)
    run(
        sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", ".", ".", cwd=folder
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def fresh_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of a new environment that has the wheel and a link to the base dependencies."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True, with_pip=False)
    python = folder / "bin" / "python"
    (packages,) = folder.glob("lib/python*/site-packages")
    for found in required_distributions(base_requirements()).values():
        for name in {Path(file).parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            if not (packages / name).exists():
                (packages / name).symlink_to(Path(str(found.locate_file(name))))
    command = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    run(sys.executable, *command, "--target", str(packages), str(wheel), cwd=folder)
    # Machine code depends on the contents of the sources, so what other tests have compiled saves 20 seconds here.
    for kernel in (ROOT / "lyapunov_pkg").rglob("*.nb[ic]"):
        copy = packages / kernel.relative_to(ROOT)
        copy.parent.mkdir(exist_ok=True)
        shutil.copy2(kernel, copy)
    return python


def run(*command: str, cwd: Path) -> str:
    """Run a command without this repository on the path and return its output."""
    variables = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "NUMBA_CACHE_DIR"}}
    result = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_first_example_of_the_readme_runs_in_a_fresh_environment(fresh_python: Path, tmp_path: Path) -> None:
    example = python_blocks(ROOT / "README.md")[0]
    (tmp_path / "example.py").write_text(example)
    assert "lyapunov_spectrum" in example
    printed = run(str(fresh_python), "example.py", cwd=tmp_path)
    assert printed.strip()


def test_the_fresh_environment_has_this_package_and_no_extra(fresh_python: Path, tmp_path: Path) -> None:
    lines = ["import importlib.util, lyapunov_pkg, lyapunov_pkg.version as v", "print(lyapunov_pkg.__file__)"]
    lines += ["print(v.package_version())", "print([importlib.util.find_spec(n) for n in ('zarr', 'sklearn', 'yaml')])"]
    where, version, extras = run(str(fresh_python), "-c", "\n".join(lines), cwd=tmp_path).splitlines()
    assert Path(where).is_relative_to(fresh_python.parents[1])
    assert version == package_version()
    assert extras == "[None, None, None]"


def test_the_wheel_is_marked_as_typed(fresh_python: Path) -> None:
    (marker,) = fresh_python.parents[1].glob("lib/python*/site-packages/lyapunov_pkg/py.typed")
    assert marker.is_file()
