"""The base dependencies of the library, and a Python that can import nothing else.

`python -m tests.house.base_dependencies program.py` runs a program that can import only the standard library,
`lyapunov_pkg`, and the distributions that `pip install .` installs.
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
    """Return the dependencies of the library in pyproject.toml, without extras."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]


def required_distributions(requirements: Iterable[str]) -> dict[str, Distribution]:
    """Return normalised names of the installed distributions that these requirements need, directly or indirectly."""
    found: dict[str, Distribution] = {}
    pending = [Requirement(text) for text in requirements]
    while pending:
        requirement = pending.pop()
        name = normalised(requirement.name)
        if name in found or not (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:  # An example is a CUDA library that another build of PyTorch requires.
            continue
        pending += [Requirement(text) for text in found[name].requires or ()]
    return found


def importable_names(distributions: Iterable[str]) -> set[str]:
    """Return the top-level names that the distributions of these normalised names contain."""
    wanted = set(distributions)
    return {name for name, holders in distributions_of_names().items() if wanted & holders}


@functools.cache
def distributions_of_names() -> dict[str, set[str]]:
    """Return the normalised names of the distributions that contain each top-level name."""
    return {name: {normalised(holder) for holder in holders} for name, holders in packages_distributions().items()}


def normalised(name: str) -> str:
    """Return the name of a distribution in the normal form of PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


class OnlyTheseImports(MetaPathFinder):
    """Find modules only if their top-level name is in a list; all other modules seem not to be installed."""

    def __init__(self, allowed: Iterable[str], finders: Sequence[MetaPathFinder]) -> None:
        self.allowed = set(allowed) | set(sys.stdlib_module_names) | {"__main__"}
        self.finders = tuple(finders)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        top = name.partition(".")[0]
        # Modules named `_sysconfigdata*` belong to the standard library.
        if top not in self.allowed and not top.startswith("_sysconfigdata"):
            return None
        specs = (finder.find_spec(name, path, target) for finder in self.finders)
        return next((spec for spec in specs if spec is not None), None)

    def find_distributions(self, context: DistributionFinder.Context) -> Iterator[Distribution]:
        """Let `importlib.metadata` find the versions of all installed distributions."""
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
