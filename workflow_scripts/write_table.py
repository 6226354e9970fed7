from importlib import import_module

from lyapunov_pkg.progress import logging_to
from lyapunov_pkg.store import open_store
from lyapunov_pkg.tables import write_table

with logging_to(snakemake.log[0]):
    stores = {name: open_store(path) for name, path in snakemake.input.items()}
    # By name, so that an edit of one table's function writes that table alone.
    make_table = getattr(import_module("lyapunov_pkg.tables"), snakemake.wildcards.table)
    write_table(make_table(**stores), snakemake.output.csv, snakemake.output.markdown)
