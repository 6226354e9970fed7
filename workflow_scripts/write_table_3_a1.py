from lyapunov_pkg.reproduction.tables import table_3_a1, write_table
from lyapunov_pkg.workflow.logs import logging_to

with logging_to(snakemake.log[0]):
    frame = table_3_a1(snakemake.params.groups)
    write_table(frame, snakemake.output.csv, snakemake.output.markdown)
