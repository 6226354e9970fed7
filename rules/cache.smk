# The cache between runs, clones and users: where it is, and how an entry is taken and stored.

import os

import snakemake.workflow
from snakemake.caching import LOCATION_ENVVAR
from snakemake.caching.local import OutputFileCache

from lyapunov_pkg.workflow.cache import check_writable, in_use, prepare_cache, record_user, take_out_damaged_links, take_out_if_damaged
from lyapunov_pkg.workflow.locks import lock_for_this_process
from lyapunov_pkg.workflow.store import remove_partial_files

try:
    CACHE = prepare_cache(config["cache_directory"])
    if workflow.is_main_process:
        check_writable("results")
        take_out_damaged_links(CACHE, "results")
except OSError as error:
    raise WorkflowError(str(error)) from None

os.environ[LOCATION_ENVVAR] = str(CACHE / "results")  # Snakemake looks for it after it has read this


class CheckedCache(OutputFileCache):
    """Snakemake's cache, but an entry that is damaged is made anew, and none is pruned while it is taken or stored."""

    async def fetch(self, job):
        with in_use(CACHE):
            for _, entry in await self.get_outputfiles_and_cachefiles(job):
                take_out_if_damaged(entry)
            await super().fetch(job)

    async def store(self, job):
        try:
            with in_use(CACHE):
                await super().store(job)
        except OSError as error:
            raise WorkflowError(f"cannot keep the result of {job} in the cache {CACHE}: {error}") from None


# Snakemake has no setting for it: where it makes its cache, it now makes this one.
snakemake.workflow.LocalOutputFileCache = CheckedCache


onstart:
    # Snakemake's own lock outlives a killed run (profiles/default turns it off); this one does not.
    try:
        lock_for_this_process(".snakemake/run.lock", f"the folder {os.getcwd()}")
    except BlockingIOError as error:
        raise WorkflowError(str(error)) from None
    remove_partial_files("results")
    record_user(CACHE, "results")
