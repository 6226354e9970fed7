# Figures. The function that a record decorates draws the figure (lyapunov_pkg/reproduction/figures).


rule draw_figure:
    input:
        unpack(lambda wildcards: inputs_of(FIGURES[wildcards.figure])),
    output:
        pdf="results/figures/{figure}.pdf",
        png="results/figures/{figure}.png",
        caption="results/figures/{figure}.md",
        page=report(
            "results/figures/{figure}.html",
            caption="../report/caption.rst",
            category=lambda wildcards: FIGURES[wildcards.figure].heading,
            subcategory="Figures",
            labels=lambda wildcards: {"figure": FIGURES[wildcards.figure].label},
        ),
        drawn_from="results/figures/{figure}.zarr.zip",
    log:
        "results/logs/figures/{figure}.log",
    wildcard_constraints:
        figure="|".join(FIGURES),
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        **job_resources("draw_figure"),
    params:
        place=lambda wildcards: FIGURES[wildcards.figure].place,
        groups=lambda wildcards: groups_of(FIGURES[wildcards.figure]),
        study=lambda wildcards: FIGURES[wildcards.figure].study,
        text=lambda wildcards: FIGURES[wildcards.figure].text(),
        provenance=lambda wildcards: provenance("draw_figure.py", FIGURES[wildcards.figure].place),
    script:
        "../workflow_scripts/draw_figure.py"
