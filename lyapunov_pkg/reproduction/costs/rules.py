"""The cost of the jobs of each rule.

`Costs` is the cost model of one configuration. It gives the cost of a job by the function of the job's rule in `RULES`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

from lyapunov_pkg.reproduction.configuration.kept import kept_parameters
from lyapunov_pkg.reproduction.configuration.whole import aelle_settings
from lyapunov_pkg.reproduction.costs.calibration import Speed
from lyapunov_pkg.reproduction.costs.constants import (
    BASE_MEMORY,
    BATCHED_FLOP,
    COMPRESSED,
    DENSE_FLOP,
    DENSE_STEP,
    DOUBLE_FLOP,
    FLOAT,
    FLOW_STEP,
    FREE_RUN,
    RLS_FLOP,
    START,
    START_WITHOUT_TORCH,
    TANGENT_FLOP,
)
from lyapunov_pkg.reproduction.costs.data import Data, task_data
from lyapunov_pkg.reproduction.costs.networks import Networks, tangent_flops
from lyapunov_pkg.reproduction.training.design import study_groups
from lyapunov_pkg.workflow.plan import Cost, Job
from lyapunov_pkg.workflow.shards import indices_of_shard

WITHOUT_TORCH = frozenset({"char_rnn_dataset", "mocap_dataset", "evolution", "correlations", "pruning", "write_table"})
"""Rules whose jobs do not import PyTorch."""


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
N_FIRST_R_VALUES = 3
"""Number of passes over an image for its first R values: with warm-up, and in the other convention also without."""


def flips_cost(costs: Costs) -> Cost:
    """Return the cost of the finite-time exponents of some images, and of losses with flipped pixels."""
    settings, networks = costs.studies["pixel_rnn"]["flips"], costs.networks("pixel_rnn")
    n_steps, size = networks.data.n_steps, networks.hidden_size
    n_flipped = (2 * settings["n_draws"] + N_RANKED_FLIPS) * len(settings["n_flips"])
    n_averaged = max(settings["n_averaged"])
    of_tangents = tangent_flops(size, n_vectors=n_averaged) + N_FIRST_R_VALUES * tangent_flops(size, n_vectors=1)
    flops = settings["n_images"] * n_steps * (of_tangents + n_flipped * 2 * size**2)
    flops *= costs.n_networks("pixel_rnn")
    matrices = settings["n_images"] * size**2 * 2 * FLOAT
    r_values = settings["n_images"] * n_steps * n_averaged * 2 * FLOAT
    return Cost(costs.speed.training * flops * BATCHED_FLOP, BASE_MEMORY + 10 * matrices + 3 * r_values, 2)


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
