"""Records of benchmarks, comparisons of two runs by `compare.py`, and tables of the documentation from records."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MACHINE = {"processor": "P", "instruction_sets": ["avx2"], "cores": 2, "load_before": 0.1, "gpu": None}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import cases
    import compare
    import measure
    import record
    import tables

    return SimpleNamespace(cases=cases, compare=compare, measure=measure, record=record, tables=tables)


def contestant(rounds: list[float], **more) -> dict:
    seconds = {"median": float(np.median(rounds)), "minimum": min(rounds), "maximum": max(rounds), "rounds": rounds}
    return {"seconds": seconds, "first_call": 9.0} | more


def case(name: str, ours: list[float], yardstick: list[float], **others: dict) -> dict:
    contestants = {"lyapunov_pkg": contestant(ours, differences={"all": 1e-6}), "yardstick": contestant(yardstick)}
    return {
        "name": name,
        "table": "single",
        "label": f"the {name}",
        "shapes": {"steps": 5, "exponents": 3},
        "dtype": "float32",
        "rounds": len(ours),
        "aims": {"jax": 2.0},
        "facts": {},
        "contestants": contestants | others,
    }


def run(*cases: dict) -> dict:
    found = {"benchmark": "spectrum", "date": "2000-01-01", "commit": "abc", "dirty": False, "machine": MACHINE}
    versions = {"python": "3", "torch": "2", "numba": "0"}
    return found | {"versions": versions, "facts": {}, "cases": list(cases)}


def test_programs_alternate_after_their_first_calls(bench) -> None:
    order: list[str] = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    timings = bench.measure.first_calls(calls)
    bench.measure.take_turns(calls, timings, rounds=2)
    assert "".join(order) == "ab" * 3  # The first round is not counted.
    assert [len(timings[name].seconds) for name in "ab"] == [2, 2]


def test_a_case_is_timed_only_if_its_programs_agree(bench) -> None:
    calls = {"lyapunov_pkg": lambda: 1.0, "jax": lambda: 1.5}

    def built(peers) -> object:
        differences = lambda results: {"jax": {"all": abs(results["jax"] - results["lyapunov_pkg"])}}  # noqa: E731
        return bench.cases.Contest(calls, differences, {"all": peers["tolerance"]})

    tried = bench.cases.Case("x", "single", "an x", {"steps": 1}, "float64", 3, built, {"jax": 0.5})
    found = bench.cases.run(tried, {"tolerance": 1.0})
    assert found["contestants"]["jax"]["differences"] == {"all": 0.5}
    assert len(found["contestants"]["yardstick"]["seconds"]["rounds"]) == 3
    with pytest.raises(bench.cases.DisagreementError, match=r"x: jax differs .* 5\.0e-01 \(all\)"):
        bench.cases.run(tried, {"tolerance": 0.4})
    calls["jax"] = lambda: float("nan")
    with pytest.raises(bench.cases.DisagreementError):
        bench.cases.run(tried, {"tolerance": 1.0})


def test_a_run_keeps_agreeing_cases_and_reports_the_others(bench, tmp_path: Path) -> None:
    def built(difference: float):
        return lambda peers: bench.cases.Contest(
            {"lyapunov_pkg": int}, lambda r: {"lyapunov_pkg": {"d": difference}}, {"d": 1}
        )

    tried = [bench.cases.Case(str(d), "single", "", {}, "float64", 1, built(d)) for d in (2, 0)]
    record, path = run(), tmp_path / "run.json"
    (failure,) = bench.cases.run_all(tried, {}, record, path)
    assert failure.startswith("2: lyapunov_pkg differs")
    assert [case["name"] for case in bench.record.read(path)["cases"]] == ["0"]


def test_a_written_record_is_read_back_unchanged(bench, tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "run.json"
    record = run(case("a", [1.0, 2.0], [1.0, 1.0]), case("b", [1.0], [1.0]))
    bench.record.write(record, path)
    assert bench.record.read(path) == record == json.loads(path.read_text())
    path.write_text("{}")
    with pytest.raises(ValueError, match="expected the record of a benchmark"):
        bench.record.read(path)


def test_a_new_record_names_its_machine(bench) -> None:
    found = bench.record.new("spectrum", 2, ["numpy", "no-such-package"])
    assert found["versions"]["numpy"] == np.__version__
    assert "no-such-package" not in found["versions"]
    assert found["machine"]["cores"] == 2
    assert found["machine"]["processor"]


@pytest.mark.parametrize(
    ("factor", "spread", "expected"),
    [(1.0, 0.01, "same"), (1.05, 0.001, "same"), (1.5, 0.01, "slower"), (1 / 1.5, 0.01, "faster"), (1.5, 0.5, "same")],
)
def test_a_change_counts_only_beyond_the_noise_of_both_runs(bench, factor: float, spread: float, expected: str) -> None:
    rng = np.random.default_rng(0)
    old, new = (scale * (1 + spread * rng.uniform(-1, 1, 9)) for scale in (3.0, 3.0 * factor))
    assert bench.compare.verdict(old.tolist(), new.tolist())[2] == expected


def test_one_round_shows_no_change(bench) -> None:
    assert bench.compare.verdict([1.0], [5.0])[2] == "same"


def test_a_slower_machine_shows_no_change(bench) -> None:
    old = run(case("a", [1.0, 1.01, 1.02], [0.1, 0.101, 0.102]), case("gone", [1.0], [1.0]))
    new = run(case("a", [3.0, 3.03, 3.06], [0.3, 0.303, 0.306]), case("more", [1.0], [1.0]))
    rows, slower = bench.compare.compare(old, new)
    assert [row[0] for row in rows] == ["a"]
    assert not slower


def test_the_command_fails_if_a_case_is_slower(bench, tmp_path: Path) -> None:
    yardstick = [0.1, 0.1, 0.1]
    paths = [tmp_path / "old.json", tmp_path / "new.json"]
    new = run(case("a", [2.0, 2.0, 2.0], yardstick), case("b", [1.0, 1.0, 1.0], yardstick))
    old = run(case("a", [1.0, 1.0, 1.0], yardstick), case("b", [1.0, 1.0, 1.0], yardstick))
    for record, path in zip((old, new), paths, strict=True):
        bench.record.write(record, path)
    command = [sys.executable, str(BENCHMARKS / "compare.py"), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "| a | 2.00 | 10% | slower |\n| b | 1.00 | 10% | same |" in done.stdout
    assert subprocess.run([*command[:-1], str(paths[0])], capture_output=True, check=False).returncode == 0


def test_cases_of_different_shapes_are_not_compared(bench) -> None:
    old, new = case("a", [1.0], [1.0]), case("a", [1.0], [1.0])
    new["shapes"] = {"steps": 6}
    with pytest.raises(ValueError, match="a: shapes are"):
        bench.compare.compare(run(old), run(new))


def test_a_speed_table_has_ratios_per_round_and_says_whether_aims_are_reached(bench) -> None:
    tried = case("a", [0.1, 0.2], [1.0, 1.0], jax=contestant([0.2, 0.6]), clvlib=contestant([0.1, 0.1], scale=5.0))
    shown = bench.tables.speed(run(tried), [tried])
    assert "| the a | 3 | float32 | 150 ms | 1e-06 | 2.5 (2.0 to 3.0) | 3.8 (2.5 to 5.0)† | " in shown
    assert shown.endswith("(c) JAX scan at least 2: reached |")


@pytest.mark.parametrize(
    ("seconds", "expected"), [(2.0, "2.00 s"), (0.0321, "32.1 ms"), (1.2e-5, "12.0 µs"), (3e-8, "0.03 µs")]
)
def test_durations_have_three_digits(bench, seconds: float, expected: str) -> None:
    assert bench.tables.duration(seconds) == expected


def test_only_the_marked_blocks_are_rewritten(bench) -> None:
    page = "before\n<!-- benchmark: single -->\nold\n<!-- end of benchmark -->\nafter\n"
    found = bench.tables.rewritten(page, {"spectrum": run(case("a", [0.1], [1.0]))})
    assert found.startswith(
        "before\n<!-- benchmark: single -->\n`python benchmarks/spectrum.py`, commit abc, 2000-01-01.\n"
    )
    assert found.endswith(" |\n<!-- end of benchmark -->\nafter\n")
    assert "old" not in found
    assert "Not measured yet: `python benchmarks/spectrum.py --output" in bench.tables.rewritten(page, {})
    with pytest.raises(ValueError, match="no case of table 'steps'"):
        bench.tables.rewritten(page.replace("single", "steps"), {"spectrum": run(case("a", [0.1], [1.0]))})
    with pytest.raises(ValueError, match="got 'x', expected one of"):
        bench.tables.rewritten(page.replace("single", "x"), {})


def test_the_documentation_shows_the_committed_records(bench) -> None:
    read, shown = bench.tables.committed(), set()
    for page in bench.tables.PAGES:
        text = (bench.record.ROOT / page).read_text()
        shown |= {match.group(2) for match in bench.tables.BLOCK.finditer(text)}
        assert bench.tables.rewritten(text, read) == text, f"{page}: run `make benchmark-tables`"
    assert shown == set(bench.tables.BLOCKS)
