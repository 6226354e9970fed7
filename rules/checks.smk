# What is wrong with the call itself, said before anything is planned. Included last: it asks which rules there are.

from lyapunov_pkg.workflow.targets import unknown_target

plan_jobs = workflow._prepare_dag  # Snakemake knows the targets after it has read this, and has no other place to look


def plan_jobs_of_known_targets(*arguments, **options):
    """Stop at a target that there is not, with the closest one."""
    names = [rule.name for rule in workflow.rules]
    for problem in filter(None, [unknown_target(target, names) for target in workflow.dag_settings.targets]):
        raise WorkflowError(problem)
    return plan_jobs(*arguments, **options)


if workflow.is_main_process:
    workflow._prepare_dag = plan_jobs_of_known_targets
