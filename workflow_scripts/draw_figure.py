from importlib import import_module

from lyapunov_pkg.reproduction.figures.chapters import chapter_of
from lyapunov_pkg.reproduction.figures.drawn_from import figure_data, joined
from lyapunov_pkg.reproduction.figures.style import save_figure
from lyapunov_pkg.workflow.logs import logging_to
from lyapunov_pkg.workflow.store import open_shards, save_store

with logging_to(snakemake.log[0]):
    name = snakemake.wildcards.figure
    # By name, so that an edit of one figure's function redraws that figure alone.
    draw = getattr(import_module(f"lyapunov_pkg.reproduction.figures.chapter_{chapter_of(name)}"), name)
    data = figure_data(name, {store: open_shards(paths) for store, paths in snakemake.input.items()})
    save_figure(draw(**data), snakemake.output.pdf, snakemake.output.png)
    save_store(joined(data), snakemake.output.drawn_from, {"figure": name})
