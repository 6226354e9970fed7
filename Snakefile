# Configuration, validation, includes and target rules. All other rules are in rules/.

from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")


report: "report/workflow.rst"


configfile: str(Path(workflow.basedir, "config.yaml"))


include: "rules/common.smk"
include: "rules/cache.smk"
include: "rules/datasets.smk"
include: "rules/training.smk"
include: "rules/spectra.smk"
include: "rules/target_learning.smk"
include: "rules/aelle.smk"
include: "rules/systems.smk"
include: "rules/single_networks.smk"
include: "rules/populations.smk"
include: "rules/gradients.smk"
include: "rules/presentation.smk"
include: "rules/figures.smk"
include: "rules/tables.smk"


wildcard_constraints:
    study="|".join(STUDIES),
    group="|".join(re.escape(label) for groups in GROUPS.values() for label in groups),
    shard=r"\d+",


rule all:
    default_target: True
    input:
        targets(TARGETS.by_default()),


for number in sorted({record.chapter for record in TARGETS.records.values() if record.chapter}):

    rule:
        name:
            f"chapter_{number}"
        input:
            of_chapter(number),


# One target per figure and table. `snakemake --cores 2 table_3_2` makes this table and the results that it needs.
for name, record in TARGETS.records.items():
    if record.study is None:

        rule:
            name:
                name
            input:
                targets([record]),


# One target per study, which makes its figures and tables.
for study in STUDIES:

    rule:
        name:
            f"study_{study}"
        input:
            targets(TARGETS.of_study(study)),


if workflow.is_main_process:
    check_sources()


include: "rules/checks.smk"
