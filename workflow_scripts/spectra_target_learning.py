import torch

from lyapunov_pkg.devices import choose_device
from lyapunov_pkg.reproduction.populations.free_runs import spectra_of_free_runs
from lyapunov_pkg.reproduction.populations.spectra import SpectraSettings
from lyapunov_pkg.workflow.logs import logging_to
from lyapunov_pkg.workflow.store import open_store, save_store

with logging_to(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    asked = dict(snakemake.params.spectra)
    n_steps, settings = asked.pop("n_steps"), SpectraSettings(**asked, jacobian="reduced")
    device = choose_device(snakemake.params.device)
    spectra = spectra_of_free_runs(open_store(snakemake.input.training), n_steps, settings, device)
    job = " ".join([snakemake.rule, *snakemake.wildcards])
    save_store(spectra, snakemake.output[0], {"job": job, "spectra": settings.model_dump() | {"n_steps": n_steps}})
