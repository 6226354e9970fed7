"""Run Snakemake with a SLURM executor that checks the status of its jobs every two seconds.

By default the executor waits ten seconds longer after each check without a finished job. Tests with a few jobs would
then take minutes. The module is run as `python -m tests.snakemake.asking_often`.
"""

from __future__ import annotations

from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

Executor.next_seconds_between_status_checks = property(lambda self: 2, lambda self, seconds: None)

if __name__ == "__main__":
    main()
