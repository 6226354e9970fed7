"""Inclusion of the workflow's tables in the pages of docs/reproduction.

A page contains a block for each table. The block names the target and the configuration:

    <!-- table: table_3_2, config.yaml -->
    ...
    <!-- end of table -->

`make doc-tables` creates the tables of one configuration and replaces the contents of their blocks. It uses:

python -m lyapunov_pkg.reproduction.included_tables targets  # the tables of config.yaml that the pages hold
python -m lyapunov_pkg.reproduction.included_tables write    # their blocks, from results/tables
    --configfile FILE: those of an overlay instead of config.yaml; other arguments are ignored
"""

from __future__ import annotations

import argparse
import datetime
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from lyapunov_pkg.reproduction.catalogue import tables
from lyapunov_pkg.reproduction.records import did_you_mean

ROOT = Path(__file__).parents[2]
PAGES = Path("docs/reproduction")
DEFAULT = "config.yaml"
BEGIN = "<!-- table:"
BLOCK = re.compile(r"^<!-- table: (\w+), (\S+) -->\n(.*?)^<!-- end of table -->$", flags=re.M | re.S)


class BlockError(ValueError):
    """A block cannot be read or written. The message names the page or table and says what to do."""


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """Yield (table, configuration) of every block of a page.

    Raises:
        BlockError: a block has no end or no configuration, or names no table.

    >>> list(blocks("<!-- table: table_3_2, config.yaml -->\\n<!-- end of table -->"))
    [('table_3_2', 'config.yaml')]
    """
    found = list(BLOCK.finditer(page))
    if len(found) != page.count(BEGIN) or any(BEGIN in block[3] for block in found):
        raise BlockError(
            f"{page.count(BEGIN)} blocks begin with {BEGIN!r}, and {len(found)} of them can be read; expected "
            "'<!-- table: NAME, CONFIGURATION -->' and '<!-- end of table -->', each on a line of its own"
        )
    for name, configuration, _ in (block.groups() for block in found):
        if name not in tables():
            raise BlockError(f"there is no table {name}{did_you_mean(name, tables())}")
        yield name, configuration


def with_tables(page: str, configuration: str, content: Callable[[str], str]) -> str:
    """Return the text of a page with the `content` of each table of a configuration in its blocks.

    Args:
        page: text of the page.
        configuration: name of the configuration in the blocks. Blocks of other configurations are not changed.
        content: function from the name of a table to the content of its block.

    Raises:
        BlockError: as in `blocks`.
    """
    list(blocks(page))

    def replaced(block: re.Match[str]) -> str:
        if block[2] != configuration:
            return block[0]
        return f"<!-- table: {block[1]}, {block[2]} -->\n\n{content(block[1])}\n\n<!-- end of table -->"

    return BLOCK.sub(replaced, page)


def table_content(name: str, results: Path, origin: str) -> str:
    """Return the content of a block: the workflow's caption, table and note, and their origin.

    Raises:
        BlockError: the workflow has not created the table.
    """
    path = results / "tables" / f"{name}.md"
    if not path.is_file():
        raise BlockError(f"there is no {path}; run `make doc-tables`, which makes it first")
    # A note of several lines has a line for each task, which Markdown would join.
    body = re.sub(r"(?<=[^|\n])\n(?=[^|\n])", "\n\n", path.read_text(encoding="utf-8").strip())
    return f"{tables()[name].text()}\n\n{body}\n\n*{origin}*"


def origin_of(configuration: str, root: Path) -> str:
    """Return the line with the configuration, commit and date of a table.

    Raises:
        BlockError: tracked files outside the documentation have uncommitted changes.
    """
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)docs")
    if changed:
        raise BlockError(f"a table names the commit that it is of; commit these changes first:\n{changed}")
    day = datetime.datetime.now(tz=datetime.UTC).date()
    return f"Configuration `{configuration}`, commit {_git(root, 'rev-parse', '--short', 'HEAD')}, {day.isoformat()}."


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BlockError(f"git {arguments[0]} failed in {root}: {done.stderr.strip()}")
    return done.stdout.strip()


def main(arguments: Sequence[str]) -> int:
    """Run a command, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lyapunov_pkg.reproduction.included_tables", allow_abbrev=False)
    parser.add_argument("command", choices=["targets", "write"])
    parser.add_argument("--configfile", "--configfiles", default=DEFAULT)
    asked, _ = parser.parse_known_args(arguments)
    pages = {path: path.read_text(encoding="utf-8") for path in sorted((ROOT / PAGES).glob("*.md"))}
    try:
        of_pages = {path: [name for name, of in blocks(text) if of == asked.configfile] for path, text in pages.items()}
        names = [name for of_page in of_pages.values() for name in of_page]
        if not names:
            raise BlockError(f"no page of {PAGES} has a table of {asked.configfile}")
        if asked.command == "targets":
            print(*names)
            return 0
        origin = origin_of(asked.configfile, ROOT)
        for path, text in pages.items():
            written = with_tables(text, asked.configfile, lambda name: table_content(name, ROOT / "results", origin))
            path.write_text(written, encoding="utf-8")
    except BlockError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
