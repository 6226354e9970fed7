"""The allowed imports between parts, which `test_imports.py` checks."""

from __future__ import annotations

# The library, lowest layer first. A module may import from its own entry and from earlier entries.
LIBRARY = (
    "version",
    "labels",
    "progress",
    "devices",
    "plots",
    "linalg",
    "cells",
    "drawing",
    "networks",
    "systems",
    "spectra",
    "aelle",
)

# Above the library: the other parts of the package that each part may import.
ABOVE = {
    "__init__": LIBRARY,  # This file defines the public names.
    "workflow": ("version", "labels"),
    "reproduction": (*LIBRARY, "__init__", "workflow"),
}

# Allowed distributions in addition to the base dependencies of pyproject.toml.
WORKFLOW_LIBRARIES = ("annotated-types", "pydantic", "pydantic-core", "pyyaml", "zarr")
REPRODUCTION_LIBRARIES = (
    "annotated-types",
    "matplotlib",
    "pandas",
    "pydantic",
    "pyyaml",
    "scipy",
    "scikit-learn",
    "tabulate",
    "threadpoolctl",
)
# Functions of the library may import these; its modules may not import them at the top level.
LIBRARY_LIBRARIES_IN_FUNCTIONS = ("matplotlib", "scipy", "scikit-learn", "threadpoolctl")
# Modules of the library that need an extra at import, with the distributions of that extra. The package imports such a
# module when its public name is first used.
MODULES_OF_EXTRAS = {"aelle/estimator.py": ("scikit-learn",)}

NOBODY = ("snakemake",)
