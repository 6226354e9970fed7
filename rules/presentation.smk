# Code that figures and tables share: their records, the input files of the records, and the targets.

from lyapunov_pkg.reproduction.records import Groups, RecordError, Shards, Store, did_you_mean
from lyapunov_pkg.reproduction.targets import targets_of

try:
    TARGETS = targets_of(config, LEFT_OUT)
except RecordError as error:
    raise WorkflowError(str(error)) from None
FIGURES, TABLES = TARGETS.of_kind("figure"), TARGETS.of_kind("table")  # records by name


def inputs_of(record):
    """Return the stores of a record by argument: one file, or all shards of a study."""
    return {
        argument: shards(source.stage, source.study) if isinstance(source, Shards) else source.path
        for argument, source in record.sources.items()
        if not isinstance(source, Groups)
    }


def groups_of(record):
    """Return the designs that a record uses, by argument: the settings of each group and its number of networks."""
    return {
        argument: [dict(group.settings) | {"networks": group.n_variants} for group in GROUPS[source.study].values()]
        for argument, source in record.sources.items()
        if isinstance(source, Groups)
    }


def targets(records):
    """Return the files of figures and tables."""
    kinds = {"figure": ("pdf", "png", "md", "html"), "table": ("csv", "md", "html")}
    return [f"results/{record.kind}s/{record.name}.{kind}" for record in records for kind in kinds[record.kind]]


def of_chapter(number):
    """Return the files of all figures and tables of a chapter."""
    return targets(record for record in (*FIGURES.values(), *TABLES.values()) if record.chapter == number)


def check_sources():
    """Stop if a record names a store that does not exist and that no rule makes."""
    made = [output for rule in workflow.rules for output in rule.output]
    named = [
        (record, source.path)
        for record in (*FIGURES.values(), *TABLES.values())
        for source in record.sources.values()
        if isinstance(source, Store)
    ]
    unknown = [
        (record, path)
        for record, path in named
        if not any(output.match(path) for output in made) and not Path(path).exists()
    ]
    for record, path in unknown:
        known = {path for _, path in named} - {path for _, path in unknown}
        raise WorkflowError(
            f"{record.name} in {record.module} is drawn from {path}, which no rule makes{did_you_mean(path, known)}"
        )
