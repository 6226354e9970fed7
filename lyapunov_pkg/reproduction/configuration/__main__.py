"""Commands for the configuration.

python -m lyapunov_pkg.reproduction.configuration write
    writes schemas/config.schema.yaml and docs/configuration.md from the definitions
python -m lyapunov_pkg.reproduction.configuration check --configfile FILE ...
    says in a line what is wrong with files that Snakemake is about to read; other arguments are ignored
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lyapunov_pkg.workflow.settings import ConfigurationError
from lyapunov_pkg.workflow.strict_yaml import read_configuration

ROOT = Path(__file__).parents[3]


def main(arguments: list[str]) -> int:
    """Run a command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lyapunov_pkg.reproduction.configuration", allow_abbrev=False)
    parser.add_argument("command", choices=["write", "check"])
    parser.add_argument("--configfile", "--configfiles", nargs="+", action="extend", default=[])
    asked, _ = parser.parse_known_args(arguments)
    if asked.command == "write":
        from lyapunov_pkg.reproduction.configuration.reference import pages

        for path, content in pages(ROOT).items():
            path.write_text(content)
        return 0
    try:
        for path in asked.configfile:
            read_configuration(path)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
