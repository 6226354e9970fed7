"""Imports what the scripts of jobs import, in the process that jobs are forks of; see `warm_start`."""

import contextlib
import os
from importlib import import_module

MODULES = "LYAPUNOV_PKG_PRELOADED"  # the environment variable that names the modules

for module in os.environ.get(MODULES, "").split():
    with contextlib.suppress(Exception):  # the script that needs it says why
        import_module(module)
