"""The version of this package."""

from __future__ import annotations

import functools
from importlib.metadata import version


@functools.cache
def package_version() -> str:
    """Return the version of this package, as it was installed."""
    return version("lyapunov-pkg")
