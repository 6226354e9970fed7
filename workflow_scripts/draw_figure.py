from pathlib import Path

from lyapunov_pkg.reproduction.catalogue import load
from lyapunov_pkg.reproduction.figures.style import save_figure
from lyapunov_pkg.reproduction.pages import figure_page, write_text
from lyapunov_pkg.reproduction.records import record_of
from lyapunov_pkg.reproduction.sources import caption_numbers, joined, select_variables
from lyapunov_pkg.workflow.logs import logging_to
from lyapunov_pkg.workflow.store import open_variables, save_store

with logging_to(snakemake.log[0]):
    # The function is loaded by name, so that an edit of one figure's function redraws only that figure.
    draw = load(snakemake.params.place)
    record, output = record_of(draw), snakemake.output
    if snakemake.params.study is not None:
        record = record.of_study(snakemake.params.study)
    data = select_variables(
        record, {name: open_variables(paths, record.sources[name].variables) for name, paths in snakemake.input.items()}
    )
    save_figure(draw(**data, **snakemake.params.groups), output.pdf, output.png)
    save_store(joined(data), output.drawn_from, {"figure": record.name})
    text = record.text(caption_numbers(data))
    write_text(text, output.caption)
    write_text(figure_page(record.name, text, Path(output.png).read_bytes()), output.page)
