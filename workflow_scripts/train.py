import hashlib
from pathlib import Path

import torch

from lyapunov_pkg.devices import choose_device
from lyapunov_pkg.reproduction.training.bptt import VARIANTS_TOGETHER, TrainingSettings, train_variants
from lyapunov_pkg.reproduction.training.checkpoints import Checkpoints
from lyapunov_pkg.reproduction.training.store import Kept
from lyapunov_pkg.reproduction.training.variants import design_variants
from lyapunov_pkg.workflow.logs import logging_to
from lyapunov_pkg.workflow.store import open_store, save_store

with logging_to(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params, study, group = snakemake.params, snakemake.wildcards.study, snakemake.wildcards.group
    device = choose_device(params.device)
    variants = design_variants(study, group, params.design, params.indices, params.seed)
    settings = TrainingSettings(**params.training)
    kept = Kept(**params.kept)
    # All settings that influence a variant. The numbers of variants and of epochs are not among them, so both can grow.
    way_of_training = {
        "job": f"{snakemake.rule} {study} {group}",
        "settings": {name: value for name, value in settings.model_dump().items() if name != "epochs"},
        "design": params.design,
        "seed": params.seed,
        "data": hashlib.sha256(Path(snakemake.input.dataset).read_bytes()).hexdigest(),
        "device": device.type,
        "provenance": params.provenance,
    }
    checkpoints = Checkpoints(Path(snakemake.config["cache_directory"]).expanduser() / "checkpoints", way_of_training)
    dataset = open_store(snakemake.input.dataset)
    training = train_variants(variants, dataset, settings, device, checkpoints, kept)
    job = " ".join([snakemake.rule, *snakemake.wildcards])
    configuration = {"job": job, "design": params.design, "training": settings.model_dump(), "seed": params.seed}
    save_store(training, snakemake.output[0], configuration)
    checkpoints.finish(variants, VARIANTS_TOGETHER[device.type], Path(snakemake.output[0]), kept)
