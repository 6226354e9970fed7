"""Definition and run of a benchmark case: first agreement, then time."""

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
        calls: {contestant: call}. `records.OURS` is the first.
        differences: function from {contestant: result} to {contestant: {quantity: largest difference from a
            reference}}. Contestants without comparable results are excluded.
        tolerances: {quantity: largest allowed difference between contestants}.
        facts: function from {contestant: result} to further entries of the case's table.
        scales: {contestant: time of the whole case divided by that of the part that its call computes}.
    """

    calls: Mapping[str, Callable[[], Any]]
    differences: Callable[[Mapping[str, Any]], dict[str, dict[str, float]]]
    tolerances: Mapping[str, float]
    facts: Callable[[Mapping[str, Any]], dict[str, Any]] = lambda results: {}
    scales: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """A case with its name, and the function that creates its contestants.

    Attributes:
        name: name for --cases.
        table: table that contains its row.
        label: label of the row.
        shapes: {name: size}.
        dtype: "float32" or "float64".
        rounds: number of rounds of the measurement.
        build: function from {name: peer} of the requested peers to the contest.
        aims: {contestant: smallest ratio of its time to ours that is the aim}.
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
    """Contestants of a case have different results, so that their times cannot be compared."""


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
    """Run cases one after the other, and return the errors of those that were not measured.

    The record is written after each case, so that an interrupted run keeps its measurements.
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
