"""Ctrl-C ends Snakemake and its jobs without a traceback, also while they start.

Python imports a module of this name before anything else, if its folder is on PYTHONPATH. The Makefile puts it there
for Snakemake, and rules/common.smk for its jobs. A job that has begun its work handles Ctrl-C itself
(lyapunov_pkg/workflow/logs.py).

Python ignores exceptions in destructors and in callbacks from C code, where it may hand over Ctrl-C too: an interrupt
that is lost there is sent again.
"""

import signal
import sys
import threading

AGAIN_AFTER = 0.1  # seconds, by when the callback has returned


def _interrupted(error):
    """Return whether Ctrl-C raised the error, or led to it: Python turns what ends a definition into a RuntimeError."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _show_exception(kind, value, traceback):
    """Show an exception that ends the process, unless Ctrl-C did."""
    if not _interrupted(value):
        show_exception(kind, value, traceback)


def _show_ignored(unraisable):
    """Show an exception that Python ignores, and send Ctrl-C again if it was ignored."""
    if not _interrupted(unraisable.exc_value):
        show_ignored(unraisable)
    elif not sys.is_finalizing():
        main = threading.main_thread().ident
        timer = threading.Timer(AGAIN_AFTER, signal.pthread_kill, (main, signal.SIGINT))
        timer.daemon = True
        timer.start()


show_exception, sys.excepthook = sys.excepthook, _show_exception
show_ignored, sys.unraisablehook = sys.unraisablehook, _show_ignored
