# Tables: name of the table, and the stores that it is read from.

STUDY_TABLES = {
    "table_extra_prednet": {"prednet": "results/aelle/char_rnn_sizes_prednet.zarr.zip"},
    "table_extra_pruning": {"pruning": "results/aelle/smnist_pruning.zarr.zip"},
    "table_3_b2": TARGET_LEARNING,
    "table_3_b3": SIZES,
    "table_3_1": PRETRAINED,
    "table_3_2": PRETRAINED,
    "table_3_3": PRETRAINED,
    "table_3_b4": FINAL,
    "table_3_d5": FINAL,
}
CHAPTER_2_TABLES = {"table_2_a1": CHAR_RNN, "table_2_a2": MOCAP, "table_extra_correlations": CHAR_RNN | MOCAP}
TABLE_STORES = CHAPTER_2_TABLES | STUDY_TABLES | {"table_4_1": FLIPS}
TABLES.extend([*TABLE_STORES, "table_3_a1"])


rule write_table:
    input:
        unpack(lambda wildcards: TABLE_STORES[wildcards.table]),
    output:
        csv=report(
            "results/tables/{table}.csv",
            caption="../report/table.rst",
            category=lambda wildcards: chapter(wildcards.table),
            subcategory="Tables",
        ),
        markdown="results/tables/{table}.md",
    log:
        "results/logs/tables/{table}.log",
    wildcard_constraints:
        table="|".join(TABLE_STORES),
    threads: 1
    resources:
        **job_resources("write_table"),
    conda:
        "../envs/workflow.yaml"
    params:
        provenance=lambda wildcards: provenance("write_table.py", f"lyapunov_pkg.reproduction.tables:{wildcards.table}"),
    script:
        "../workflow_scripts/write_table.py"


rule write_table_3_a1:
    output:
        csv=report(
            "results/tables/table_3_a1.csv",
            caption="../report/table.rst",
            category=chapter("table_3_a1"),
            subcategory="Tables",
        ),
        markdown="results/tables/table_3_a1.md",
    log:
        "results/logs/tables/table_3_a1.log",
    threads: 1
    resources:
        **job_resources("write_table_3_a1"),
    conda:
        "../envs/workflow.yaml"
    params:
        groups=[dict(group.settings) | {"networks": group.n_variants} for group in GROUPS["smnist"].values()],
        provenance=provenance("write_table_3_a1.py"),
    script:
        "../workflow_scripts/write_table_3_a1.py"
