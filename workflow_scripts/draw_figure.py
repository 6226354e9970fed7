from lyapunov_pkg.plotting import chapter_3
from lyapunov_pkg.plotting.style import save_figure
from lyapunov_pkg.progress import logging_to
from lyapunov_pkg.store import open_shards

with logging_to(snakemake.log[0]):
    datasets = {name: open_shards(paths) for name, paths in snakemake.input.items()}
    figure = getattr(chapter_3, snakemake.wildcards.figure)(**datasets)
    save_figure(figure, snakemake.output.pdf, snakemake.output.png)
