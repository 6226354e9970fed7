# Data of the tasks.


rule smnist_dataset:
    output:
        directory("results/datasets/smnist.zarr"),
    log:
        "results/logs/datasets/smnist.log",
    conda:
        "../envs/workflow.yaml"
    params:
        settings=SMNIST["data"],
        seed=config["seed"],
        downloads="downloads/mnist",
        provenance=provenance("smnist_dataset.py"),
    script:
        "../workflow_scripts/smnist_dataset.py"


rule char_rnn_dataset:
    output:
        directory("results/datasets/char_rnn.zarr"),
    log:
        "results/logs/datasets/char_rnn.log",
    conda:
        "../envs/workflow.yaml"
    params:
        settings=config["char_rnn"]["data"],
        seed=config["seed"],
        downloads="downloads/war_and_peace",
        provenance=provenance("char_rnn_dataset.py"),
    script:
        "../workflow_scripts/char_rnn_dataset.py"


rule mocap_dataset:
    output:
        directory("results/datasets/mocap.zarr"),
    log:
        "results/logs/datasets/mocap.log",
    conda:
        "../envs/workflow.yaml"
    params:
        settings=config["mocap"]["data"],
        seed=config["seed"],
        downloads="downloads/cmu_mocap",
        provenance=provenance("mocap_dataset.py"),
    script:
        "../workflow_scripts/mocap_dataset.py"
