# Tables. The function that a record decorates computes the table (lyapunov_pkg/reproduction/tables).


rule write_table:
    input:
        unpack(lambda wildcards: inputs_of(TABLES[wildcards.table])),
    output:
        csv="results/tables/{table}.csv",
        markdown="results/tables/{table}.md",
        page=report(
            "results/tables/{table}.html",
            caption="../report/caption.rst",
            category=lambda wildcards: TABLES[wildcards.table].heading,
            subcategory="Tables",
            labels=lambda wildcards: {"table": TABLES[wildcards.table].label},
        ),
    log:
        "results/logs/tables/{table}.log",
    wildcard_constraints:
        table="|".join(TABLES),
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        **job_resources("write_table"),
    params:
        place=lambda wildcards: TABLES[wildcards.table].place,
        groups=lambda wildcards: groups_of(TABLES[wildcards.table]),
        study=lambda wildcards: TABLES[wildcards.table].study,
        text=lambda wildcards: TABLES[wildcards.table].text(),
        provenance=lambda wildcards: provenance("write_table.py", TABLES[wildcards.table].place),
    script:
        "../workflow_scripts/write_table.py"
