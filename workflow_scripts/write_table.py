from lyapunov_pkg.reproduction.catalogue import load
from lyapunov_pkg.reproduction.pages import table_page, write_text
from lyapunov_pkg.reproduction.records import record_of
from lyapunov_pkg.reproduction.sources import caption_numbers, select_variables
from lyapunov_pkg.reproduction.tables.writing import write_table
from lyapunov_pkg.workflow.logs import logging_to
from lyapunov_pkg.workflow.store import open_variables

with logging_to(snakemake.log[0]):
    # The function is loaded by name, so that an edit of one table's function rewrites only that table.
    make_table = load(snakemake.params.place)
    record, output = record_of(make_table), snakemake.output
    if snakemake.params.study is not None:
        record = record.of_study(snakemake.params.study)
    data = select_variables(
        record, {name: open_variables(paths, record.sources[name].variables) for name, paths in snakemake.input.items()}
    )
    frame = make_table(**data, **snakemake.params.groups)
    write_table(frame, output.csv, output.markdown)
    write_text(table_page(record.name, record.text(caption_numbers(data)), frame), output.page)
