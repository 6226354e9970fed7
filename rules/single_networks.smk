# Single untrained and trained networks of chapter 2.


rule layered_jacobian:
    output:
        "results/networks/layered_jacobian.zarr.zip",
    log:
        "results/logs/networks/layered_jacobian.log",
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        **job_resources("layered_jacobian"),
    params:
        settings=config["layered_jacobian"],
        seed=config["seed"],
        provenance=lambda wildcards: provenance(
            "layered_jacobian.py", f"lyapunov_pkg.cells.{config['layered_jacobian']['architecture']}"
        ),
    script:
        "../workflow_scripts/layered_jacobian.py"


rule stability_regimes:
    output:
        "results/networks/stability_regimes.zarr.zip",
    log:
        "results/logs/networks/stability_regimes.log",
    cache: "omit-software"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        **job_resources("stability_regimes"),
    params:
        settings=config["stability_regimes"],
        seed=config["seed"],
        provenance=lambda wildcards: provenance("stability_regimes.py", "lyapunov_pkg.cells.rnn"),
    script:
        "../workflow_scripts/stability_regimes.py"


if "char_rnn_initialisation" in STUDIES:

    rule estimator:
        input:
            training=shards("training", "char_rnn_initialisation"),
            dataset=dataset_of("char_rnn_initialisation"),
        output:
            "results/networks/estimator.zarr.zip",
        log:
            "results/logs/networks/estimator.log",
        cache: "omit-software"
        conda:
            "../envs/workflow.yaml"
        threads: 1
        resources:
            **job_resources("estimator"),
        params:
            groups=list(GROUPS["char_rnn_initialisation"]),
            device=config["device"],
            settings=config["estimator"],
            provenance=lambda wildcards: provenance("estimator.py", *cell_modules("char_rnn_initialisation")),
        script:
            "../workflow_scripts/estimator.py"
