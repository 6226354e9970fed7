"""Cost of a run from an empty cache by rule, which `make plan` prints.

    python -m lyapunov_pkg.reproduction.costs [ARGUMENTS OF SNAKEMAKE]

Snakemake plans the jobs, and `rules` gives their costs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from lyapunov_pkg.reproduction.configuration.whole import take_away_nulls, validate_configuration
from lyapunov_pkg.reproduction.costs.calibration import calibrate
from lyapunov_pkg.reproduction.costs.rules import Costs
from lyapunov_pkg.workflow.plan import Asked, planned_jobs, price_table
from lyapunov_pkg.workflow.settings import ConfigurationError, merged
from lyapunov_pkg.workflow.strict_yaml import read_configuration

ROOT = Path(__file__).parents[3]


def read_settings(arguments: Sequence[str]) -> dict[str, Any]:
    """Return the configuration that Snakemake reads for the given arguments.

    Raises:
        ConfigurationError: the configuration is not valid.
    """
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    parser.add_argument("--configfile", "--configfiles", nargs="+", action="extend", default=[])
    parser.add_argument("--config", "-C", nargs="*", action="extend", default=[])
    found, _ = parser.parse_known_args(arguments)
    overlay: dict[str, Any] = {}
    for path in found.configfile:
        overlay = merged(overlay, read_configuration(path))
    for pair in found.config:
        name, _, value = pair.partition("=")
        overlay = merged(overlay, {name: yaml.safe_load(value)})
    # Keys of the overlay come first, as in Snakemake, because labels of groups follow the order of hyperparameters.
    configuration = merged(merged(overlay, read_configuration(ROOT / "config.yaml")), overlay)
    take_away_nulls(configuration)
    validate_configuration(configuration)
    return configuration


def main(arguments: Sequence[str]) -> int:
    """Print the cost of a run, and return the exit status."""
    try:
        configuration = read_settings(arguments)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 1
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "1"]
    planned = subprocess.run(
        [*command, "--dry-run", "--forceall", *arguments], capture_output=True, text=True, check=False
    )
    if planned.returncode:
        print(planned.stdout + planned.stderr, file=sys.stderr)
        return planned.returncode
    costs = Costs(configuration, calibrate())
    jobs = planned_jobs(planned.stdout + planned.stderr)
    settings = configuration["resources"]
    asked = {
        job.rule: Asked(own["minutes"], own["memory"])
        for job in jobs
        for own in [settings["default"] | settings.get(job.rule, {})]
    }
    print(price_table([(job.rule, costs.of(job)) for job in jobs], asked))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
