"""The base dependencies of the library, and a Python in which nothing else can be imported.

`python -m tests.house.base_dependencies program.py` runs a program in which every import is refused but those of the
standard library, of `lyapunov_pkg`, and of the distributions that `pip install .` brings.
"""

from __future__ import annotations

import functools
import re
import runpy
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import (
    Distribution,
    DistributionFinder,
    PackageNotFoundError,
    distribution,
    packages_distributions,
)
from pathlib import Path
from types import ModuleType

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def base_requirements() -> list[str]:
    """What pyproject.toml lists as dependencies of the library, without extras."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]


def required_distributions(requirements: Iterable[str]) -> dict[str, Distribution]:
    """The installed distributions that requirements bring, with what those require in turn, by normalised name."""
    found: dict[str, Distribution] = {}
    pending = [Requirement(text) for text in requirements]
    while pending:
        requirement = pending.pop()
        name = normalised(requirement.name)
        if name in found or not (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:  # such as the CUDA libraries, of another build of PyTorch
            continue
        pending += [Requirement(text) for text in found[name].requires or ()]
    return found


def importable_names(distributions: Iterable[str]) -> set[str]:
    """The top-level names that the distributions of these normalised names hold."""
    wanted = set(distributions)
    return {name for name, holders in distributions_of_names().items() if wanted & holders}


@functools.cache
def distributions_of_names() -> dict[str, set[str]]:
    """The normalised names of the distributions that hold each top-level name."""
    return {name: {normalised(holder) for holder in holders} for name, holders in packages_distributions().items()}


def normalised(name: str) -> str:
    """The name of a distribution as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


class OnlyTheseImports(MetaPathFinder):
    """Finds modules whose top-level name is in a list, by other finders; the rest is as if it were not installed."""

    def __init__(self, allowed: Iterable[str], finders: Sequence[MetaPathFinder]) -> None:
        self.allowed = set(allowed) | set(sys.stdlib_module_names) | {"__main__"}
        self.finders = tuple(finders)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        top = name.partition(".")[0]
        if top not in self.allowed and not top.startswith("_sysconfigdata"):  # of the standard library
            return None
        specs = (finder.find_spec(name, path, target) for finder in self.finders)
        return next((spec for spec in specs if spec is not None), None)

    def find_distributions(self, context: DistributionFinder.Context) -> Iterator[Distribution]:
        """Versions of what is installed can be asked for, as `importlib.metadata` does."""
        for finder in self.finders:
            if hasattr(finder, "find_distributions"):
                yield from finder.find_distributions(context)


if __name__ == "__main__":
    base = importable_names(required_distributions(base_requirements()))
    only = OnlyTheseImports(base | {"lyapunov_pkg"}, sys.meta_path)
    for loaded in [name for name in sys.modules if name.partition(".")[0] not in only.allowed]:
        del sys.modules[loaded]
    sys.meta_path[:] = [only]
    runpy.run_path(sys.argv[1], run_name="__main__")
