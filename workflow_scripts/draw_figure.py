from importlib import import_module

from lyapunov_pkg.plotting.drawn_from import figure_data, joined
from lyapunov_pkg.plotting.style import save_figure
from lyapunov_pkg.progress import logging_to
from lyapunov_pkg.store import open_shards, save_store

with logging_to(snakemake.log[0]):
    name = snakemake.wildcards.figure
    # By name, so that an edit of one figure's function redraws that figure alone.
    draw = getattr(import_module(f"lyapunov_pkg.plotting.chapter_{name.split('_')[1]}"), name)
    data = figure_data(name, {store: open_shards(paths) for store, paths in snakemake.input.items()})
    save_figure(draw(**data), snakemake.output.pdf, snakemake.output.png)
    save_store(joined(data), snakemake.output.drawn_from, {"figure": name})
