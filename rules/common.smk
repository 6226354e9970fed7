# Code that the rules share: the validated configuration, the settings that a stage depends on, and file names.

import functools
import platform
import re
from pathlib import Path

from lyapunov_pkg.reproduction.configuration.kept import kept_parameters
from lyapunov_pkg.reproduction.configuration.whole import aelle_settings, take_away_nulls, validate_configuration
from lyapunov_pkg.workflow.logs import start_jobs_with
from lyapunov_pkg.workflow.provenance import content_digest, library_versions, stage_provenance
from lyapunov_pkg.workflow.settings import ConfigurationError
from lyapunov_pkg.workflow.shards import indices_of_shard, number_of_shards
from lyapunov_pkg.workflow.strict_yaml import read_configuration
from lyapunov_pkg.reproduction.tasks.amc import amc_files
from lyapunov_pkg.reproduction.tasks.idx_files import idx_files
from lyapunov_pkg.reproduction.tasks.missing import missing_data
from lyapunov_pkg.reproduction.training.design import study_groups

try:
    if workflow.is_main_process:  # Snakemake itself silently keeps the last of two equal keys.
        for path in workflow.configfiles:
            read_configuration(path)
    LEFT_OUT = take_away_nulls(config)  # the studies that the configuration sets to null
    validate_configuration(config)
except ConfigurationError as error:
    raise WorkflowError(str(error)) from None

start_jobs_with(Path(workflow.basedir, "envs/startup"))
config["software"] = {"python": platform.python_version()} | library_versions()  # shown in the report only
STUDIES = config["studies"]
GROUPS = {name: study_groups(name, study, config["seed"]) for name, study in STUDIES.items()}


@functools.cache
def provenance(script, *modules):
    """Return a digest of the code that `script` uses, including `modules` that it loads by name, and of library versions.

    Rules call it in a function of the wildcards, so that only the code of planned jobs is read.
    """
    return stage_provenance(Path(workflow.basedir, "workflow_scripts", script), modules)


def job_resources(rule):
    """Return the resources that a job of `rule` requests. Each retry requests more memory and time."""
    asked = config["resources"]["default"] | config["resources"].get(rule, {})
    resources = {
        "mem_mb": lambda wildcards, attempt: asked["memory"] * attempt,
        "runtime": lambda wildcards, attempt: asked["minutes"] * attempt,
        "cpus_per_task": asked["cpus"],
        "gpu": asked["gpus"],
        "slurm_partition": asked["partition"],
        "slurm_account": asked["account"],
    }
    return {name: value for name, value in resources.items() if value}


def dataset_of(study):
    """Return the data store of a study's task."""
    return f"results/datasets/{STUDIES[study]['task']}.zarr.zip"


def cell_module(study, group):
    """Return the name of the module of a group's cell."""
    return f"lyapunov_pkg.cells.{GROUPS[study][group].settings['architecture']}"


def cell_modules(study):
    """Return the names of the modules of all cells of a study."""
    return sorted({cell_module(study, group) for group in GROUPS[study]})


def shard_indices(study, group, shard):
    """Return the indices of the variants in one shard."""
    return indices_of_shard(int(shard), STUDIES[study]["shard_size"], GROUPS[study][group].n_variants)


def shards(stage, study):
    """Return all shard stores of a study at a stage ("training" or "spectra")."""
    size = STUDIES[study]["shard_size"]
    return [
        f"results/{stage}/{study}/{group.label}/{shard}.zarr.zip"
        for group in GROUPS[study].values()
        for shard in range(number_of_shards(group.n_variants, size))
    ]


# Snakemake's cache compares the content of inputs, but neither their order nor the wildcards. Params that are computed from
# `input` do not cause a new job when they change. Names, order and content are therefore params of functions without `input`.


def names(wildcards):
    """Return the names that a result depends on. Seeds use them, and stores hold them."""
    return dict(wildcards.items())


def group_order(wildcards):
    """Return the groups of a study in the order in which their shards are joined."""
    return list(GROUPS[wildcards.study])


def text_content(wildcards):
    """Return a digest of CharRNN's text that does not depend on its path or time."""
    return [content_digest(path) for path in local_text() if Path(path).is_file()]


def motions_content(wildcards):
    """Return a digest of each of Mocap's files by trial, which does not depend on paths or times."""
    return {trial: content_digest(path) for trial, path in motions().items()}


def images_content(wildcards):
    """Return a digest of each SMNIST file that is not verified, which does not depend on paths or times."""
    return {part: content_digest(path) for part, path in own_images().items() if path.is_file()}


def sequences_content(wildcards):
    """Return a digest of each file of the sequences, one file or a Zarr folder, which does not depend on paths or times."""
    return {
        file.relative_to(path).as_posix(): content_digest(file)
        for path in map(Path, local_sequences())
        for file in sorted([path, *path.rglob("*")])
        if file.is_file()
    }


# Files that a setting names are inputs even if they are missing. rules/checks.smk then reports them before any job.


def local_text():
    """Return the text file of CharRNN if it reads one."""
    settings = config["char_rnn"]["data"]
    return missing_place("char_rnn") or ([settings["path"]] if settings["source"] == "file" else [])


def local_motions():
    """Return the AMC files in Mocap's folder if it reads one, or a missing place if the folder lacks a trial."""
    return missing_place("mocap") or [*map(str, motions().values())]


def motions():
    """Return the AMC files in Mocap's folder by trial if it reads one."""
    settings = config["mocap"]["data"]
    if settings["source"] != "cmu" or settings["directory"] is None:
        return {}
    return amc_files(Path(settings["directory"]))


def local_images():
    """Return the user's SMNIST files, or a missing place if the folder lacks some. The script verifies MNIST's files."""
    return missing_place("smnist") or [*map(str, own_images().values())]


def own_images():
    """Return the user's SMNIST files by part."""
    settings = config["smnist"]["data"]
    return idx_files(Path(settings["directory"])) if settings["source"] == "idx" else {}


def local_sequences():
    """Return the file or folder of the sequences if there is one."""
    path = config["sequences"]["data"]["path"]
    return [] if path is None else [path]


def missing_place(task):
    """Return a file name that cannot exist if a task's data are missing or incomplete."""
    settings = config[task]["data"]
    place = settings["path"] if "path" in settings else settings["directory"]
    return [f"{place}.missing"] if missing_data(task, settings) else []


def seeds(count):
    """Return the seeds of an experiment: the workflow's seed and the numbers after it."""
    return [config["seed"] + index for index in range(count)]


def aelle_experiment(study, experiment):
    """Return the settings of an experiment with AeLLE: spectra, split, epochs and autoencoder."""
    settings = aelle_settings(config, study)
    taken = {key: settings[key] for key in ("exponent_floor", "spectrum_length", "autoencoder")}
    if experiment == "final":
        return taken | {"fractions": settings["final_fractions"]}
    taken |= {"fractions": settings["pretrained_fractions"], "n_epochs": settings["pretrained_epochs"]}
    return taken | {"threshold_part": settings["threshold_part"]}


def pruning_settings(study):
    """Return the settings of successive halving. Losses are capped as for AeLLE."""
    return config["pruning"] | {"loss_ceiling": aelle_settings(config, study)["autoencoder"]["loss_ceiling"]}


def prednet_settings(experiment, study):
    """Return the settings of an experiment with PredNet except `n_seeds`. Exponents are clipped as for AeLLE."""
    settings = {key: value for key, value in config["prednet"][experiment].items() if key != "n_seeds"}
    return settings | {"exponent_floor": aelle_settings(config, study)["exponent_floor"]}
