"""Snakemake, for `python -m`, with a SLURM executor that asks every two seconds how its jobs are. Its own asks ten
seconds later each time that no job has ended, which suits a cluster and makes tests of a few jobs take minutes."""

from __future__ import annotations

from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

Executor.next_seconds_between_status_checks = property(lambda self: 2, lambda self, seconds: None)

if __name__ == "__main__":
    main()
