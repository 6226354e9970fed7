"""Ctrl-C ends Snakemake and its jobs without a traceback, also while they start.

Python imports a module of this name before anything else, if its folder is on PYTHONPATH. The Makefile puts it there
for Snakemake, and rules/common.smk for its jobs. A job that has begun its work handles Ctrl-C itself
(lyapunov_pkg/workflow/logs.py).
"""

import sys


def _interrupted(error):
    """Return whether Ctrl-C raised the error, or led to it: Python turns what ends a definition into a RuntimeError."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _unless_interrupted(show, value_of):
    """Return a hook that shows an exception as `show` does, and nothing of Ctrl-C."""
    return lambda *exception: None if _interrupted(value_of(*exception)) else show(*exception)


sys.excepthook = _unless_interrupted(sys.excepthook, lambda kind, value, traceback: value)
sys.unraisablehook = _unless_interrupted(sys.unraisablehook, lambda unraisable: unraisable.exc_value)
