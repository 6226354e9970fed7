"""The expected cost of a run: the jobs that Snakemake plans, and a table of their costs by rule.

`lyapunov_pkg.reproduction.costs` computes the cost of a job.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

HEADINGS = ("rule", "jobs", "core hours", "longest [min]", "asked", "memory [MB]", "asked", "disk [GB]")


@dataclass(frozen=True)
class Job:
    """A job that Snakemake plans.

    Attributes:
        rule: name of its rule.
        wildcards: {name: value}.
    """

    rule: str
    wildcards: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """The cost of a job.

    Attributes:
        seconds: time on one core.
        memory: largest memory, MB.
        disk: size of its output files, MB.
    """

    seconds: float
    memory: float
    disk: float


@dataclass(frozen=True)
class Asked:
    """The resources that jobs of a rule request from a cluster.

    Attributes:
        minutes: longest time.
        memory: MB.
    """

    minutes: int
    memory: int


def planned_jobs(dry_run: str) -> list[Job]:
    """Return the jobs that a dry run of Snakemake announces, without those of target rules, which create nothing.

    Example:
        >>> planned_jobs("rule train:\\n    output: a\\n    wildcards: study=s, shard=0\\n\\nrule all:\\n    input: a")
        [Job(rule='train', wildcards={'study': 's', 'shard': '0'})]
    """
    jobs = []
    for block in re.split(r"^(?:local)?rule ", dry_run, flags=re.M)[1:]:
        name = block[: block.index(":")]
        values = dict(re.findall(r"^    (\w+): (.*)$", block, flags=re.M))
        if "output" in values:
            pairs = (pair.split("=", 1) for pair in values.get("wildcards", "").split(", ") if pair)
            jobs.append(Job(name, {key: value for key, value in pairs}))
    return jobs


def price_table(costs: Iterable[tuple[str, Cost]], asked: Mapping[str, Asked]) -> str:
    """Return a table of the costs of jobs, with a line for each rule and one for the total.

    `costs` are pairs of a rule and the cost of one of its jobs. If the longest or the largest job of a rule exceeds the
    resources that its jobs request, a line below the table says so.
    """
    by_rule: dict[str, list[Cost]] = {}
    for rule, cost in costs:
        by_rule.setdefault(rule, []).append(cost)
    rows: list[tuple[str, ...]] = [HEADINGS]
    notes = []
    for rule, own in sorted(by_rule.items(), key=lambda item: -sum(cost.seconds for cost in item[1])):
        limit = asked[rule]
        rows.append((rule, *_numbers(own, str(limit.minutes), str(limit.memory))))
        if max(cost.seconds for cost in own) > 60 * limit.minutes:
            notes.append(f"the longest job of {rule} needs more than resources.{rule}.minutes: smaller shards, or more")
        if max(cost.memory for cost in own) > limit.memory:
            notes.append(f"the largest job of {rule} needs more than resources.{rule}.memory: smaller shards, or more")
    everything = [cost for own in by_rule.values() for cost in own]
    if everything:
        rows.append(("total", *_numbers(everything, "", "")))
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = [
        "  ".join(cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(cells))
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    return "\n".join([*lines, *notes])


def _numbers(costs: list[Cost], minutes: str, memory: str) -> tuple[str, ...]:
    """Return the cells of a row after its name."""
    hours = sum(cost.seconds for cost in costs) / 3600
    longest, largest = max(cost.seconds for cost in costs) / 60, max(cost.memory for cost in costs)
    disk = sum(cost.disk for cost in costs) / 1000
    return f"{len(costs)}", f"{hours:,.2f}", f"{longest:,.1f}", minutes, f"{largest:,.0f}", memory, f"{disk:,.2f}"
