# What the spectra of all networks of a study have in common: how they settle, and what goes with performance.


rule evolution:
    input:
        spectra=shards("spectra", "char_rnn_initialisation"),
    output:
        "results/populations/char_rnn_initialisation.zarr.zip",
    log:
        "results/logs/populations/char_rnn_initialisation.log",
    cache: "omit-software"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        **job_resources("evolution"),
    params:
        groups=list(GROUPS["char_rnn_initialisation"]),
        provenance=provenance("evolution.py"),
    script:
        "../workflow_scripts/evolution.py"


CORRELATION_SETTINGS = ("n_highlighted", "near_zero", "exponent_floor", "n_resamples")


rule correlations:
    input:
        spectra=lambda wildcards: shards("spectra", wildcards.study),
    output:
        "results/populations/{study}.zarr.zip",
    log:
        "results/logs/populations/{study}.log",
    wildcard_constraints:
        study="|".join(config["correlations"]["highlighted_by"]),
    cache: "omit-software"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        **job_resources("correlations"),
    params:
        names=names,
        groups=group_order,
        highlighted_by=lambda wildcards: config["correlations"]["highlighted_by"][wildcards.study],
        settings={key: config["correlations"][key] for key in CORRELATION_SETTINGS},
        seed=config["seed"],
        provenance=provenance("correlations.py"),
    script:
        "../workflow_scripts/correlations.py"


rule optimizers:
    input:
        dataset=dataset_of("optimizers"),
    output:
        "results/populations/optimizers.zarr.zip",
    log:
        "results/logs/populations/optimizers.log",
    cache: "omit-software"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        **job_resources("optimizers"),
    params:
        groups={
            label: {"design": dict(group.settings), "n_variants": group.n_variants}
            for label, group in GROUPS["optimizers"].items()
        },
        training=STUDIES["optimizers"]["training"],
        optimizers=STUDIES["optimizers"]["optimizers"],
        spectra=STUDIES["optimizers"]["spectra"],
        settings={key: config["correlations"][key] for key in ("exponent_floor", "n_resamples")},
        seed=config["seed"],
        device=config["device"],
        provenance=provenance("optimizers.py", *cell_modules("optimizers")),
    script:
        "../workflow_scripts/optimizers.py"
