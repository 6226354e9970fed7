"""Estimated costs of the workflow's jobs, from operation counts and a short calibration on this machine.

    python -m lyapunov_pkg.reproduction.costs [ARGUMENTS OF SNAKEMAKE]

prints the cost of a run from an empty cache by rule (`make plan`). The operation counts of a job follow from the
configuration: networks, steps, sizes, epochs. The time of an operation was measured on one machine. `calibrate`
measures the speed of the present machine relative to it. docs/cluster.md states the accuracy.
"""

from __future__ import annotations

import argparse
import itertools
import math
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml

from lyapunov_pkg.cells import make_cell
from lyapunov_pkg.reproduction.configuration.kept import kept_parameters
from lyapunov_pkg.reproduction.configuration.whole import aelle_settings, take_away_nulls, validate_configuration
from lyapunov_pkg.reproduction.tasks.sequences import load_sequences
from lyapunov_pkg.reproduction.tasks.smnist import load_smnist
from lyapunov_pkg.reproduction.training.design import COMMON, Group, study_groups
from lyapunov_pkg.workflow.plan import Asked, Cost, Job, planned_jobs, price_table
from lyapunov_pkg.workflow.settings import ConfigurationError, merged
from lyapunov_pkg.workflow.shards import indices_of_shard
from lyapunov_pkg.workflow.strict_yaml import read_configuration

ROOT = Path(__file__).parents[2]

# Seconds per operation on one core of the reference machine. docs/cluster.md has the commands of the measurements.
TRAINED_FLOP = 1 / 100e9  # a product in training
CALIBRATED = 0.85  # measured time of the batch in `calibrate`, divided by the time from these constants
TRAINED_ELEMENT = 4e-9  # a pre-activation or output in training
TANGENT_FLOP = 1 / 100e9  # a product or orthonormalisation of tangent vectors
RECOMPUTED = 1.5  # cost of steps of trained networks, some of which are recomputed in float64, relative to other steps
FREE_RUN = 1.2  # cost of tangent vectors along a free run, relative to driven networks
TANGENT_STEP = 2e-6  # a step of a trajectory, independent of its size
SPECTRUM = 4e-3  # a spectrum, independent of its size
UPDATE = 1e-3  # an update of a stack's parameters, independent of its size
DENSE_STEP = 0.7e-3  # an update of autoencoders or PredNets, independent of their size
DENSE_FLOP = 1 / 20e9
DOUBLE_FLOP = 1 / 5e9  # small matrices in float64
RLS_FLOP = 1 / 10e9  # recursive least squares
BATCHED_FLOP = 1 / 20e9  # many sequences or matrices together in float64
FLOW_STEP = 4e-6  # a step of a trajectory of the Lorenz system with its tangent vectors

START = 2.0  # seconds before the computation of a job begins: Snakemake, Python and imports
START_WITHOUT_TORCH = 1.1
WITHOUT_TORCH = frozenset({"char_rnn_dataset", "mocap_dataset", "evolution", "correlations", "pruning", "write_table"})
BASE_MEMORY = 450.0  # MB of a process with PyTorch
STACKED = 8  # networks that are trained together on a CPU
EVALUATED_STEPS = 7000  # steps of validation sequences that are evaluated together
COMPRESSED = 0.92  # size of stored parameters and spectra relative to their bytes
FLOAT = 4e-6  # MB
TEXT_LENGTHS = {"python_topics": 500_000, "war_and_peace": 3_200_000}
CHARACTERS = 100
CMU_SEQUENCES = 189  # of all known motions
IMAGES = {"digits": (1437, 360, 8), "mnist": (60_000, 10_000, 28)}


@dataclass(frozen=True)
class Speed:
    """Times on this machine, relative to the constants of this module.

    Attributes:
        training: relative time of training.
        tangents: relative time of tangent vectors.
        start: relative time of the start of a job.
    """

    training: float = 1.0
    tangents: float = 1.0
    start: float = 1.0


@dataclass(frozen=True)
class Data:
    """The sequences of a task.

    Attributes:
        n_train: number of sequences in the training part.
        n_validation: number of sequences in the validation part.
        n_steps: number of steps of each sequence.
        n_features: number of features of each step.
        n_outputs: number of outputs of a network.
    """

    n_train: int
    n_validation: int
    n_steps: int
    n_features: int
    n_outputs: int

    @property
    def size(self) -> float:
        """Return the size of the sequences in MB. Characters and pixels are one byte each."""
        features = 1 if self.n_features == self.n_outputs == CHARACTERS else self.n_features
        return (self.n_train + self.n_validation) * self.n_steps * features * FLOAT / 4


def task_data(configuration: Mapping[str, Any], task: str) -> Data:
    """Return the size of a task's data, from the configuration or from a user's own files."""
    if task in ("smnist", "smnist_pixels"):
        settings = configuration["smnist"]["data"]
        if settings["source"] == "idx":
            images = own_images(settings["directory"], settings["n_train"], settings["n_test"])
            n_steps, n_features = images.n_steps, images.n_features
            return images if task == "smnist" else replace(images, n_steps=n_steps * n_features, n_features=1)
        n_train, n_test, width = IMAGES[settings["source"]]
        n_train, n_test = settings["n_train"] or n_train, settings["n_test"] or n_test
        shape = (width, width) if task == "smnist" else (width * width, 1)
        return Data(n_train, n_test, *shape, 10)
    settings = configuration[task]["data"]
    if task == "char_rnn":
        length = TEXT_LENGTHS.get(settings["source"]) or Path(settings["path"]).stat().st_size
        n_sequences = settings["n_sequences"] or length // settings["sequence_length"]
        held_out = n_sequences // 10
        return Data(n_sequences - 2 * held_out, held_out, settings["sequence_length"] - 1, CHARACTERS, CHARACTERS)
    if task == "mocap":
        n_sequences, n_features = (200, 20) if settings["source"] == "synthetic" else (CMU_SEQUENCES, 50)
        steps = settings["sequence_length"] - 1
        return Data(n_sequences - n_sequences // 5, n_sequences // 5, steps, n_features, n_features)
    return own_sequences(settings["path"], settings["standardise"], settings["validation_share"])


@cache
def own_images(directory: str, n_train: int | None, n_test: int | None) -> Data:
    """Return the size of a user's IDX files."""
    sizes = load_smnist("idx", Path(directory), n_train=n_train, n_test=n_test).sizes
    return Data(sizes["train_sample"], sizes["test_sample"], sizes["time"], sizes["feature"], sizes["class"])


@cache
def own_sequences(path: str, standardise: bool, validation_share: float) -> Data:
    """Return the size of a user's sequences."""
    sizes = load_sequences(Path(path), standardise, validation_share, report=lambda line: None).sizes
    n_outputs = sizes["class"] if "class" in sizes else sizes["output"]
    return Data(sizes["train_sample"], sizes["validation_sample"], sizes["time"], sizes["feature"], n_outputs)


@dataclass(frozen=True)
class Networks:
    """Operation counts of the networks of a group on the data of their task."""

    study: Mapping[str, Any]
    group: Group
    data: Data

    @cached_property
    def _value(self) -> dict[str, Any]:
        settings = dict(self.group.settings)
        cell = {name: value for name, value in settings.items() if name not in COMMON and name != "architecture"}
        made = make_cell(settings["architecture"], self.data.n_features, settings["hidden_size"], **cell)
        return {"cell": made, "layers": settings.get("n_layers", 1)}

    @property
    def hidden_size(self) -> int:
        """Return the number of units of all layers."""
        return int(self.group.settings["hidden_size"]) * int(self._value["layers"])

    @property
    def n_parameters(self) -> int:
        """Return the number of parameters of one network, including the readout."""
        shapes = self._value["cell"].parameter_shapes()
        first = sum(rows * columns for rows, columns in shapes.values())
        rows, columns = shapes["recurrent_weight"]
        further = rows * (columns + self._value["cell"].hidden_size) * (self._value["layers"] - 1)
        return int(first + further + self.data.n_outputs * self._value["cell"].hidden_size)

    @property
    def n_rows(self) -> int:
        """Return the number of pre-activations of a step."""
        return int(self._value["cell"].parameter_shapes()["recurrent_weight"][0] * self._value["layers"])

    @property
    def scored(self) -> int:
        """Return the number of outputs in the loss, per step."""
        return self.data.n_outputs if self.study["training"].get("loss_on") == "all" else 0

    def training_seconds(self, n_networks: int, epochs: float) -> float:
        """Return the seconds to train some of the networks."""
        training, data = self.study["training"], self.data
        share = training.get("subsample") or 1.0
        n_validation = data.n_validation * (2 if training.get("validate_on") == "held_out" else 1)
        elements = TRAINED_ELEMENT * (self.n_rows + self.scored)
        step = 6 * self.n_parameters * TRAINED_FLOP + elements
        evaluated = 2 * self.n_parameters * TRAINED_FLOP + elements
        steps = share * data.n_steps * (data.n_train * step + n_validation * evaluated)
        updates = math.ceil(share * data.n_train / training["batch_size"]) * math.ceil(n_networks / STACKED)
        return epochs * (n_networks * steps + updates * UPDATE)

    def training_memory(self, n_networks: int, n_kept: int) -> float:
        """Return the MB of a job that trains some of the networks and stores the parameters of `n_kept` epochs."""
        stack, training = min(n_networks, STACKED), self.study["training"]
        evaluated = min(self.data.n_validation * self.data.n_steps, max(EVALUATED_STEPS, self.data.n_steps))
        steps = stack * max(training["batch_size"] * self.data.n_steps, evaluated)
        activations = steps * (4 * self.n_rows + 13 * self.scored) * FLOAT
        parameters = self.n_parameters * FLOAT
        return BASE_MEMORY + activations + parameters * (4 * stack + 3 * n_networks * n_kept)

    def spectra_seconds(self, n_networks: int, n_epochs: int) -> float:
        """Return the seconds to compute the spectra of some of the networks after some epochs."""
        spectra = self.study["spectra"]
        passes = spectra["warmup_passes"] + spectra.get("measured_passes", 1)
        steps = passes * spectra.get("n_steps", self.data.n_steps)
        rows = self._value["cell"].state_size if spectra.get("jacobian") == "full" else self.hidden_size
        flops = tangent_flops(rows, spectra["orthonormalize_every"])
        single = 1 if spectra["dtype"] == "float32" else 2
        of_one = spectra["n_sequences"] * steps * (RECOMPUTED * single * flops * TANGENT_FLOP + TANGENT_STEP)
        return n_networks * n_epochs * (of_one + SPECTRUM)


def tangent_flops(size: int, orthonormalize_every: int = 1) -> float:
    """Return the operations of a step of all tangent vectors: a product, and a share of an orthonormalisation."""
    return 2.0 * size**3 * (1 + 1 / orthonormalize_every)


class Costs:
    """The costs of the jobs of one configuration."""

    def __init__(self, configuration: Mapping[str, Any], speed: Speed | None = None) -> None:
        """Store a validated configuration and the speed of this machine."""
        self.configuration = configuration
        self.speed = speed or Speed()
        self.studies = configuration["studies"]
        seed = configuration["seed"]
        self.groups = {name: study_groups(name, study, seed) for name, study in self.studies.items()}
        self._data: dict[str, Data] = {}

    def of(self, job: Job) -> Cost:
        """Return the cost of a job.

        Raises:
            ValueError: its rule is unknown in this module.
        """
        if job.rule not in RULES:
            raise ValueError(f"the rule {job.rule} has no cost; expected one in RULES of {__name__}")
        cost = RULES[job.rule](self, **job.wildcards)
        start = START_WITHOUT_TORCH if job.rule in WITHOUT_TORCH else START
        return Cost(cost.seconds + start * self.speed.start, cost.memory, cost.disk)

    def networks(self, study: str, group: str | None = None) -> Networks:
        """Return the networks of a group, by default the largest of a study."""
        groups = self.groups[study]
        chosen = groups[group] if group else max(groups.values(), key=lambda g: g.settings["hidden_size"])
        if self.studies[study]["task"] not in self._data:
            self._data[self.studies[study]["task"]] = self._task(study)
        return Networks(self.studies[study], chosen, self._data[self.studies[study]["task"]])

    def _task(self, study: str) -> Data:
        if "n_samples" in self.studies[study]["training"]:  # target learning has no data
            return Data(1, 1, self.studies[study]["training"]["n_samples"], 1, 1)
        return task_data(self.configuration, self.studies[study]["task"])

    def n_networks(self, study: str, group: str | None = None, shard: str | None = None) -> int:
        """Return how many networks a shard, a group or a study has."""
        if group is None:
            return sum(each.n_variants for each in self.groups[study].values())
        n_variants = self.groups[study][group].n_variants
        return len(indices_of_shard(int(shard or 0), self.studies[study]["shard_size"], n_variants))

    def n_spectra(self, study: str) -> int:
        """Return how many epochs of a network have spectra."""
        settings, training = self.studies[study]["spectra"], self.studies[study]["training"]
        if settings["epochs"] is not None:
            return len(settings["epochs"])
        return (
            len({*training["kept_epochs"], training["epochs"]}) if "kept_epochs" in training else training["epochs"] + 1
        )


def dataset_cost(costs: Costs, task: str) -> Cost:
    """Return the cost of reading and cutting data."""
    data = task_data(costs.configuration, task)
    return Cost(0.2 + data.size / 20, 150 + 10 * data.size, data.size / 2)


def train_cost(costs: Costs, study: str, group: str, shard: str) -> Cost:
    """Return the cost of training a shard."""
    networks, n_networks = costs.networks(study, group), costs.n_networks(study, group, shard)
    epochs = costs.studies[study]["training"]["epochs"]
    kept = kept_parameters(study, costs.studies[study])
    n_kept = (epochs + 1 if kept["epochs"] is None else len(kept["epochs"])) + kept["best"]
    left = n_kept * COMPRESSED + (
        2 if kept["epochs"] is None else 0
    )  # a checkpoint also has the optimiser's two moments
    seconds = costs.speed.training * networks.training_seconds(n_networks, epochs)
    memory = networks.training_memory(n_networks, n_kept) + 4 * networks.data.size
    return Cost(seconds, memory, n_networks * networks.n_parameters * FLOAT * left)


def spectra_cost(costs: Costs, study: str, group: str, shard: str) -> Cost:
    """Return the cost of the spectra of a shard."""
    networks, n_networks = costs.networks(study, group), costs.n_networks(study, group, shard)
    n_epochs = costs.n_spectra(study)
    seconds = costs.speed.tangents * networks.spectra_seconds(n_networks, n_epochs)
    size = networks.hidden_size
    matrices = costs.studies[study]["spectra"]["n_sequences"] * 4 * size**2 * FLOAT
    stored = networks.n_parameters * n_networks * (n_epochs + 1) * FLOAT
    disk = n_networks * n_epochs * size * 4 * FLOAT * COMPRESSED
    return Cost(seconds, BASE_MEMORY + matrices + 2 * stored, disk)


def train_target_learning_cost(costs: Costs, group: str, shard: str) -> Cost:
    """Return the cost of recursive least squares for a shard."""
    study = costs.studies["target_learning"]
    training, size = study["training"], int(costs.groups["target_learning"][group].settings["hidden_size"])
    n_networks = costs.n_networks("target_learning", group, shard)
    density = float(study["hyperparameters"].get("density", 1))
    n_steps = training["n_samples"] * (training["epochs"] + training["free_epochs"])
    n_updates = training["n_samples"] * training["epochs"] / training["update_every"]
    flops = n_networks * (n_steps * 2 * density * size**2 + n_updates * 4 * size**2)
    matrices = n_networks * size**2 * FLOAT
    return Cost(costs.speed.training * flops * RLS_FLOP, BASE_MEMORY + 5 * matrices, 0.4 * matrices)


def spectra_target_learning_cost(costs: Costs, group: str, shard: str) -> Cost:
    """Return the cost of the spectra of a shard of free runs."""
    cost = spectra_cost(costs, "target_learning", group, shard)
    return Cost(FREE_RUN * cost.seconds, cost.memory, cost.disk)


def aelle_cost(costs: Costs, study: str, experiment: str) -> Cost:
    """Return the cost of training the autoencoders of all seeds together."""
    settings = aelle_settings(costs.configuration, study)
    n_networks, epochs = costs.n_networks(study), 1 if experiment == "final" else settings["pretrained_epochs"]
    share = settings["final_fractions" if experiment == "final" else "pretrained_fractions"][0]
    length = settings["spectrum_length"] or costs.networks(study).hidden_size
    autoencoder = settings["autoencoder"]
    n_steps = (
        len(autoencoder["prediction_weights"])
        * autoencoder["epochs_per_stage"]
        * math.ceil(share * n_networks * epochs / autoencoder["batch_size"])
    )
    batch = min(autoencoder["batch_size"], share * n_networks * epochs)
    widths = [length, *(length // divisor for divisor in autoencoder["layer_divisors"]), autoencoder["latent_size"]]
    weights = 2 * sum(a * b for a, b in itertools.pairwise(widths))
    flops = 6 * weights * batch * settings["n_seeds"]
    seconds = n_steps * (DENSE_STEP + flops * DENSE_FLOP)
    size = n_networks * costs.n_spectra(study) * length * 2 * FLOAT
    return Cost(costs.speed.training * seconds, BASE_MEMORY + 200 + 6 * size, size)


def prednet_cost(costs: Costs, study: str) -> Cost:
    """Return the cost of PredNets on early spectra, for all seeds."""
    settings = costs.configuration["prednet"]["early"]
    length = settings["spectrum_length"] or costs.networks(study).hidden_size
    return _prednets(costs, study, settings, length, settings["fractions"][0])


def eigenvalue_prednets_cost(costs: Costs, study: str) -> Cost:
    """Return the cost of PredNets on spectra and on eigenvalues, for all seeds."""
    settings = costs.configuration["prednet"]["eigenvalues"]
    one = _prednets(costs, study, settings, costs.networks(study).hidden_size, 1 - settings["validation_share"])
    return Cost(2 * one.seconds, one.memory, one.disk)


def _prednets(costs: Costs, study: str, settings: Mapping[str, Any], length: int, share: float) -> Cost:
    network, n_networks = settings["network"], costs.n_networks(study)
    flops = 6 * length * network["hidden_size"] * share * n_networks * settings["n_seeds"]
    seconds = network["epochs"] * (DENSE_STEP + flops * DENSE_FLOP)
    return Cost(costs.speed.training * seconds, BASE_MEMORY + 8 * n_networks * length * FLOAT, 2)


def eigenvalues_cost(costs: Costs, study: str) -> Cost:
    """Return the cost of the eigenvalues of a Jacobian of every network."""
    networks = costs.networks(study)
    flops = 25 * networks.hidden_size**3 * costs.n_networks(study)
    disk = costs.n_networks(study) * networks.hidden_size * 4 * FLOAT
    memory = 2 * costs.n_networks(study) * networks.n_parameters * FLOAT
    return Cost(costs.speed.training * flops * DOUBLE_FLOP, BASE_MEMORY + memory, disk)


def correlations_cost(costs: Costs, study: str) -> Cost:
    """Return the cost of statistics of spectra with bootstraps."""
    seconds = 1e-6 * costs.n_networks(study) * costs.configuration["correlations"]["n_resamples"] * 10
    return Cost(costs.speed.training * seconds, 200, 1)


def optimizers_cost(costs: Costs) -> Cost:
    """Return the cost of training the same networks by several optimisers, with spectra after the last epoch."""
    study = costs.studies["optimizers"]
    epochs, n_optimizers = study["training"]["epochs"], len(study["optimizers"])
    seconds, memory = 0.0, BASE_MEMORY
    for label, group in costs.groups["optimizers"].items():
        networks = costs.networks("optimizers", label)
        training = costs.speed.training * networks.training_seconds(group.n_variants, epochs)
        spectra = costs.speed.tangents * networks.spectra_seconds(group.n_variants, 1)
        seconds += n_optimizers * (training + spectra)
        memory = max(memory, networks.training_memory(group.n_variants, 1))
    return Cost(seconds, memory, 0.1)


def estimator_cost(costs: Costs) -> Cost:
    """Return the cost of the estimates of one network's exponents. Those of warm-ups are in float64."""
    settings, networks = costs.configuration["estimator"], costs.networks("char_rnn_initialisation")
    n_steps = settings["n_sequences"] * (max(settings["warmups"]) + settings["n_steps"])
    estimates = 2 * len(settings["warmups"]) + len(settings["intervals"])
    seconds = estimates * n_steps * tangent_flops(networks.hidden_size) * TANGENT_FLOP
    kept = costs.n_networks("char_rnn_initialisation") * networks.n_parameters * FLOAT
    size = len(settings["warmups"]) * settings["n_steps"] * networks.hidden_size * 2 * FLOAT
    return Cost(costs.speed.tangents * seconds, BASE_MEMORY + kept + 40 * size, size)


def alignment_cost(costs: Costs) -> Cost:
    """Return the cost of singular vectors of gradients, and of Lyapunov vectors, at every step."""
    settings, networks = costs.studies["row_rnn"]["alignment"], costs.networks("row_rnn")
    n_matrices = costs.n_networks("row_rnn") * len(settings["epochs"]) * settings["n_initial_states"]
    n_matrices *= networks.data.n_steps
    seconds = n_matrices * 30 * networks.hidden_size**3 * DOUBLE_FLOP
    matrices = settings["n_initial_states"] * networks.data.n_steps * networks.hidden_size**2 * 2 * FLOAT
    return Cost(costs.speed.training * seconds, BASE_MEMORY + 10 * matrices, 5)


def participation_cost(costs: Costs) -> Cost:
    """Return the cost of training the first epochs, with gradients at some of the updates."""
    settings, networks = costs.studies["row_rnn"]["participation"], costs.networks("row_rnn")
    n_networks = costs.n_networks("row_rnn")
    seconds = networks.training_seconds(n_networks, max(settings["at_epochs"]))
    n_steps = n_networks * len(settings["at_epochs"]) * settings["n_initial_states"] * networks.data.n_steps
    seconds += n_steps * networks.data.n_steps * 2 * networks.hidden_size**2 * DOUBLE_FLOP
    return Cost(costs.speed.training * seconds, networks.training_memory(n_networks, 1), 1)


N_RANKED_FLIPS = 42
"""Number of non-random flips of an image per number of pixels: seven rankings of all steps, of later steps, and of four
other images."""
N_R_VALUES = 4
"""Number of passes over an image for its R values: two conventions, with and without warm-up."""


def flips_cost(costs: Costs) -> Cost:
    """Return the cost of the finite-time exponents of some images, and of losses with flipped pixels."""
    settings, networks = costs.studies["pixel_rnn"]["flips"], costs.networks("pixel_rnn")
    n_steps, size = networks.data.n_steps, networks.hidden_size
    n_flipped = (2 * settings["n_draws"] + N_RANKED_FLIPS) * len(settings["n_flips"])
    flops = settings["n_images"] * n_steps * (N_R_VALUES * tangent_flops(size) + n_flipped * 2 * size**2)
    flops *= costs.n_networks("pixel_rnn")
    matrices = settings["n_images"] * size**2 * 2 * FLOAT
    return Cost(costs.speed.training * flops * BATCHED_FLOP, BASE_MEMORY + 10 * matrices, 2)


def lorenz_cost(costs: Costs) -> Cost:
    """Return the cost of trajectories of the Lorenz system."""
    settings = costs.configuration["lorenz"]
    n_steps = 0.0
    for name in ("short_run", "steps_run", "long_run"):
        run = settings[name]
        of_one = (run["transient"] + run["duration"]) / run["step_size"]
        n_steps += of_one * run.get("n_trajectories", 1) * len(settings["rho"])
    return Cost(costs.speed.tangents * n_steps * FLOW_STEP, BASE_MEMORY + 70, 5)


def stability_regimes_cost(costs: Costs) -> Cost:
    """Return the cost of the exponents of an untrained network, step by step in float64."""
    settings = costs.configuration["stability_regimes"]
    n_steps = len(settings["gains"]) * settings["n_inputs"] * settings["n_initial_states"]
    n_steps *= settings["warmup"] + settings["n_steps"]
    seconds = n_steps * tangent_flops(settings["hidden_size"]) * DOUBLE_FLOP
    stored = n_steps * settings["hidden_size"] * 2 * FLOAT
    return Cost(costs.speed.tangents * seconds, BASE_MEMORY + 10 * stored, stored)


def fixed(seconds: float, memory: float, disk: float) -> Callable[..., Cost]:
    """Return the cost function of a rule whose jobs have nearly the same cost in every configuration."""

    def cost(costs: Costs, **wildcards: str) -> Cost:
        return Cost(seconds * costs.speed.training, memory, disk)

    return cost


def dataset_of(task: str) -> Callable[..., Cost]:
    """Return the cost function of the rule that creates a task's data."""
    return lambda costs: dataset_cost(costs, task)


RULES: Mapping[str, Callable[..., Cost]] = {
    "lorenz": lorenz_cost,
    "layered_jacobian": fixed(0.1, 350, 0.1),
    "stability_regimes": stability_regimes_cost,
    "estimator": estimator_cost,
    "evolution": fixed(0.2, 150, 0.1),
    "correlations": correlations_cost,
    "optimizers": optimizers_cost,
    "char_rnn_dataset": dataset_of("char_rnn"),
    "mocap_dataset": dataset_of("mocap"),
    "sequences_dataset": dataset_of("sequences"),
    "smnist_dataset": dataset_of("smnist"),
    "smnist_pixels_dataset": dataset_of("smnist_pixels"),
    "train": train_cost,
    "spectra": spectra_cost,
    "train_target_learning": train_target_learning_cost,
    "spectra_target_learning": spectra_target_learning_cost,
    "aelle": aelle_cost,
    "pruning": fixed(0.5, 150, 0.1),
    "prednet": prednet_cost,
    "eigenvalues": eigenvalues_cost,
    "eigenvalue_prednets": eigenvalue_prednets_cost,
    "alignment": alignment_cost,
    "participation": participation_cost,
    "flips": flips_cost,
    "draw_figure": fixed(0.2, 300, 0.5),
    "write_table": fixed(0.2, 150, 0.01),
}
"""The cost function of each rule, whose arguments are the wildcards of a job."""


def calibrate() -> Speed:
    """Return the speed of this machine, from a few seconds of training, of a spectrum, and of starts of Python."""
    import torch

    from lyapunov_pkg.networks import Network

    torch.set_num_threads(1)
    size, n_steps, n_sequences = 128, 50, 32
    generators = [torch.Generator().manual_seed(0)]
    network = Network.initialise("lstm", 28, size, 28, [0.1], generators)
    inputs = torch.rand(n_sequences, n_steps, 28, generator=generators[0])

    def train() -> None:
        params = {name: value.detach().requires_grad_() for name, value in network.params.items()}
        network.with_params(params).forward(inputs[None]).square().sum().backward()

    def spectrum() -> None:
        from lyapunov_pkg.spectra.averaging import average_exponents

        tangents = network.initial_tangents("reduced")
        average_exponents(network, inputs[:10], network.initial_state(10), tangents, warmup=0, orthonormalize_every=1)

    n_weights = 4 * size * (28 + size) + 28 * size
    step = 6 * n_weights * TRAINED_FLOP + (4 * size + 28) * TRAINED_ELEMENT
    trained = CALIBRATED * (n_sequences * n_steps * step + UPDATE)
    taken = 10 * n_steps * (tangent_flops(size) * TANGENT_FLOP + TANGENT_STEP) + SPECTRUM
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch, xarray, zarr"], check=True)
    started = time.perf_counter() - began
    return Speed(_shortest(train) / trained, _shortest(spectrum) / taken, (0.7 + started) / START)


def _shortest(action: Callable[[], None]) -> float:
    """Return the shortest of several times of an action in s, without the first, which includes compilation."""
    action()
    times = []
    for _ in range(7):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return min(times)


def read_settings(arguments: Sequence[str]) -> dict[str, Any]:
    """Return the configuration that Snakemake reads for the given arguments.

    Raises:
        ConfigurationError: the configuration is not valid.
    """
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    parser.add_argument("--configfile", "--configfiles", nargs="+", action="extend", default=[])
    parser.add_argument("--config", "-C", nargs="*", action="extend", default=[])
    found, _ = parser.parse_known_args(arguments)
    overlay: dict[str, Any] = {}
    for path in found.configfile:
        overlay = merged(overlay, read_configuration(path))
    for pair in found.config:
        name, _, value = pair.partition("=")
        overlay = merged(overlay, {name: yaml.safe_load(value)})
    # Keys of the overlay come first, as in Snakemake, because labels of groups follow the order of hyperparameters.
    configuration = merged(merged(overlay, read_configuration(ROOT / "config.yaml")), overlay)
    take_away_nulls(configuration)
    validate_configuration(configuration)
    return configuration


def main(arguments: Sequence[str]) -> int:
    """Print the cost of a run, and return the exit status."""
    try:
        configuration = read_settings(arguments)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 1
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "1"]
    planned = subprocess.run(
        [*command, "--dry-run", "--forceall", *arguments], capture_output=True, text=True, check=False
    )
    if planned.returncode:
        print(planned.stdout + planned.stderr, file=sys.stderr)
        return planned.returncode
    costs = Costs(configuration, calibrate())
    jobs = planned_jobs(planned.stdout + planned.stderr)
    settings = configuration["resources"]
    asked = {
        job.rule: Asked(own["minutes"], own["memory"])
        for job in jobs
        for own in [settings["default"] | settings.get(job.rule, {})]
    }
    print(price_table([(job.rule, costs.of(job)) for job in jobs], asked))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
