# Autoencoders of spectra and the classifiers beside them.


rule aelle_smnist:
    input:
        spectra=shards("spectra", "smnist"),
    output:
        "results/aelle/smnist_{experiment}.zarr.zip",
    cache: "omit-software"
    log:
        "results/logs/aelle/smnist_{experiment}.log",
    wildcard_constraints:
        experiment="final|pretrained",
    threads: 1
    resources:
        **job_resources("aelle_smnist"),
    conda:
        "../envs/workflow.yaml"
    params:
        autoencoder=STUDIES["smnist"]["aelle"]["autoencoder"],
        seeds=[config["seed"] + index for index in range(STUDIES["smnist"]["aelle"]["n_seeds"])],
        exponent_floor=STUDIES["smnist"]["aelle"]["exponent_floor"],
        protocol=lambda wildcards: aelle_protocol(wildcards.experiment),
        provenance=provenance("aelle_smnist.py"),
    script:
        "../workflow_scripts/aelle_smnist.py"
