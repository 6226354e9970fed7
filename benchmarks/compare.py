"""Compare two runs of a benchmark: `python benchmarks/compare.py OLD.json NEW.json`.

In each round, the time of lyapunov_pkg is divided by that of the yardstick (`measure.yardstick`), so that the speed and
load of the machine cancel. The noise of a run is half the interquartile range of these ratios, divided by their median.
A case counts as changed if two conditions hold: the medians of the two runs differ by more than 10%, and they differ by
more than three times the sum of the noise of both. The exit status is 1 if a case became slower.
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
"""Smallest relative change that counts, because the alignment of code and memory changes times by some percent."""
NOISES = 3
"""A change counts only if it exceeds the noise of both runs together by this factor."""


def noise(ratios: Sequence[float]) -> float:
    """Return half the interquartile range divided by the median; infinity for one round."""
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
    # A speed-up by a factor of 2 is as large a change as a slow-down by a factor of 2.
    if change > 1 + counts:
        return change, counts, "slower"
    return change, counts, "faster" if change < 1 / (1 + counts) else "same"


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[list[list[str]], bool]:
    """Return a row for each case that both records have, and whether one became slower. Changed cases come first.

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
            print(
                f"Different {name}: {old['machine'][name]} before, {new['machine'][name]} now. It may cause changes.\n"
            )
    rows, slower = compare(old, new)
    print(table(["case", "new / old", "smallest change that counts", "verdict"], rows))
    return int(slower)


if __name__ == "__main__":
    sys.exit(main())
