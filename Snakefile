# Configuration, validation, includes and target rules; what is made, and how, stands in rules/.

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
        targets([*FIGURES.values(), *TABLES.values()]),


for number in sorted({record.chapter for record in (*FIGURES.values(), *TABLES.values())}):

    rule:
        name:
            f"chapter_{number}"
        input:
            of_chapter(number),


# One target per figure and table: `snakemake --cores 2 table_3_2` makes just what that one needs.
for name, record in {**FIGURES, **TABLES}.items():

    rule:
        name:
            name
        input:
            targets([record]),


if workflow.is_main_process:
    check_sources()


include: "rules/checks.smk"
