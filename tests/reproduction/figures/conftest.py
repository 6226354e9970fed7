"""Small Datasets in the schemas of spectra stores and AeLLE experiments, with outliers like those in real data."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from lyapunov_pkg.reproduction.catalogue import figures, load
from lyapunov_pkg.reproduction.sources import select_variables

ARCHITECTURES = ("rnn", "lstm", "gru", "asrnn", "cornn", "lipschitz", "noisy", "lem")
N_EXPONENTS = 32
HIDDEN_SIZES = (16, 24, 32, 48)
PREDICTORS = ["prednet", "training_mean", "hyperparameters", "loss_at_epoch"]
FINAL_CLASSIFIERS = ["lyapunov_mean", "lyapunov_max", "spectrum_pca", "aelle", "logistic_spectrum"]
PRETRAINED_CLASSIFIERS = [*FINAL_CLASSIFIERS, "loss_at_epoch"]


def make_spectra(architectures=ARCHITECTURES, n_per_architecture=8, n_epochs=10, seed=0) -> xr.Dataset:
    """Return decreasing spectra with outliers.

    One network is shifted by -20, one by +5, one has diverged, some spectra end in -inf, and one loss is 50.
    """
    rng = np.random.default_rng(seed)
    n = n_per_architecture * len(architectures)
    kind = np.repeat(np.arange(len(architectures)), n_per_architecture)
    fall = np.exp(rng.normal(0, 0.3, n)) * np.geomspace(0.02, 4, len(architectures))[kind]
    position = np.linspace(0, 1, N_EXPONENTS)
    exponents = 0.1 - fall[:, None, None] * position**2 + 0.02 * rng.standard_normal((n, n_epochs + 1, 1))
    loss = np.exp(rng.normal(-1, 1, (n, n_epochs + 1)))
    exponents[0] -= 20
    exponents[1] += 5
    exponents[2, :, -2:] = -np.inf
    loss[3] = 50.0
    diverged = np.arange(n) == 4
    exponents[diverged], loss[diverged] = np.nan, np.nan
    return xr.Dataset(
        {
            "lyapunov_exponent": (("variant", "epoch", "exponent"), exponents),
            "validation_loss": (("variant", "epoch"), loss),
            "diverged": ("variant", diverged),
        },
        coords={
            "variant": np.arange(n),
            "epoch": np.arange(n_epochs + 1),
            "architecture": ("variant", np.array(architectures)[kind]),
        },
    )


def _scores(rng, classifiers, n_seeds, *epochs) -> dict:
    dims = ("seed", "classifier") + (("epoch",) if epochs else ())
    shape = (n_seeds, len(classifiers), *epochs)
    scores = {name: (dims, rng.uniform(0.5, 0.9, shape)) for name in ("recall", "precision", "f1")}
    thresholds = np.add.outer(-0.3 * np.arange(n_seeds), 0.1 * np.arange(len(classifiers)))
    return scores | {
        "threshold": (("seed", "classifier"), thresholds),
        "low_is_above": (("seed", "classifier"), np.ones((n_seeds, len(classifiers)), dtype=bool)),
    }


def _partition(rng, n_seeds, n) -> tuple:
    parts = np.array(["train", "validation", "test"])[np.arange(n) % 3]
    return ("seed", "network"), np.stack([rng.permutation(parts) for _ in range(n_seeds)])


def make_final(architectures=ARCHITECTURES, n_seeds=2, n_per_architecture=8) -> xr.Dataset:
    rng = np.random.default_rng(1)
    spectra = make_spectra(architectures, n_per_architecture)
    spectra = spectra.isel(variant=~spectra["diverged"].values, epoch=-1)
    exponents = np.maximum(spectra["lyapunov_exponent"].values, -25.0)
    n, d = exponents.shape
    loss = spectra["validation_loss"].values
    shifts, n_zero = np.array([-0.5, -0.25, 0.0, 0.25, 0.5]), 10
    components = rng.normal(0, 1, (n_seeds, n, 10)) - np.log(loss)[:, None] * np.eye(10)[0]
    components[0, 0, :2] = 80.0
    examples = np.array([np.flatnonzero(spectra["architecture"].values == name)[0] for name in architectures])
    moved = components[:, None] - shifts[:, None, None] * np.eye(10)[0]
    shifted = exponents[examples] * (1 + 0.2 * shifts[:, None, None])
    shares = rng.uniform(0, 100, (n_seeds, len(architectures)))
    return xr.Dataset(
        _scores(rng, FINAL_CLASSIFIERS, n_seeds)
        | {
            "low_error": ("network", loss < np.median(loss)),
            "partition": _partition(rng, n_seeds, n),
            "lyapunov_exponent": (("network", "exponent"), exponents),
            "reconstructed_exponent": (("seed", "network", "exponent"), np.stack([0.9 * exponents] * n_seeds)),
            "lyapunov_mean": ("network", exponents.mean(axis=-1)),
            "lyapunov_max": ("network", exponents.max(axis=-1)),
            "aelle_component": (("seed", "network", "component"), components),
            "spectrum_component": (("seed", "network", "component"), 0.1 * components),
            "shifted_component": (("seed", "loss_shift", "network", "component"), moved),
            "shifted_exponent": (("seed", "loss_shift", "example", "exponent"), np.stack([shifted] * n_seeds)),
            "zero_loss_component": (("seed", "zero_loss_sample", "component"), rng.normal(5, 1, (n_seeds, n_zero, 10))),
            "zero_loss_exponent": (("seed", "zero_loss_sample", "exponent"), rng.normal(0, 1, (n_seeds, n_zero, d))),
            "share_above_median": (("seed", "share_architecture"), shares),
            "share_above_mean": (("seed", "share_architecture"), shares),
            **{
                name: (("seed", "part"), np.full((n_seeds, 3), value))
                for name, value in (("reconstruction_error", 0.5), ("median_error", 1.7), ("r_squared", 0.9))
            },
            "autoencoder_works": ("seed", np.ones(n_seeds, dtype=bool)),
        },
        coords={
            "seed": np.arange(n_seeds),
            "network": np.arange(n),
            "architecture": ("network", spectra["architecture"].values),
            "init_param": ("network", 1.1 + np.arange(n) % 10 / 10),
            "hidden_size": ("network", np.array(HIDDEN_SIZES)[np.arange(n) % len(HIDDEN_SIZES)]),
            "final_loss": ("network", loss),
            "classifier": FINAL_CLASSIFIERS,
            "loss_shift": shifts,
            "part": ["train", "validation", "test"],
            "example_network": ("example", examples),
            "share_architecture": list(architectures),
        },
        attrs={"n_networks": n, "n_diverged": 1, "encoder_widths": [32, 4, 2, 16]},
    )


def make_prednet(n_seeds=2, n_networks=40) -> xr.Dataset:
    """Return a PredNet experiment in which one network was never held out and one loss is an outlier."""
    rng = np.random.default_rng(3)
    loss = rng.uniform(1.5, 2.5, n_networks)
    loss[0] = 40.0
    held_out = loss + rng.normal(0, 0.1, (len(PREDICTORS), n_networks))
    held_out[:, 1] = np.nan
    return xr.Dataset(
        {
            "held_out_prediction": (("predictor", "network"), held_out),
            **{
                name: (("seed", "predictor"), rng.uniform(0.1, 0.5, (n_seeds, len(PREDICTORS))))
                for name in ("mean_absolute_error", "rms_error", "r_squared")
            },
        },
        coords={
            "predictor": PREDICTORS,
            "init_param": ("network", rng.uniform(0.04, 0.4, n_networks)),
            "hidden_size": ("network", np.array(HIDDEN_SIZES)[np.arange(n_networks) % len(HIDDEN_SIZES)]),
            "final_loss": ("network", loss),
        },
        attrs={"n_networks": n_networks, "n_diverged": 1, "spectrum_epoch": 6, "total_epochs": 15},
    )


def make_asrnn(n_variants=24) -> xr.Dataset:
    """Return spectra and eigenvalues of networks with two eps and two gammas; one diverged, one loss is an outlier."""
    rng = np.random.default_rng(5)
    eps = np.array([0.01, 1.0])[np.arange(n_variants) % 2]
    loss = rng.uniform(0.5, 2.5, (n_variants, 1))
    loss[4] = 60.0
    eigenvalues = 1 + eps[:, None] * rng.normal(size=(n_variants, N_EXPONENTS))
    eigenvalues[6] = np.nan
    return xr.Dataset(
        {
            "eigenvalue_real": (("variant", "eigenvalue"), eigenvalues),
            "eigenvalue_imaginary": (("variant", "eigenvalue"), eigenvalues[::-1] - 1),
            "lyapunov_exponent": (("variant", "epoch", "exponent"), -np.sort(-np.log(np.abs(eigenvalues)))[:, None]),
            "validation_loss": (("variant", "epoch"), loss),
            "diverged": ("variant", np.arange(n_variants) == 6),
        },
        coords={"eps": ("variant", eps), "gamma": ("variant", np.where(np.arange(n_variants) < 12, 0.01, 0.1))},
    )


def make_prednets(n_seeds=2, n_epochs=50) -> xr.Dataset:
    rng = np.random.default_rng(6)
    fall = np.exp(-np.arange(n_epochs) / 10)
    return xr.Dataset(
        {
            "validation_error": (
                ("seed", "feature", "prednet_epoch"),
                rng.uniform(0.1, 0.3, (max(n_seeds, 2), 2, 1)) + fall,
            ),
            "baseline_error": ("seed", rng.uniform(0.5, 0.6, max(n_seeds, 2))),
            "difference": ("summary", [0.1, -0.1]),
            "difference_low": ("summary", [0.05, -0.3]),
            "difference_high": ("summary", [0.15, 0.1]),
            "better": ("summary", ["spectrum", "undecided"]),
        },
        coords={
            "feature": ["spectrum", "eigenvalues"],
            "prednet_epoch": np.arange(1, n_epochs + 1),
            "summary": ["last", "lowest"],
        },
    )


def make_pretrained(architectures=ARCHITECTURES, n_seeds=2, n_per_architecture=8, total_epochs=10) -> xr.Dataset:
    rng = np.random.default_rng(2)
    spectra = make_spectra(architectures, n_per_architecture)
    spectra = spectra.isel(variant=~spectra["diverged"].values, epoch=slice(6))
    exponents = np.maximum(spectra["lyapunov_exponent"].values, -25.0)
    loss = spectra["validation_loss"].values
    n, n_epochs = loss.shape
    components = rng.normal(0, 1, (n_seeds, n, n_epochs, 10))
    orthants = rng.uniform(0.5, 0.9, (n_seeds, 4, n_epochs))
    return xr.Dataset(
        _scores(rng, PRETRAINED_CLASSIFIERS, n_seeds, n_epochs)
        | {
            "low_error": ("network", loss[:, -1] < np.median(loss[:, -1])),
            "loss": (("network", "epoch"), loss),
            "partition": _partition(rng, n_seeds, n),
            "lyapunov_mean": (("network", "epoch"), exponents.mean(axis=-1)),
            "lyapunov_max": (("network", "epoch"), exponents.max(axis=-1)),
            "aelle_component": (("seed", "network", "epoch", "component"), components),
            "spectrum_component": (("seed", "network", "epoch", "component"), 0.1 * components),
            "orthant_f1": (("seed", "n_components", "epoch"), orthants),
        },
        coords={
            "seed": np.arange(n_seeds),
            "network": np.arange(n),
            "epoch": np.arange(n_epochs),
            "architecture": ("network", spectra["architecture"].values),
            "final_loss": ("network", loss[:, -1]),
            "classifier": PRETRAINED_CLASSIFIERS,
            "n_components": [1, 2, 4, 10],
        },
        attrs={"total_epochs": total_epochs, "n_networks": n, "n_diverged": 1, "threshold_part": "train"},
    )


def make_examples() -> xr.Dataset:
    image = np.add.outer(np.arange(8), np.arange(8)) / 14
    return xr.Dataset(
        {
            "test_input": (("test_sample", "time", "feature"), np.stack([image, image.T]).astype(np.float32)),
            "test_label": ("test_sample", np.array([3, 7])),
        }
    )


def make_text() -> xr.Dataset:
    characters = np.random.default_rng(4).integers(0, 5, (2, 41))
    return xr.Dataset(
        {
            "test_input": (("test_sample", "time"), characters[:, :-1]),
            "test_target": (("test_sample", "time"), characters[:, 1:]),
        },
        coords={"alphabet": ("character", np.array([" ", "\n", "$", "a", "ж"]))},
    )


def make_pruning(n_seeds=2) -> xr.Dataset:
    """Return savings from -50% to 60% and the losses of 40 complete trainings."""
    rng = np.random.default_rng(5)
    sizes, criteria = [8, 16, 32], ["aelle", "architecture", "loss_at_epoch", "random"]
    by_pool = ("seed", "criterion", "pool_size")
    shape = (n_seeds, len(criteria), len(sizes))
    variables = {name: (by_pool, rng.uniform(-50, 60, shape)) for name in ("saved", "saved_in_all")}
    complete = np.sort(rng.uniform(0.1, 1, (n_seeds, 40)))[:, ::-1]
    return xr.Dataset(
        variables
        | {
            "best_loss": (by_pool, rng.uniform(0.1, 1, shape)),
            "better_in_pool": (by_pool, rng.uniform(0, 50, shape)),
            "budget": ("pool_size", np.array([14, 28, 56])),
            "complete_loss": (("seed", "n_complete"), complete),
            "complete_budget": ("n_complete", 10 * np.arange(1, 41)),
        },
        coords={"seed": np.arange(n_seeds), "criterion": criteria, "pool_size": sizes},
        attrs={"n_networks": 60, "n_diverged": 1},
    )


def make_free_runs() -> xr.Dataset:
    """Return a store of target learning with errors 0.1, 0.2, ..., 1.1, and a diverged network with error 0."""
    errors = np.array([[0.1 * n] for n in range(1, 12)] + [[0.0]])
    phase = 2 * np.pi * np.arange(40) / 40
    target = np.sin(phase * np.arange(1, 13)[:, None] / 3)
    return xr.Dataset(
        {
            "target": (("variant", "time"), target.astype(np.float32)),
            "free_output": (("variant", "time"), (target + errors).astype(np.float32)),
            "validation_loss": (("variant", "epoch"), errors),
            "diverged": ("variant", np.arange(12) == 11),
        }
    )


def make_datasets(architectures=ARCHITECTURES, n_seeds=2, n_per_architecture=8) -> dict[str, xr.Dataset]:
    """Return all Datasets for the figures of chapter 3, by argument name."""
    return {
        "spectra": make_spectra(architectures, n_per_architecture),
        "final": make_final(architectures, n_seeds, n_per_architecture),
        "pretrained": make_pretrained(architectures, n_seeds, n_per_architecture),
        "prednet": make_prednet(n_seeds),
        "eigenvalues": make_asrnn(),
        "prednets": make_prednets(n_seeds),
        "examples": make_examples(),
        "text": make_text(),
        "free_runs": make_free_runs(),
        "pruning": make_pruning(n_seeds),
    }


@pytest.fixture
def datasets():
    """Return `make_datasets`. The test may change its Datasets."""
    return make_datasets


def stores_of(name: str, sets: dict[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """Return the Datasets of a figure of chapter 3 by argument name."""
    if name == "fig_3_b4":
        return {study: sets["final"] for study in ("target_learning", "char_rnn_sizes", "smnist")}
    if name == "fig_3_3":
        return {"spectra": sets["eigenvalues"]}  # This Dataset contains spectra as well as eigenvalues.
    return {argument: sets[argument] for argument in figures()[name].sources}


def draw(name: str, sets: dict[str, xr.Dataset]) -> Figure:
    """Draw a figure of chapter 3 from exactly the variables that its record names."""
    record = figures()[name]
    return load(record.place)(**select_variables(record, stores_of(name, sets)))


@pytest.fixture(scope="session")
def default_sets() -> dict[str, xr.Dataset]:
    """Return the Datasets of `default_figure`. Tests share them, and do not change them."""
    return make_datasets()


@pytest.fixture(scope="session")
def default_figure(default_sets: dict[str, xr.Dataset]) -> Callable[[str], Figure]:
    """Return a function of the name of a figure of chapter 3 that draws it from `default_sets`, once for all tests."""
    return cache(lambda name: draw(name, default_sets))
