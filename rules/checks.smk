# Errors in the command itself, reported before Snakemake plans jobs, and how jobs start. This file must be included last,
# because it reads the list of rules.

from snakemake.exceptions import MissingInputException
from snakemake.io import strip_wildcard_constraints
from snakemake.script import PythonScript

from lyapunov_pkg.workflow.targets import unknown_target
from lyapunov_pkg.workflow.warm_start import imported_by, start_scripts_warm

SHARDS = {file for stage in ("training", "spectra") for study in STUDIES for file in shards(stage, study)}
DATA_OF_USERS = ("smnist", "char_rnn", "mocap", "sequences")
VALUES = {"study": STUDIES, "experiment": ["final", "pretrained"], "figure": FIGURES, "table": TABLES}


def files_to_suggest():
    """Return all shards, and the files of all rules whose wildcards have known values."""
    patterns = [
        strip_wildcard_constraints(str(output))
        for rule in workflow.rules
        if rule.wildcard_names <= VALUES.keys()
        for output in rule.output
    ]
    return sorted(SHARDS.union(*(expand(pattern, **VALUES) for pattern in patterns)))


def is_made(file):
    """Return whether a rule can make a file. The pattern of shards accepts any number, so their names are checked here."""
    if file.startswith(("results/training/", "results/spectra/")):
        return file in SHARDS
    return any(rule.is_producer(file) for rule in workflow.rules)


plan_jobs = workflow._prepare_dag  # the targets are known only after this file is read, and Snakemake has no other hook


def plan_jobs_of_known_targets(*arguments, **options):
    """Stop at an unknown target and name the closest one. For known targets, print what is left out."""
    settings = workflow.dag_settings
    asked = [str(target) for target in settings.targets]
    to_make = [rule.name for rule in workflow.rules if not rule.has_wildcards()]
    to_choose = [rule.name for rule in workflow.rules]
    files = files_to_suggest()
    problems = [TARGETS.refusal(target) or unknown_target(target, to_make, files, is_made) for target in asked]
    for chosen in (settings.forcerun, settings.until, settings.omit_from):
        problems += [unknown_target(str(name), to_choose, files, is_made) for name in chosen]
    if any(problems):
        raise WorkflowError("\n".join(filter(None, problems)))
    everything = not asked or "all" in asked
    shown = {*TARGETS.left_out, *TARGETS.own_studies} if everything else set()
    shown |= {study for study in STUDIES if f"study_{study}" in asked}
    for line in filter(None, [TARGETS.shortage(study) for study in sorted(shown)]):
        logger.info(line)
    return plan_jobs(*arguments, **options)


build_dag = workflow._build_dag


def build_dag_of_data_that_are_there():
    """If a task lacks data, report the missing files and the closest names, not the missing input of the rule."""
    try:
        build_dag()
    except MissingInputException as error:
        task = error.rule.name.removesuffix("_dataset") if error.rule else None
        problem = missing_data(task, config[task]["data"]) if task in DATA_OF_USERS else None
        if problem is None:
            raise
        raise WorkflowError(problem) from None


def modules_of_planned_jobs():
    """Return what the scripts of the planned jobs import, and the modules of the planned figures and tables."""
    jobs = list(workflow.dag.needrun_jobs(exclude_finished=False))
    scripts = {Path(job.rule.script).name for job in jobs if job.rule.script}
    names = {name for job in jobs for key, name in job.wildcards_dict.items() if key in ("figure", "table")}
    paths = [Path(workflow.basedir, "workflow_scripts", script) for script in scripts]
    return imported_by(paths) | {TARGETS.records[name].module for name in names}


if workflow.is_main_process:
    workflow._build_dag = build_dag_of_data_that_are_there
    workflow._prepare_dag = plan_jobs_of_known_targets
    start_scripts_warm(PythonScript, modules_of_planned_jobs)
