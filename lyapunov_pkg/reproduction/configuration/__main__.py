"""Commands for the configuration.

python -m lyapunov_pkg.reproduction.configuration write
    writes schemas/config.schema.yaml and docs/configuration.md from the definitions
python -m lyapunov_pkg.reproduction.configuration check --configfile FILE ... --config KEY=VALUE ... reports problems in
    the files and arguments that Snakemake will read, one line each, instead of Snakemake's traceback; other arguments
    are ignored
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from pathlib import Path

from lyapunov_pkg.workflow.settings import ConfigurationError
from lyapunov_pkg.workflow.strict_yaml import read_configuration

ROOT = Path(__file__).parents[3]


def main(arguments: list[str]) -> int:
    """Run a command, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lyapunov_pkg.reproduction.configuration", allow_abbrev=False)
    parser.add_argument("command", choices=["write", "check"])
    parser.add_argument("--configfile", "--configfiles", nargs="+", action="extend", default=[])
    parser.add_argument("--config", "-C", nargs="+", action="extend", default=[])
    asked, _ = parser.parse_known_args(arguments)
    if asked.command == "write":
        from lyapunov_pkg.reproduction.configuration.reference import pages

        for path, content in pages(ROOT).items():
            path.write_text(content)
        return 0
    try:
        for path in map(Path, asked.configfile):
            if not path.exists():
                raise ConfigurationError(f"{path}: there is no such configuration file{_did_you_mean(path)}")
            read_configuration(path)
        for entry in asked.config:
            if not re.match(r"[a-zA-Z_]\w*=", entry):
                raise ConfigurationError(
                    f"--config has {entry}; expected KEY=VALUE, and for a setting in a section KEY={{NAME: VALUE}}"
                )
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _did_you_mean(path: Path) -> str:
    """Return "; did you mean ...?" with the most similar name of an overlay, in the same folder or in config/."""
    overlays = [str(file) for folder in (path.parent, Path("config")) for file in folder.glob("*.yaml")]
    names = [Path(file).stem for file in overlays]
    close = difflib.get_close_matches(path.stem, names, n=1)
    return f"; did you mean {overlays[names.index(close[0])]}?" if close else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
