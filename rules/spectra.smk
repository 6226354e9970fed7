# Lyapunov spectra of trained networks, epoch by epoch.


rule spectra_smnist:
    input:
        training="results/training/smnist/{architecture}/{shard}.zarr.zip",
        dataset="results/datasets/smnist.zarr.zip",
    output:
        "results/spectra/smnist/{architecture}/{shard}.zarr.zip",
    cache: "omit-software"
    log:
        "results/logs/spectra/smnist/{architecture}/{shard}.log",
    threads: 1
    resources:
        **job_resources("spectra_smnist"),
    conda:
        "../envs/workflow.yaml"
    params:
        device=config["device"],
        hyperparameters=lambda wildcards: hyperparameters(wildcards.architecture),
        spectra=SMNIST["spectra"],
        provenance=lambda wildcards: provenance("spectra_smnist.py", f"lyapunov_pkg.cells.{wildcards.architecture}"),
    script:
        "../workflow_scripts/spectra_smnist.py"
