"""Inputs flipped where the state space expands most, beside other choices (chapter 4, sensitivity of R values)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from lyapunov_pkg.labels import RUNNING_EXPONENT, TIME, Label, describe
from lyapunov_pkg.networks import Network
from lyapunov_pkg.progress import progress
from lyapunov_pkg.reproduction.configuration.gradients import FlipSettings
from lyapunov_pkg.reproduction.gradients.flip_statistics import DESCRIPTIONS as STATISTICS_DESCRIPTIONS
from lyapunov_pkg.reproduction.gradients.flip_statistics import flip_statistics
from lyapunov_pkg.reproduction.gradients.flipping import (
    descending,
    flip,
    input_gradients,
    sequence_losses,
    share_among_first,
)
from lyapunov_pkg.reproduction.populations.selection import best_position, networks_that_count
from lyapunov_pkg.reproduction.populations.stored import stored_network
from lyapunov_pkg.spectra.finite_time import finite_time_exponents, running_exponents

RANKINGS = ("expansion", "mean_expansion", "gradient", "intensity")
DESCRIPTIONS = {
    "n_flips": Label("pixel", "number of flipped pixels"),
    "ranking": Label("1", "by what pixels are chosen"),
    "choice": Label("1", "what is flipped of the image"),
    "n_averaged": Label("1", "number of R values whose logarithms are averaged"),
    "time": TIME,
    "loss": Label("nat", "cross entropy of the image as it is"),
    "loss_ranked": Label("nat", "cross entropy with the pixels of highest rank flipped"),
    "loss_random": Label("nat", "cross entropy with random pixels flipped"),
    "up_share": Label("1", "share of the flips that are from 0 to 1"),
    "up_share_random": Label("1", "share of the random flips that are from 0 to 1"),
    "log_expansion": Label("nat/step", "logarithm of the first R value"),
    "mean_log_r": Label("nat/step", "mean logarithm of the first R values, for the first image"),
    "running_exponent": RUNNING_EXPONENT.of("the first one, for the first image"),
    "input": Label("1", "pixel brightness, black 0 to white 1"),
    "shown_input": Label("1", "pixel brightness with the pixels of largest expansion flipped"),
    "logits": Label("1", "outputs of the network after the last step"),
    "label": Label("1", "digit in the image"),
    "pixel": Label("1", "row-major index in the image of the pixel that a step takes in"),
}


def flip_experiment(training: xr.Dataset, dataset: xr.Dataset, settings: FlipSettings, seed: int) -> xr.Dataset:
    """Flip pixels of test images, chosen by rankings and at random, and compare the losses.

    The network is the one with the lowest validation loss, of all variants and epochs. Pixels are ranked by
    "expansion", the first R value r_t^1 of the step that takes the pixel in (dissertation, algorithm 3), by
    "mean_expansion", the mean logarithm of its first max(n_averaged) R values ("aggregate effects" in the text's
    discussion), by "gradient", the magnitude of the derivative of the loss by the pixel, and by "intensity", its
    brightness with ties in random order. Random choices are made for each image anew, from the same images and with as
    many flips. All is computed in float64.

    Args:
        training: a training store of networks that classify after the last step.
        dataset: sequences of pixels (`reproduction.tasks.smnist.permuted_pixels`); its first test images are taken.
        settings: what is flipped.
        seed: of the random choices.

    Returns:
        Losses in nats: `loss(image)`, `loss_ranked(ranking, n_flips, image)`, `loss_random(n_flips, image, draw)`; what
        `flip_statistics` makes of them; `up_share(n_flips, ranking)` and `up_share_random(n_flips)`, the share of flips
        from 0 to 1; `log_expansion(image, time)`, log r_t^1; of the first image `mean_log_r(n_averaged, time)` and
        `running_exponent(time)`; for `n_flips_shown` flips `shown_input(image, time)`, and the outputs
        `logits(image, choice, class)` for no flips, the pixels of largest expansion and random ones. Attribute
        `early_share`: of these `n_flips_shown` pixels of largest expansion, the share that is among as many first
        steps, since r_t^1 also tells how far the state has come from zero.

    Raises:
        ValueError: more images, flips or exponents are asked for than there are, or every variant diverged.
    """
    variant, epoch = best_position(training)
    network = stored_network(training, variant, epoch).to(dtype=torch.float64)
    _check(network, dataset, settings)
    inputs = torch.from_numpy(dataset["test_input"].values[: settings.n_images]).double()
    labels = torch.from_numpy(dataset["test_label"].values[: settings.n_images])
    generator = torch.Generator().manual_seed(seed)
    tangents = torch.eye(network.state_size, max(settings.n_averaged), dtype=torch.float64)
    local = finite_time_exponents(network, inputs, initial_tangents=tangents).isel(variant=0)
    orders = _orders(network, inputs, labels, torch.from_numpy(local["finite_time_exponent"].values), generator)
    draws = torch.rand(settings.n_draws, *inputs.shape[:2], generator=generator).argsort(-1)
    result = xr.merge(
        [
            _losses_by_flips(network, inputs, labels, orders, draws, settings.n_flips),
            _expansion(local, settings.n_averaged),
            _shown(network, inputs, orders["expansion"], draws, settings),
        ]
    )
    result["loss"] = ("image", sequence_losses(network, inputs[None], labels)[0])
    result["input"] = (("image", "time"), inputs[..., 0])
    result["label"] = ("image", labels)
    result["pixel"] = ("time", dataset["pixel"].values)
    result = result.merge(
        flip_statistics(result["loss_ranked"] - result["loss"], result["loss_random"] - result["loss"])
    )
    result.attrs = {
        "variant": variant,
        "epoch": epoch,
        "validation_accuracy": float(training["validation_accuracy"].values[variant, epoch]),
        "n_flips_shown": settings.n_flips_shown,
        "early_share": share_among_first(orders["expansion"], settings.n_flips_shown),
        "image_shape": list(dataset.attrs["image_shape"]),
        "n_diverged": int(np.count_nonzero(~networks_that_count(training))),
    }
    return describe(result, DESCRIPTIONS | STATISTICS_DESCRIPTIONS)


def _orders(
    network: Network, inputs: Tensor, labels: Tensor, log_r: Tensor, generator: torch.Generator
) -> dict[str, Tensor]:
    """Return the pixels (B, T) by every ranking, from the logarithms (B, T, k) of the first R values."""
    scores = {
        "expansion": log_r[..., 0],
        "mean_expansion": log_r.mean(-1),
        "gradient": input_gradients(network, inputs, labels).abs(),
        "intensity": inputs[..., 0],
    }
    return {name: descending(score, generator) for name, score in scores.items()}


def _expansion(local: xr.Dataset, n_averaged: Sequence[int]) -> xr.Dataset:
    """Return how far states expand at every step, from finite-time exponents (sequence, time, exponent)."""
    log_r = torch.from_numpy(local["finite_time_exponent"].values)
    mean_log_r = torch.stack([log_r[0, :, :n].mean(-1) for n in n_averaged])
    return xr.Dataset(
        {
            "log_expansion": (("image", "time"), log_r[..., 0]),
            "mean_log_r": (("n_averaged", "time"), mean_log_r),
            "running_exponent": ("time", running_exponents(local.isel(sequence=0))[:, 0].values),
        },
        coords={"n_averaged": list(n_averaged), "time": np.arange(1, log_r.shape[1] + 1)},
    )


def _losses_by_flips(
    network: Network,
    inputs: Tensor,
    labels: Tensor,
    orders: Mapping[str, Tensor],
    draws: Tensor,
    n_flips: Sequence[int],
) -> xr.Dataset:
    """Return the losses with more and more pixels flipped, by rank and at random, and the shares of flips from 0 to 1.

    `orders` are the pixels of each ranking (B, T), `draws` random orders (draw, B, T).
    """
    ranked, random, up = [], [], []
    for count in progress(n_flips, "flips, number of pixels"):
        choices = {name: order[None, :, :count] for name, order in orders.items()} | {"random": draws[..., :count]}
        flipped = {name: flip(inputs, places) for name, places in choices.items()}
        losses = {name: sequence_losses(network, values, labels) for name, values in flipped.items()}
        ranked.append(torch.cat([losses[name] for name in RANKINGS]))
        random.append(losses["random"].mT)
        up.append([(values > inputs).sum().item() / (len(values) * len(inputs) * count) for values in flipped.values()])
    shares = np.array(up)
    return xr.Dataset(
        {
            "loss_ranked": (("n_flips", "ranking", "image"), torch.stack(ranked)),
            "loss_random": (("n_flips", "image", "draw"), torch.stack(random)),
            "up_share": (("n_flips", "ranking"), shares[:, :-1]),
            "up_share_random": ("n_flips", shares[:, -1]),
        },
        coords={"n_flips": list(n_flips), "ranking": list(RANKINGS)},
    )


def _shown(network: Network, inputs: Tensor, order: Tensor, draws: Tensor, settings: FlipSettings) -> xr.Dataset:
    """Return the inputs with the first pixels of an order (B, T) flipped, and the network's outputs for the inputs as
    they are, for those, and for random flips."""
    places = order[None, :, : settings.n_flips_shown]
    random_places = draws[: settings.n_draws_shown, :, : settings.n_flips_shown]
    shown = torch.cat([inputs[None], flip(inputs, places), flip(inputs, random_places)])
    logits = torch.stack([network.forward(each, last_only=True)[0] for each in shown], dim=1)
    random_choices = [f"random {draw + 1}" for draw in range(settings.n_draws_shown)]
    return xr.Dataset(
        {
            "shown_input": (("image", "time"), shown[1, ..., 0]),
            "logits": (("image", "choice", "class"), logits),
        },
        coords={"choice": ["none", "expansion", *random_choices]},
    )


def _check(network: Network, dataset: xr.Dataset, settings: FlipSettings) -> None:
    """Refuse settings that ask for more than there is."""
    for name, value, available, of_what in (
        ("n_images", settings.n_images, dataset.sizes["test_sample"], "test images"),
        ("n_flips", max(settings.n_flips), dataset.sizes["time"], "pixels"),
        ("n_flips_shown", settings.n_flips_shown, dataset.sizes["time"], "pixels"),
        ("n_averaged", max(settings.n_averaged), network.state_size, "exponents"),
    ):
        if value > available:
            raise ValueError(f"{name} of the flips is {value}; expected at most {available}, the number of {of_what}")
