# What the rules share: the validated configuration, the slices of it that a stage depends on, and names of files.

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
    if workflow.is_main_process:  # Snakemake itself keeps the last of two equal keys, and says nothing.
        for path in workflow.configfiles:
            read_configuration(path)
    LEFT_OUT = take_away_nulls(config)  # studies
    validate_configuration(config)
except ConfigurationError as error:
    raise WorkflowError(str(error)) from None

start_jobs_with(Path(workflow.basedir, "envs/startup"))
config["software"] = {"python": platform.python_version()} | library_versions()  # for the report alone
STUDIES = config["studies"]
GROUPS = {name: study_groups(name, study, config["seed"]) for name, study in STUDIES.items()}


@functools.cache
def provenance(script, *modules):
    """Digest of the code that `script` reaches (and of `modules` it loads by name), with the numerical libraries' versions.

    Rules call it in a function of the wildcards, so that only the code of planned jobs is read.
    """
    return stage_provenance(Path(workflow.basedir, "workflow_scripts", script), modules)


def job_resources(rule):
    """What a job of `rule` asks of a cluster; more memory and time each time it is tried again."""
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
    """The data of a study's task."""
    return f"results/datasets/{STUDIES[study]['task']}.zarr.zip"


def cell_module(study, group):
    """The module of the cell of a group's networks."""
    return f"lyapunov_pkg.cells.{GROUPS[study][group].settings['architecture']}"


def cell_modules(study):
    """The modules of the cells of all networks of a study."""
    return sorted({cell_module(study, group) for group in GROUPS[study]})


def shard_indices(study, group, shard):
    """Indices of the variants in one shard."""
    return indices_of_shard(int(shard), STUDIES[study]["shard_size"], GROUPS[study][group].n_variants)


def shards(stage, study):
    """Every shard store of a study at a stage ("training" or "spectra"), over groups and shards."""
    size = STUDIES[study]["shard_size"]
    return [
        f"results/{stage}/{study}/{group.label}/{shard}.zarr.zip"
        for group in GROUPS[study].values()
        for shard in range(number_of_shards(group.n_variants, size))
    ]


# Snakemake's cache looks at the content of inputs alone, in no order, and not at wildcards; and a param that is computed
# from `input` outdates nothing when it changes. So these are params of their own, of functions without `input`.


def names(wildcards):
    """The names that a result depends on: seeds use them, and stores hold them."""
    return dict(wildcards.items())


def group_order(wildcards):
    """The groups of a study in the order in which their shards are joined."""
    return list(GROUPS[wildcards.study])


def text_content(wildcards):
    """The content of CharRNN's text, wherever it lies and whenever it was written."""
    return [content_digest(path) for path in local_text() if Path(path).is_file()]


def motions_content(wildcards):
    """The content of each of Mocap's files by its trial, wherever they lie and whenever they were written."""
    return {trial: content_digest(path) for trial, path in motions().items()}


def images_content(wildcards):
    """The content of each of SMNIST's files that are not verified, wherever they lie and whenever they were written."""
    return {part: content_digest(path) for part, path in own_images().items() if path.is_file()}


def sequences_content(wildcards):
    """The content of each file of the sequences, one or a Zarr folder's, wherever it lies and whenever it was written."""
    return {
        file.relative_to(path).as_posix(): content_digest(file)
        for path in map(Path, local_sequences())
        for file in sorted([path, *path.rglob("*")])
        if file.is_file()
    }


# What a setting names is an input even if it is missing, so that this is noticed before any job (rules/checks.smk).


def local_text():
    """The text file of CharRNN, if that is what it reads."""
    settings = config["char_rnn"]["data"]
    return missing_place("char_rnn") or ([settings["path"]] if settings["source"] == "file" else [])


def local_motions():
    """The AMC files in Mocap's folder, if that is what it reads; the folder, if it lacks a trial."""
    return missing_place("mocap") or [*map(str, motions().values())]


def motions():
    """The AMC files in Mocap's folder by trial, if that is what it reads."""
    settings = config["mocap"]["data"]
    if settings["source"] != "cmu" or settings["directory"] is None:
        return {}
    return amc_files(Path(settings["directory"]))


def local_images():
    """SMNIST's files, if they are one's own; the folder, if it lacks some. The script verifies MNIST's files."""
    return missing_place("smnist") or [*map(str, own_images().values())]


def own_images():
    """SMNIST's files by part, if they are one's own."""
    settings = config["smnist"]["data"]
    return idx_files(Path(settings["directory"])) if settings["source"] == "idx" else {}


def local_sequences():
    """The file or folder of the sequences, if there is one."""
    path = config["sequences"]["data"]["path"]
    return [] if path is None else [path]


def missing_place(task):
    """A file that there is not, where a task's data are to be, if they are missing or not all there."""
    settings = config[task]["data"]
    place = settings["path"] if "path" in settings else settings["directory"]
    return [f"{place}.missing"] if missing_data(task, settings) else []


def seeds(count):
    """Seeds of an experiment: the workflow's and those after it."""
    return [config["seed"] + index for index in range(count)]


def aelle_experiment(study, experiment):
    """The settings of an experiment with AeLLE: of the spectra, the split, the epochs and the autoencoder."""
    settings = aelle_settings(config, study)
    taken = {key: settings[key] for key in ("exponent_floor", "spectrum_length", "autoencoder")}
    if experiment == "final":
        return taken | {"fractions": settings["final_fractions"]}
    taken |= {"fractions": settings["pretrained_fractions"], "n_epochs": settings["pretrained_epochs"]}
    return taken | {"threshold_part": settings["threshold_part"]}


def pruning_settings(study):
    """The settings of successive halving; losses are capped as for AeLLE."""
    return config["pruning"] | {"loss_ceiling": aelle_settings(config, study)["autoencoder"]["loss_ceiling"]}


def prednet_settings(experiment, study):
    """The settings of an experiment with PredNet but how many seeds it has; exponents are clipped as for AeLLE."""
    settings = {key: value for key, value in config["prednet"][experiment].items() if key != "n_seeds"}
    return settings | {"exponent_floor": aelle_settings(config, study)["exponent_floor"]}
