# The data of the tasks.


rule smnist_dataset:
    input:
        lambda wildcards: local_images(),
    output:
        "results/datasets/smnist.zarr.zip",
    log:
        "results/logs/datasets/smnist.log",
    cache: "omit-software"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        **job_resources("smnist_dataset"),
    params:
        # The paths of the files are not params, because the content of the files is verified or is itself a param.
        settings={key: config["smnist"]["data"][key] for key in ("source", "n_train", "n_test")},
        images=images_content,
        seed=config["seed"],
        provenance=lambda wildcards: provenance("smnist_dataset.py"),
    script:
        "../workflow_scripts/smnist_dataset.py"


rule smnist_pixels_dataset:
    input:
        "results/datasets/smnist.zarr.zip",
    output:
        "results/datasets/smnist_pixels.zarr.zip",
    log:
        "results/logs/datasets/smnist_pixels.log",
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        **job_resources("smnist_pixels_dataset"),
    params:
        seed=config["seed"],
        provenance=lambda wildcards: provenance("smnist_pixels_dataset.py"),
    script:
        "../workflow_scripts/smnist_pixels_dataset.py"


# Local files whose content is not verified are inputs, and their content and names are params. A dataset is therefore
# recomputed even if an older file replaces a file. These datasets take only seconds, so they are not cached.


rule char_rnn_dataset:
    input:
        lambda wildcards: local_text(),
    output:
        "results/datasets/char_rnn.zarr.zip",
    log:
        "results/logs/datasets/char_rnn.log",
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        **job_resources("char_rnn_dataset"),
    params:
        settings={key: config["char_rnn"]["data"][key] for key in ("source", "sequence_length", "n_sequences")},
        seed=config["seed"],
        text=text_content,
        python=platform.python_version(),  # the default text is the help texts of Python
        provenance=lambda wildcards: provenance("char_rnn_dataset.py"),
    script:
        "../workflow_scripts/char_rnn_dataset.py"


rule mocap_dataset:
    input:
        lambda wildcards: local_motions(),
    output:
        "results/datasets/mocap.zarr.zip",
    log:
        "results/logs/datasets/mocap.log",
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        **job_resources("mocap_dataset"),
    params:
        settings={key: config["mocap"]["data"][key] for key in ("source", "trials", "sequence_length", "frame_rate")},
        motions=motions_content,
        seed=config["seed"],
        provenance=lambda wildcards: provenance("mocap_dataset.py"),
    script:
        "../workflow_scripts/mocap_dataset.py"


rule sequences_dataset:
    input:
        lambda wildcards: local_sequences(),
    output:
        "results/datasets/sequences.zarr.zip",
    log:
        "results/logs/datasets/sequences.log",
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        **job_resources("sequences_dataset"),
    params:
        settings={key: config["sequences"]["data"][key] for key in ("standardise", "validation_share")},
        sequences=sequences_content,
        seed=config["seed"],
        provenance=lambda wildcards: provenance("sequences_dataset.py"),
    script:
        "../workflow_scripts/sequences_dataset.py"
