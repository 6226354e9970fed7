# Statistics of all spectra of a study: how they converge during training, and how they correlate with performance.


rule evolution:
    input:
        spectra=lambda wildcards: shards("spectra", wildcards.study),
    output:
        "results/evolution/{study}.zarr.zip",
    log:
        "results/logs/evolution/{study}.log",
    cache: "omit-software"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        **job_resources("evolution"),
    params:
        names=names,
        groups=group_order,
        provenance=lambda wildcards: provenance("evolution.py"),
    script:
        "../workflow_scripts/evolution.py"


CORRELATION_SETTINGS = ("n_highlighted", "near_zero", "exponent_floor", "early_epochs", "n_resamples")


rule correlations:
    input:
        spectra=lambda wildcards: shards("spectra", wildcards.study),
    output:
        "results/populations/{study}.zarr.zip",
    log:
        "results/logs/populations/{study}.log",
    cache: "omit-software"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        **job_resources("correlations"),
    params:
        names=names,
        groups=group_order,
        highlighted_by=lambda wildcards: config["correlations"]["highlighted_by"].get(
            wildcards.study, "maximum_exponent"
        ),
        # The figures of chapter 2 need spectra at the best epoch of every network.
        any_epochs=lambda wildcards: wildcards.study not in config["correlations"]["highlighted_by"],
        settings={key: config["correlations"][key] for key in CORRELATION_SETTINGS},
        seed=config["seed"],
        provenance=lambda wildcards: provenance("correlations.py"),
    script:
        "../workflow_scripts/correlations.py"


if "optimizers" in STUDIES:

    rule optimizers:
        input:
            dataset=dataset_of("optimizers"),
        output:
            "results/optimizers/comparison.zarr.zip",
        log:
            "results/logs/optimizers/comparison.log",
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
            provenance=lambda wildcards: provenance("optimizers.py", *cell_modules("optimizers")),
        script:
            "../workflow_scripts/optimizers.py"
