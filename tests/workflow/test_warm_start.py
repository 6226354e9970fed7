"""Jobs that are forks of one process, in the real Snakemake."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SNAKEFILE = """
from snakemake.script import PythonScript

from lyapunov_pkg.workflow.warm_start import start_scripts_warm

if workflow.is_main_process:
    start_scripts_warm(PythonScript, lambda: ["decimal", "broken", "missing"])

rule all:
    input: "one.json", "two.json", "threaded.json"

rule one:
    output: "one.json"
    script: "script.py"

rule two:
    output: "two.json"
    script: "script.py"

rule threaded:
    output: "threaded.json"
    threads: 2
    script: "script.py"

rule many:
    input: expand("many/{number}.json", number=range(100))

rule one_of_many:
    output: "many/{number}.json"
    script: "script.py"

rule fails:
    output: "failed"
    script: "fails.py"

rule broken:
    output: "broken"
    script: "imports_broken.py"
"""
SCRIPT = """
import json, os, pathlib, sys, tempfile
found = dict(
    preloaded="decimal" in sys.modules, process=os.getpid(), parent=os.getppid(), temporary=tempfile.gettempdir(),
    asked=snakemake.resources.tmpdir, threads=os.environ["OMP_NUM_THREADS"], name=__name__, folder=os.getcwd(),
    read=sys.stdin.read(),
)
pathlib.Path(snakemake.output[0]).write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished workflow whose scripts report how they ran."""
    folder = tmp_path_factory.mktemp("warm")
    (folder / "Snakefile").write_text(SNAKEFILE)
    (folder / "script.py").write_text(SCRIPT)
    (folder / "fails.py").write_text("print('reached'); raise SystemExit('what is wrong')")
    (folder / "imports_broken.py").write_text("import broken")
    (folder / "broken.py").write_text("1 / 0")
    result = snakemake(folder)
    assert result.returncode == 0, result.stderr
    return folder


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def said(folder: Path, name: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((folder / f"{name}.json").read_text())
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="jobs start as ever")
def test_jobs_are_separate_processes_with_shared_imports(folder: Path) -> None:
    one, two = said(folder, "one"), said(folder, "two")
    assert one["preloaded"] and two["preloaded"]
    assert one["parent"] == two["parent"] and one["process"] != two["process"]


def test_scripts_get_snakemakes_variables(folder: Path) -> None:
    for name, threads in {"one": "1", "two": "1", "threaded": "2"}.items():
        found = said(folder, name)
        assert found["temporary"] == found["asked"] and found["threads"] == threads
        assert found["name"] == "__main__" and found["folder"] == str(folder) and found["read"] == ""


def test_jobs_with_threads_start_in_the_usual_way(folder: Path) -> None:
    assert not said(folder, "threaded")["preloaded"]


def test_jobs_that_end_at_the_same_time_all_succeed(folder: Path) -> None:
    result = snakemake(folder, "--cores", "16", "many")
    assert result.returncode == 0, result.stderr
    assert len(list((folder / "many").iterdir())) == 100


@pytest.mark.parametrize(("target", "why"), [("failed", "what is wrong"), ("broken", "ZeroDivisionError")])
def test_a_failing_script_gives_its_reason_and_fails_its_job(folder: Path, target: str, why: str) -> None:
    result = snakemake(folder, target)
    assert result.returncode == 1
    assert why in result.stderr and "non-zero exit status 1" in result.stderr
    assert not (folder / target).exists()


def test_jobs_run_without_a_server_if_it_cannot_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = folder / ("x" * 100)  # The path is longer than the path of a socket may be.
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    assert snakemake(folder, "--force", "one.json").returncode == 0
    assert not said(folder, "one")["preloaded"]
