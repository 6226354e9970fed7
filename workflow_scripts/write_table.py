from lyapunov_pkg import tables
from lyapunov_pkg.progress import logging_to
from lyapunov_pkg.store import open_store

with logging_to(snakemake.log[0]):
    stores = {name: open_store(path) for name, path in snakemake.input.items()}
    frame = getattr(tables, snakemake.wildcards.table)(**stores)
    tables.write_table(frame, snakemake.output.csv, snakemake.output.markdown)
