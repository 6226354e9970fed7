"""Records of benchmark runs as JSON files. Only this module reads and writes them.

A record is a dictionary:

- `benchmark`: the name of the program;
- `date`, `commit`, `dirty`: when, and of which commit; whether tracked files differed from it;
- `machine`, `versions`: see `measure.machine` and `measure.versions`;
- `facts`: what else was measured once in the run, by name;
- `cases`: a list of dictionaries, of each case
    - `name`, `table`, `label`: as --cases selects it, and the table and the row in which it is shown;
    - `shapes`, `dtype`, `rounds`;
    - `aims`: by contestant, what the ratio of its time to ours is to be at least;
    - `facts`: numbers or texts that its table shows;
    - `contestants`: by name, see `of_timing`. `OURS` is what the case is about.
"""

from __future__ import annotations

import datetime
import json
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import measure

OURS = "lyapunov_pkg"
YARDSTICK = "yardstick"
"""Name of the contestant that is `measure.yardstick`."""
ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
"""The records that are committed, NAME.json of benchmark NAME; tables of the documentation are made from them."""


def of_timing(timing: measure.Timing, differences: Mapping[str, float], scale: float = 1.0) -> dict[str, Any]:
    """Return the record of a contestant.

    `seconds` has median, minimum and maximum, and `rounds`, each call's. `scale` is the time of the whole case over
    that of the part that was timed. `differences` are the largest ones from the reference of the case.
    """
    rounds = [float(f"{seconds:.4g}") for seconds in timing.seconds]
    extremes = {"median": statistics.median(rounds), "minimum": min(rounds), "maximum": max(rounds)}
    found = {"seconds": extremes | {"rounds": rounds}, "first_call": float(f"{timing.first_call:.3g}")}
    shown = {name: float(f"{difference:.2g}") for name, difference in differences.items()}
    return found | ({"scale": scale} if scale != 1 else {}) | ({"differences": shown} if shown else {})


def ratios(contestants: Mapping[str, Any], name: str, to: str) -> list[float]:
    """Return the time of one contestant divided by that of another, for each round."""
    times = []
    for contestant in (contestants[name], contestants[to]):
        times.append([contestant.get("scale", 1.0) * seconds for seconds in contestant["seconds"]["rounds"]])
    return [a / b for a, b in zip(*times, strict=True)]


def new(benchmark: str, n_cores: int, packages: Sequence[str]) -> dict[str, Any]:
    """Return the record of a run that begins now, without cases."""
    return {
        "benchmark": benchmark,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": _git("rev-parse", "--short=10", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "machine": measure.machine(n_cores),
        "versions": measure.versions(packages),
        "facts": {},
        "cases": [],
    }


def write(record: Mapping[str, Any], path: Path) -> None:
    """Write a record with one line per case, so that a change of a case is a change of one line."""
    head = json.dumps({name: value for name, value in record.items() if name != "cases"}, indent=1)
    cases = ",\n".join("  " + json.dumps(case, ensure_ascii=False) for case in record["cases"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{head[:-2]},\n "cases": [\n{cases}\n ]\n}}\n')


def read(path: Path) -> dict[str, Any]:
    """Return a record.

    Raises:
        ValueError: the file is not one.
    """
    try:
        record = json.loads(path.read_text())
        assert record["cases"]
    except (json.JSONDecodeError, KeyError, TypeError, AssertionError) as error:
        raise ValueError(f"{path}: expected the record of a benchmark with at least one case") from error
    return record


def _git(*arguments: str) -> str | None:
    """Return the output of git, or None if this is not a repository or there is no git."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
