# Figures: name of the figure, and the stores that it is drawn from.

FINAL = {"final": "results/aelle/smnist_final.zarr.zip"}
PRETRAINED = {"pretrained": "results/aelle/smnist_pretrained.zarr.zip"}

SMNIST_FIGURES = {
    "fig_3_5": {"spectra": shards("spectra", "smnist")},
    "fig_3_9": {**FINAL, "examples": "results/datasets/smnist.zarr.zip"},
    "fig_3_10": PRETRAINED,
    "fig_3_11": PRETRAINED,
    "fig_3_12": FINAL,
    "fig_3_13": FINAL,
    "fig_3_14": FINAL,
    "fig_3_15": FINAL,
    "fig_3_b3": FINAL,
    "fig_extra_pruning": {"pruning": "results/aelle/smnist_pruning.zarr.zip"},
}
LORENZ_FIGURES = {name: {"lorenz": "results/systems/lorenz.zarr.zip"} for name in ("fig_1_1", "fig_1_2")}
ESTIMATOR = {"estimator": "results/networks/estimator.zarr.zip"}
CHAR_RNN = {"char_rnn": "results/populations/char_rnn_regularisation.zarr.zip"}
MOCAP = {"mocap": "results/populations/mocap.zarr.zip"}
CHAPTER_2_FIGURES = {
    "fig_2_1": {"layers": "results/networks/layered_jacobian.zarr.zip"},
    "fig_2_2": ESTIMATOR,
    "fig_2_3": {"regimes": "results/networks/stability_regimes.zarr.zip"},
    "fig_2_4": ESTIMATOR,
    "fig_2_5": ESTIMATOR,
    "fig_2_6": {"evolution": "results/populations/char_rnn_initialisation.zarr.zip"},
    "fig_2_7": CHAR_RNN | MOCAP,
    "fig_2_8": CHAR_RNN,
    "fig_2_b1": CHAR_RNN | MOCAP,
    "fig_2_b2": CHAR_RNN,
}
ALIGNMENT = {"alignment": "results/gradients/alignment.zarr.zip"}
FLIPS = {"flips": "results/gradients/flips.zarr.zip"}

GRADIENT_FIGURES = {
    "fig_4_1": ALIGNMENT,
    "fig_4_2": ALIGNMENT,
    "fig_4_3": FLIPS,
    "fig_4_4": FLIPS,
    "fig_4_5": FLIPS,
    "fig_4_b1": {"participation": "results/gradients/participation.zarr.zip"},
    "fig_4_c2": ALIGNMENT,
    "fig_4_d": FLIPS,
    "fig_extra_clv_alignment": ALIGNMENT,
}
SIZES = {"final": "results/aelle/char_rnn_sizes_final.zarr.zip"}
SIZES_FIGURES = {
    "fig_3_1": {"prednet": "results/aelle/char_rnn_sizes_prednet.zarr.zip"},
    "fig_3_6": SIZES,
    "fig_3_8": {**SIZES, "text": "results/datasets/char_rnn.zarr.zip"},
    "fig_3_b2": SIZES,
}
ASRNN_FIGURES = {
    "fig_3_2": {"eigenvalues": "results/eigenvalues/asrnn.zarr.zip"},
    "fig_3_3": {"spectra": shards("spectra", "asrnn")},
    "fig_3_4": {"prednets": "results/aelle/asrnn_eigenvalue_prednets.zarr.zip"},
}
TARGET_LEARNING = {"final": "results/aelle/target_learning_final.zarr.zip"}
TARGET_LEARNING_FIGURES = {
    "fig_3_7": {**TARGET_LEARNING, "free_runs": shards("training", "target_learning")},
    "fig_3_b1": TARGET_LEARNING,
}
FIGURE_STORES = LORENZ_FIGURES | CHAPTER_2_FIGURES | SMNIST_FIGURES | SIZES_FIGURES | ASRNN_FIGURES
FIGURE_STORES |= TARGET_LEARNING_FIGURES | GRADIENT_FIGURES
# A column for each study.
STUDIES_OF_CHAPTER_3 = ("target_learning", "char_rnn_sizes", "smnist")
FIGURE_STORES["fig_3_b4"] = {name: f"results/aelle/{name}_final.zarr.zip" for name in STUDIES_OF_CHAPTER_3}
FIGURES.extend(FIGURE_STORES)


rule draw_figure:
    input:
        unpack(lambda wildcards: FIGURE_STORES[wildcards.figure]),
    output:
        pdf="results/figures/{figure}.pdf",
        png=report(
            "results/figures/{figure}.png",
            caption="../report/figure.rst",
            category=lambda wildcards: chapter(wildcards.figure),
            subcategory="Figures",
        ),
        drawn_from="results/figures/{figure}.zarr.zip",
    log:
        "results/logs/figures/{figure}.log",
    wildcard_constraints:
        figure="|".join(FIGURE_STORES),
    threads: 1
    resources:
        **job_resources("draw_figure"),
    conda:
        "../envs/workflow.yaml"
    params:
        provenance=lambda wildcards: provenance(
            "draw_figure.py", f"lyapunov_pkg.reproduction.figures.chapter_{chapter_of(wildcards.figure)}:{wildcards.figure}"
        ),
    script:
        "../workflow_scripts/draw_figure.py"
