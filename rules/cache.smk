# The cache that runs and clones share: where it is, and how entries are read and stored.

import os

import snakemake.workflow
from snakemake.caching import LOCATION_ENVVAR
from snakemake.caching.local import OutputFileCache

from lyapunov_pkg.workflow.cache import (
    check_writable,
    delete_damaged_links,
    in_use,
    is_damaged,
    is_writable,
    keep,
    open_to_everybody,
    prepare_cache,
    record_user,
)
from lyapunov_pkg.workflow.files import remove_partial_files
from lyapunov_pkg.workflow.locks import lock_for_this_process

try:
    CACHE = prepare_cache(config["cache_directory"], config["cache_group"])
    CACHE_IS_WRITABLE = is_writable(CACHE)
    if workflow.is_main_process:
        check_writable("results")
        delete_damaged_links(CACHE, "results")
        for warning in filter(None, [open_to_everybody(CACHE)]):
            logger.warning(warning)
except OSError as error:
    raise WorkflowError(str(error)) from None

os.environ[LOCATION_ENVVAR] = str(CACHE / "results")  # Snakemake reads this variable after this file


class CheckedCache(OutputFileCache):
    """Snakemake's cache. A damaged entry is recomputed, and no entry is pruned while it is read or stored."""

    async def fetch(self, job):
        with in_use(CACHE):
            if any([is_damaged(entry) for _, entry in await self.get_outputfiles_and_cachefiles(job)]):
                self.raise_cache_miss_exception(job)
            await super().fetch(job)

    async def store(self, job):
        if not CACHE_IS_WRITABLE:
            return
        try:
            with in_use(CACHE):
                for output, entry in await self.get_outputfiles_and_cachefiles(job):
                    keep(output, entry)
        except OSError as error:
            raise WorkflowError(f"cannot keep the result of {job} in the cache {CACHE}: {error}") from None


# Snakemake has no setting for the class of its cache, so this line replaces the class.
snakemake.workflow.LocalOutputFileCache = CheckedCache


onstart:
    # Snakemake's own lock would remain after a killed run, so profiles/default switches it off. This lock does not remain.
    try:
        lock_for_this_process(".snakemake/run.lock", f"the folder {os.getcwd()}")
    except BlockingIOError as error:
        raise WorkflowError(str(error)) from None
    remove_partial_files("results")
    if CACHE_IS_WRITABLE:
        try:
            record_user(CACHE, "results")
        except OSError as error:
            raise WorkflowError(str(error)) from None
