"""Imports of the jobs' scripts, in the process from which jobs are forked; see `warm_start`."""

import contextlib
import gc
import os
from importlib import import_module

MODULES = "LYAPUNOV_PKG_PRELOADED"  # the environment variable that names the modules

for module in os.environ.get(MODULES, "").split():
    with contextlib.suppress(Exception):  # the script that needs it reports the error
        import_module(module)

gc.freeze()  # so that the garbage collector of the jobs passes over what is imported
