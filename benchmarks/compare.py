"""Comparison of two runs of a benchmark: `python benchmarks/compare.py OLD.json NEW.json`.

Each case of lyapunov_pkg is compared by its time divided by that of the yardstick (`measure.yardstick`) in the same
round, so that the speed and load of the machine cancel. The noise of a run is half the distance between the quartiles
of these ratios, divided by their median. A case counts as changed if the medians of the two runs differ by more than
10%, and by more than three times the sum of the noise of both. The exit status is 1 if a case got slower.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import record as records
from tables import table

SMALLEST_CHANGE = 0.1
"""Share of the time below which nothing counts as changed: alignment of code and memory moves times by some percent."""
NOISES = 3
"""A change counts if it is more than so many times the noise of both runs together."""


def noise(ratios: Sequence[float]) -> float:
    """Return half the distance between the quartiles divided by the median; infinity for one round."""
    if len(ratios) < 2:
        return float("inf")
    lower, middle, upper = statistics.quantiles(ratios, n=4, method="inclusive")
    return (upper - lower) / 2 / middle


def verdict(old: Sequence[float], new: Sequence[float]) -> tuple[float, float, str]:
    """Return the ratio of the new to the old median, the smallest change that counts, and "slower", "faster" or "same".

    `old` and `new` are the times divided by those of the yardstick, for each round.
    """
    change = statistics.median(new) / statistics.median(old)
    counts = max(SMALLEST_CHANGE, NOISES * (noise(old) + noise(new)))
    # A speed-up by 2 is as large a change as a slow-down by 2.
    if change > 1 + counts:
        return change, counts, "slower"
    return change, counts, "faster" if change < 1 / (1 + counts) else "same"


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[list[list[str]], bool]:
    """Return a row for each case that both records have, changed ones first, and whether one got slower.

    Raises:
        ValueError: a case has different shapes or dtypes in the records, or they have no case in common.
    """
    before = {case["name"]: case for case in old["cases"]}
    found = []
    for case in new["cases"]:
        if case["name"] not in before:
            continue
        for part in ("shapes", "dtype"):
            if case[part] != before[case["name"]][part]:
                raise ValueError(f"{case['name']}: {part} are {before[case['name']][part]} and {case[part]}")
        both = [
            records.ratios(run["contestants"], records.OURS, records.YARDSTICK) for run in (before[case["name"]], case)
        ]
        found.append((case["name"], *verdict(*both)))
    if not found:
        raise ValueError("the two records have no case in common")
    found.sort(key=lambda row: ("slower", "faster", "same").index(row[3]))
    rows = [[name, f"{change:.2f}", f"{counts:.0%}", said] for name, change, counts, said in found]
    return rows, found[0][3] == "slower"


def main() -> int:
    """Parse the command line, print a table, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    arguments = parser.parse_args()
    old, new = (records.read(path) for path in (arguments.old, arguments.new))
    for name in ("processor", "instruction_sets", "cores"):
        if old["machine"][name] != new["machine"][name]:
            print(f"Another {name}: {old['machine'][name]}, now {new['machine'][name]}. Changes may come from that.\n")
    rows, slower = compare(old, new)
    print(table(["case", "new over old", "counts from", "verdict"], rows))
    return int(slower)


if __name__ == "__main__":
    sys.exit(main())
