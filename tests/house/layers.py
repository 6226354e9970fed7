"""The allowed imports between parts, which `test_imports.py` checks."""

from __future__ import annotations

# The library, from the bottom up. A module may import from its own line and from the lines before it.
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

# Above the library: what else of the package each part may import.
ABOVE = {
    "__init__": LIBRARY,  # the public names
    "workflow": ("version", "labels"),
    "reproduction": (*LIBRARY, "__init__", "workflow"),
}

# Distributions beside the base dependencies of pyproject.toml.
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
# Inside a function of the library, for those who call that function; never at import.
LIBRARY_LIBRARIES_IN_FUNCTIONS = ("matplotlib", "scipy", "scikit-learn", "threadpoolctl")
# Modules of the library that need an extra when they are imported, and what they may import then. The package imports
# them when their public name is first used.
MODULES_OF_EXTRAS = {"aelle/estimator.py": ("scikit-learn",)}

NOBODY = ("snakemake",)
