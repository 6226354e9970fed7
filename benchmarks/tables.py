"""Markdown tables of benchmark records, and the blocks of the documentation that contain them.

    python benchmarks/tables.py          rewrites the blocks from benchmarks/results/*.json (`make benchmark-tables`)

A block stands between the lines `<!-- benchmark: NAME -->` and `<!-- end of benchmark -->`; `BLOCKS` has the names.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import record as records

HEADINGS = {
    records.OURS: "lyapunov_pkg",
    "automatic": "(a) automatic Jacobians",
    "analytic": "(b) analytic Jacobians",
    "jax": "(c) JAX scan",
    "lyapax": "(d) lyapax",
    "clvlib": "(e) clvlib",
    "module": "its module",
    "through_torch": "through PyTorch",
    "spectrum": "`lyapunov_spectrum`",
    "finite_time": "`finite_time_exponents`",
    "with_q": "with Q",
    "every_step": "QR at every step",
    "peer": "peer",
}
"""Names of the contestants in tables, in the order of the columns."""

TITLES = {
    "networks": "Stacks of sequences",
    "single": "One trajectory",
    "steps": "Your own step function",
    "finite-time": "`finite_time_exponents`",
    "covariant": "`covariant_vectors`",
    "intervals": '`orthonormalize_every="auto"`',
    "systems": "Maps and flows",
    "training": "Training",
    "gpu-training": "Training on a GPU",
    "gpu-spectra": "Spectra on a GPU",
}
COMMANDS = {name: f"python benchmarks/{name}.py" for name in ("spectrum", "training", "gpu")}
PAGES = ("README.md", "docs/engine.md")
BLOCK = re.compile(r"(<!-- benchmark: (\S+) -->\n).*?(<!-- end of benchmark -->)", flags=re.S)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def duration(seconds: float) -> str:
    """Return a time with three significant digits, such as "32.1 ms"."""
    unit, size = next(((name, size) for name, size in (("s", 1.0), ("ms", 1e-3)) if seconds >= size), ("µs", 1e-6))
    digits = 2 if seconds / size < 10 else 1 if seconds / size < 100 else 0
    return f"{seconds / size:.{digits}f} {unit}"


def ratio(case: Mapping[str, Any], name: str) -> str:
    """Return the ratio of a contestant's time to ours, as "median (smallest to largest)"; † if extrapolated."""
    found = records.ratios(case["contestants"], name, records.OURS)
    digits = 1 if statistics.median(found) >= 1 else 2
    shown = "{:.{d}f} ({:.{d}f} to {:.{d}f})".format(statistics.median(found), min(found), max(found), d=digits)
    return shown + ("†" if "scale" in case["contestants"][name] else "")


def aim(case: Mapping[str, Any]) -> str:
    """Return the aims for the ratios of a case, and whether they are reached."""
    found = []
    for name, least in case["aims"].items():
        if name in case["contestants"]:
            reached = statistics.median(records.ratios(case["contestants"], name, records.OURS)) >= least
            found.append(f"{HEADINGS[name]} at least {least:.2g}: {'reached' if reached else 'missed'}")
    return ", ".join(found)


def difference(case: Mapping[str, Any], name: str) -> str:
    """Return the differences of a contestant from the reference, such as "1e-06 / 2e-04"."""
    return " / ".join(f"{value:.0e}" for value in case["contestants"].get(name, {}).get("differences", {}).values())


def speed(record: Mapping[str, Any], of_cases: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of times: our times, and those of the others divided by ours."""
    others = [name for name in HEADINGS if name != records.OURS and any(name in c["contestants"] for c in of_cases)]
    facts = list(dict.fromkeys(name for case in of_cases for name in case["facts"] if name != "operations"))
    has_rate = all("operations" in case["facts"] for case in of_cases) and "product_rate" in record["facts"]
    has_aims = any(case["aims"] for case in of_cases)
    has_exponents = any("exponents" in case["shapes"] for case in of_cases)
    header = ["case"] + ["exponents"] * has_exponents + ["dtype", HEADINGS[records.OURS], "largest difference"]
    header += ["of the product rate"] * has_rate + [HEADINGS[name] for name in others] + facts + ["aim"] * has_aims
    rows = []
    for case in of_cases:
        median = case["contestants"][records.OURS]["seconds"]["median"]
        row = [case["label"]] + [str(case["shapes"].get("exponents", ""))] * has_exponents
        row += [case["dtype"], duration(median), difference(case, records.OURS)]
        if has_rate:
            row.append(f"{case['facts']['operations'] / median / record['facts']['product_rate']:.0%}")
        row += [ratio(case, name) if name in case["contestants"] else "" for name in others]
        row += [str(case["facts"].get(name, "")) for name in facts]
        rows.append(row + [aim(case)] * has_aims)
    return table(header, rows)


def agreement(of_cases: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of the largest differences from the reference, and of the extra time of first calls."""
    names = [name for name in HEADINGS if any(name in case["contestants"] for case in of_cases)]
    rows = []
    for case in of_cases:
        row = [case["name"]]
        for name in names:
            contestant = case["contestants"].get(name)
            if contestant is None:
                row.append("")
                continue
            first = max(0.0, contestant["first_call"] - contestant["seconds"]["median"])
            row.append(", ".join(filter(None, [difference(case, name), f"{first:.1f} s"])))
        rows.append(row)
    return table(["case", *(HEADINGS[name] for name in names)], rows)


def source(record: Mapping[str, Any]) -> str:
    """Return sentences about the command, machine, date and commit of the numbers."""
    machine, found = record["machine"], record["versions"]
    n_cores, rounds = machine["cores"], sorted({case["rounds"] for case in record["cases"]})
    where = f"{n_cores} core{'s' * (n_cores > 1)} of {machine['processor']} ({', '.join(machine['instruction_sets'])})"
    if machine["load_before"] is not None:
        where += f", load average {machine['load_before']} before the run"
    if machine["gpu"] is not None and record["benchmark"] == "gpu":
        where = f"{machine['gpu']}, {where}"
    shown = ("torch", "numba", "jax", "lyapax", "clvlib")
    software = ", ".join([f"Python {found['python']}", *(f"{name} {found[name]}" for name in shown if name in found)])
    dirty = " with uncommitted changes" if record["dirty"] else ""
    n_rounds = f"{rounds[0]} to {rounds[-1]}" if len(rounds) > 1 else str(rounds[0])
    what = f"`{COMMANDS[record['benchmark']]}`, commit {record['commit']}{dirty}, {record['date']}"
    return f"{what}.\n{where}.\n{software}.\nMedians of {n_rounds} interleaved rounds, with the extremes in brackets."


def cases_of(record: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the cases of a table.

    Raises:
        ValueError: there are none.
    """
    found = [case for case in record["cases"] if case["table"] == name]
    if not found:
        raise ValueError(f"the record of {record['benchmark']} has no case of table {name!r}: run all cases")
    return found


def report(record: Mapping[str, Any]) -> str:
    """Return all tables of a run."""
    if record["benchmark"] == "gpu":
        return gpu(record)
    found = [source(record)]
    for name, title in TITLES.items():
        of_cases = [case for case in record["cases"] if case["table"] == name]
        if of_cases:
            found += [f"### {title}", speed(record, of_cases)]
    found += ["### Agreement, and how much longer the first call took", agreement(record["cases"])]
    return "\n\n".join(found)


def conclude(record: Mapping[str, Any], failures: Sequence[str], output: Path) -> int:
    """Print the tables of a run and its errors, and return the exit status."""
    if record["cases"]:
        print(f"{report(record)}\n\nWritten to {output}.")
    for failure in failures:
        print(f"Not measured: {failure}")
    return int(bool(failures))


def speed_block(record: Mapping[str, Any], name: str) -> str:
    """Return a table of times by name, and its source."""
    return f"{source(record)}\n\n{speed(record, cases_of(record, name))}"


def overview(record: Mapping[str, Any]) -> str:
    """Return the short table of the first page: LSTMs, and how much longer the peers take."""
    peers, rows = ("analytic", "jax", "lyapax", "clvlib"), []
    for case in cases_of(record, "networks"):
        if not case["name"].startswith("lstm-") or "gain" in case["name"]:
            continue
        row = [case["label"], str(case["shapes"]["exponents"])]
        row.append(duration(case["contestants"][records.OURS]["seconds"]["median"]))
        for name in peers:
            found = records.ratios(case["contestants"], name, records.OURS) if name in case["contestants"] else []
            row.append(f"{statistics.median(found):.1f} ×" if found else "")
        rows.append(row)
    header = ["units × sequences × steps", "exponents", "lyapunov_pkg", *(HEADINGS[name] for name in peers)]
    return f"{source(record)}\n\n{table(header, rows)}"


def gpu(record: Mapping[str, Any]) -> str:
    """Return the tables of training and spectra on a GPU, with each architecture's part of the study and the sum."""
    has_gpu, found = record["machine"]["gpu"] is not None, [source(record)]
    for name in ("gpu-training", "gpu-spectra"):
        of_cases = cases_of(record, name)
        counted = [fact for fact in of_cases[0]["facts"] if fact != "share"]
        rows, total = [], 0.0
        for case in of_cases:
            median = case["contestants"][records.OURS]["seconds"]["median"]
            whole = median / case["facts"]["share"]
            total += whole
            row = [case["label"], difference(case, records.OURS), duration(median)]
            row += [str(case["facts"][fact]) for fact in counted]
            rows.append(row + [f"{whole / 60:.1f} min"] * has_gpu)
        header = [TITLES[name], "largest difference", "time", *counted] + ["part of the study"] * has_gpu
        found += [table(header, rows)] + [f"All of these: {total / 60:.1f} min."] * has_gpu
    return "\n\n".join(found)


def not_measured(benchmark: str) -> str:
    """Return the text in place of a table without a committed record."""
    command = f"{COMMANDS[benchmark]} --output benchmarks/results/{benchmark}.json"
    return f"Not measured yet: `{command}`, then `make benchmark-tables`."


BLOCKS: dict[str, tuple[str, Callable[[Mapping[str, Any]], str]]] = {
    "overview": ("spectrum", overview),
    "gpu": ("gpu", gpu),
    "training": ("training", partial(speed_block, name="training")),
} | {
    name: ("spectrum", partial(speed_block, name=name))
    for name in ("networks", "single", "steps", "finite-time", "covariant", "intervals", "systems")
}
"""{name of a block: (benchmark of its record, function that writes it)}."""


def committed(folder: Path = records.RESULTS) -> dict[str, dict[str, Any]]:
    """Return the committed records by benchmark."""
    return {path.stem: records.read(path) for path in sorted(folder.glob("*.json"))}


def rewritten(text: str, read: Mapping[str, Any]) -> str:
    """Return a page with its blocks rewritten from records.

    A block without a committed record says so, and gives the command to create it.

    Raises:
        ValueError: there is no such block, or its record does not have all cases of its table.
    """

    def block(match: re.Match[str]) -> str:
        name = match.group(2)
        if name not in BLOCKS:
            raise ValueError(f"benchmark: got {name!r}, expected one of {list(BLOCKS)}")
        benchmark, write = BLOCKS[name]
        made = write(read[benchmark]) if benchmark in read else not_measured(benchmark)
        return f"{match.group(1)}{made}\n{match.group(3)}"

    return BLOCK.sub(block, text)


def main() -> None:
    """Rewrite the blocks of all pages."""
    read = committed()
    for page in PAGES:
        path = records.ROOT / page
        text = path.read_text()
        changed = rewritten(text, read)
        if changed != text:
            path.write_text(changed)
            print(f"{page}: rewritten")


if __name__ == "__main__":
    main()
