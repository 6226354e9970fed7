# What is wrong with the call itself, said before anything is planned. Included last: it asks which rules there are.

from lyapunov_pkg.workflow.targets import unknown_target

plan_jobs = workflow._prepare_dag  # Snakemake knows the targets after it has read this, and has no other place to look


def plan_jobs_of_known_targets(*arguments, **options):
    """Stop at a target that there is not, with the closest one; say what is left out of those that there are."""
    asked = workflow.dag_settings.targets
    names = [rule.name for rule in workflow.rules]
    for target in asked:
        problem = TARGETS.refusal(target) or unknown_target(target, names)
        if problem:
            raise WorkflowError(problem)
    everything = not asked or "all" in asked
    shown = {*TARGETS.left_out, *TARGETS.own_studies} if everything else set()
    shown |= {study for study in STUDIES if f"study_{study}" in asked}
    for line in filter(None, [TARGETS.shortage(study) for study in sorted(shown)]):
        logger.info(line)
    return plan_jobs(*arguments, **options)


if workflow.is_main_process:
    workflow._prepare_dag = plan_jobs_of_known_targets
