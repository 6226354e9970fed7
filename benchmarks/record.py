"""Records of benchmark runs as JSON files. Only this module reads and writes them.

A record is a dictionary:

- `benchmark`: name of the program;
- `date`, `commit`, `dirty`: time of the run, commit, and whether tracked files had uncommitted changes;
- `machine`, `versions`: see `measure.machine` and `measure.versions`;
- `facts`: quantities that were measured once in the run, by name;
- `cases`: a list of dictionaries, one for each case
    - `name`, `table`, `label`: name for --cases, and the table and row that show the case;
    - `shapes`, `dtype`, `rounds`;
    - `aims`: smallest intended ratio of the time of a contestant to ours, by contestant;
    - `facts`: numbers or texts that the table shows;
    - `contestants`: by name, see `of_timing`. `OURS` is lyapunov_pkg.
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
"""Name of the contestant `measure.yardstick`."""
ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
"""Folder of the committed records, NAME.json for benchmark NAME, which are the source of the documentation's tables."""


def of_timing(timing: measure.Timing, differences: Mapping[str, float], scale: float = 1.0) -> dict[str, Any]:
    """Return the record of a contestant.

    `seconds` has the median, the minimum, the maximum, and `rounds`, the time of each call. `scale` is the time of the
    whole case divided by that of the timed part. `differences` are the largest differences from the reference of the
    case.
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
    """Return the record of a new run, without cases."""
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
    """Write a record with one line per case, so that the diff of a changed case has one line."""
    head = json.dumps({name: value for name, value in record.items() if name != "cases"}, indent=1)
    cases = ",\n".join("  " + json.dumps(case, ensure_ascii=False) for case in record["cases"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{head[:-2]},\n "cases": [\n{cases}\n ]\n}}\n')


def read(path: Path) -> dict[str, Any]:
    """Return a record.

    Raises:
        ValueError: the file is not a record.
    """
    try:
        record = json.loads(path.read_text())
        assert record["cases"]
    except (json.JSONDecodeError, KeyError, TypeError, AssertionError) as error:
        raise ValueError(f"{path}: expected the record of a benchmark with at least one case") from error
    return record


def _git(*arguments: str) -> str | None:
    """Return the output of git, or None outside of a repository or without git."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
