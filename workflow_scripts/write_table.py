from importlib import import_module

from lyapunov_pkg.reproduction.tables import write_table
from lyapunov_pkg.workflow.logs import logging_to
from lyapunov_pkg.workflow.store import open_store

with logging_to(snakemake.log[0]):
    stores = {name: open_store(path) for name, path in snakemake.input.items()}
    # By name, so that an edit of one table's function writes that table alone.
    make_table = getattr(import_module("lyapunov_pkg.reproduction.tables"), snakemake.wildcards.table)
    write_table(make_table(**stores), snakemake.output.csv, snakemake.output.markdown)
