"""What a case of a benchmark is, and how it is run: agreement first, then time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import measure
import record as records


@dataclass(frozen=True)
class Contest:
    """The computations that a case compares.

    Attributes:
        calls: by contestant. `records.OURS` is one of them, and the first.
        differences: from the results by contestant, returns the largest differences from a reference, by contestant and
            by what is compared. Contestants that return nothing comparable are left out.
        tolerances: by what is compared, the difference from which on contestants do not compute the same.
        facts: from the results by contestant, returns what the case's table shows besides.
        scales: by contestant, the time of the whole case over that of the part that its call computes.
    """

    calls: Mapping[str, Callable[[], Any]]
    differences: Callable[[Mapping[str, Any]], dict[str, dict[str, float]]]
    tolerances: Mapping[str, float]
    facts: Callable[[Mapping[str, Any]], dict[str, Any]] = lambda results: {}
    scales: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """A case by its name, and how its contestants are made.

    Attributes:
        name: as --cases selects it.
        table: the table that it is a row of.
        label: what the row says.
        shapes: sizes by name.
        dtype: "float32" or "float64".
        rounds: of the measurement.
        build: from the peers that are asked for, by name, returns the contest.
        aims: by contestant, what the ratio of its time to ours is to be at least.
    """

    name: str
    table: str
    label: str
    shapes: Mapping[str, int | str]
    dtype: str
    rounds: int
    build: Callable[[Mapping[str, Any]], Contest]
    aims: Mapping[str, float] = field(default_factory=dict)


class DisagreementError(Exception):
    """Contestants of a case do not compute the same, so that their times cannot be compared."""


def run(case: Case, peers: Mapping[str, Any]) -> dict[str, Any]:
    """Check that all contestants agree, time them in turn, and return the record of the case.

    Raises:
        DisagreementError: a result differs by more than the tolerance of the case.
    """
    contest = case.build(peers)
    yardstick = {records.YARDSTICK: measure.yardstick()}
    timings = measure.first_calls({**contest.calls, **yardstick})
    results = {name: timings[name].result for name in contest.calls}
    differences = contest.differences(results)
    for name, found in differences.items():
        for what, difference in found.items():
            # The negation also finds NaN.
            if not difference <= contest.tolerances[what]:
                raise DisagreementError(
                    f"{case.name}: {name} differs from the reference by {difference:.1e} ({what}), "
                    f"expected at most {contest.tolerances[what]:.0e}"
                )
    facts = contest.facts(results)
    measure.take_turns({**contest.calls, **yardstick}, timings, case.rounds)
    contestants = {
        name: records.of_timing(timing, differences.get(name, {}), contest.scales.get(name, 1.0))
        for name, timing in timings.items()
    }
    return {
        "name": case.name,
        "table": case.table,
        "label": case.label,
        "shapes": dict(case.shapes),
        "dtype": case.dtype,
        "rounds": case.rounds,
        "aims": dict(case.aims),
        "facts": facts,
        "contestants": contestants,
    }


def run_all(cases: list[Case], peers: Mapping[str, Any], record: dict[str, Any], path: Path) -> list[str]:
    """Run cases one after the other; return what was wrong with those that were not measured.

    The record is written after each case, so that an interrupted run leaves what it measured.
    """
    failures = []
    for case in cases:
        print(f"{case.name}:", file=sys.stderr, flush=True)
        try:
            record["cases"].append(run(case, peers))
        except DisagreementError as error:
            failures.append(str(error))
            print(error, file=sys.stderr, flush=True)
            continue
        records.write(record, path)
    return failures
