from __future__ import annotations

from lyapunov_pkg.workflow.plan import Asked, Cost, Job, planned_jobs, price_table

DRY_RUN = """Building DAG of jobs...
Job stats:
job      count
-----  -------
train        2

[Thu Nov 26 09:17:14 2026]
rule train:
    output: results/a/0.zarr.zip
    log: results/logs/a/0.log
    jobid: 4
    wildcards: study=a, group=lstm_p-0.1, shard=0
    resources: tmpdir=/tmp, runtime=30
Output file results/a/0.zarr.zip will be written to global between-workflow cache.

[Thu Nov 26 09:17:14 2026]
rule lorenz:
    output: results/lorenz.zarr.zip
    jobid: 5

localrule all:
    input: results/a/0.zarr.zip
    jobid: 0
"""
ASKED = {"train": Asked(10, 1000), "draw": Asked(10, 1000)}


def numbers(table: str, rule: str) -> list[str]:
    """Return the cells of a rule's line after its name."""
    return next(line.split()[1:] for line in table.splitlines() if line.startswith(rule))


def test_planned_jobs_are_those_with_output_files() -> None:
    wildcards = {"study": "a", "group": "lstm_p-0.1", "shard": "0"}
    assert planned_jobs(DRY_RUN) == [Job("train", wildcards), Job("lorenz")]
    assert planned_jobs("Nothing to be done") == []


def test_hours_and_disk_are_summed_and_memory_is_the_maximum() -> None:
    costs = [("train", Cost(360, 200, 500)), ("draw", Cost(36, 300, 1)), ("train", Cost(540, 100, 1500))]
    table = price_table(costs, ASKED)
    # The most expensive rule is first.
    assert [line.split()[0] for line in table.splitlines()] == ["rule", "train", "draw", "total"]
    assert numbers(table, "train") == ["2", "0.25", "9.0", "10", "200", "1000", "2.00"]
    assert numbers(table, "total") == ["3", "0.26", "9.0", "300", "2.00"]


def test_jobs_beyond_their_resources_are_named() -> None:
    assert "resources" not in price_table([("train", Cost(600, 1000, 0))], ASKED)
    assert "longest job of train needs more than resources.train.minutes" in price_table(
        [("draw", Cost(1, 1, 1)), ("train", Cost(601, 1000, 0))], ASKED
    )
    assert "largest job of train needs more than resources.train.memory" in price_table(
        [("train", Cost(600, 1001, 0))], ASKED
    )


def test_an_empty_plan_is_a_table_without_rows() -> None:
    assert len(price_table([], ASKED).splitlines()) == 1
