from lyapunov_pkg.progress import logging_to
from lyapunov_pkg.tables import table_3_a1, write_table

with logging_to(snakemake.log[0]):
    frame = table_3_a1(snakemake.params.groups)
    write_table(frame, snakemake.output.csv, snakemake.output.markdown)
