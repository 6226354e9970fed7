"""Flips of inputs where the state space expands most, compared with other choices (chapter 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from lyapunov_pkg.labels import RUNNING_EXPONENT, TIME, VARIANT, Label, describe
from lyapunov_pkg.networks import Network
from lyapunov_pkg.progress import progress
from lyapunov_pkg.reproduction.configuration.gradients import FlipSettings
from lyapunov_pkg.reproduction.gradients.flip_statistics import DESCRIPTIONS as STATISTICS_DESCRIPTIONS
from lyapunov_pkg.reproduction.gradients.flip_statistics import paired_statistics, pooled_statistics
from lyapunov_pkg.reproduction.gradients.flipping import (
    among_later,
    descending,
    flip,
    input_gradients,
    of_other_images,
    sequence_losses,
    share_among_first,
)
from lyapunov_pkg.reproduction.gradients.lyapunov_vectors import q_vectors
from lyapunov_pkg.reproduction.populations.selection import best_position, networks_that_count
from lyapunov_pkg.reproduction.populations.stored import stored_network
from lyapunov_pkg.spectra.finite_time import running_exponents

RANKINGS = (
    "expansion",
    "expansion_settled",
    "transposed",
    "transposed_settled",
    "mean_expansion",
    "gradient",
    "intensity",
)
COMPARISONS = ("random", "same_steps", "later")
N_OTHERS = 4
"""Largest number of other images whose rankings give flips at the same steps, for comparison."""
DESCRIPTIONS = {
    "variant": VARIANT,
    "best_epoch": Label("epoch", "epochs of training of the network whose inputs are flipped"),
    "best_accuracy": Label("1", "its share of the validation targets classified correctly"),
    "early_share": Label("1", "share of the n_flips_shown pixels of highest rank among as many first steps"),
    "n_flips": Label("pixel", "number of flipped pixels"),
    "ranking": Label("1", "by what pixels are chosen"),
    "choice": Label("1", "what is flipped of the image"),
    "n_averaged": Label("1", "number of R values whose logarithms are averaged"),
    "time": TIME,
    "loss": Label("nat", "cross entropy of the image as it is"),
    "loss_ranked": Label("nat", "cross entropy with the pixels of highest rank flipped"),
    "loss_random": Label("nat", "cross entropy with random pixels flipped"),
    "loss_same_steps": Label("nat", "cross entropy with pixels flipped that rank highest in other images, their mean"),
    "loss_ranked_later": Label("nat", "cross entropy with the pixels of highest rank among later steps flipped"),
    "loss_random_later": Label("nat", "cross entropy with random pixels of later steps flipped, mean over choices"),
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
    """Return the losses of test images with flipped pixels, chosen by rankings and by other rules.

    The networks are those that did not diverge, each after its epoch of lowest validation loss. The rankings of pixels
    are:

    - "expansion": the first R value of J Q, r_t^1, at the step of the pixel (dissertation, algorithm 3);
    - "transposed": the first R value of Jᵀ Q, as in eq. 4.11 and the dissertation's programs;
    - "expansion_settled", "transposed_settled": the same after `warmup` steps over the first inputs;
    - "mean_expansion": the mean logarithm of the first max(n_averaged) R values of J Q ("aggregate effects" in the
      text's discussion);
    - "gradient": the magnitude of the derivative of the loss by the pixel;
    - "intensity": its brightness, with ties in random order.

    Each ranking is compared in the same images with as many flips of other pixels. "random" are random pixels.
    "same_steps" are the pixels of highest rank in other images, which are as early in the sequence. "later" are random
    pixels, where both choices exclude the first `n_early` steps. Losses are computed in float32, all other numbers in
    float64.

    Args:
        training: a training store of networks that classify after the last step.
        dataset: sequences of pixels (`reproduction.tasks.smnist.permuted_pixels`); its first test images are used.
        settings: settings of the flips.
        seed: seed of the random choices.

    Returns:
        Losses in nats: `loss(variant, image)`, `loss_ranked(variant, n_flips, ranking, image)`, `loss_random(variant,
        n_flips, image, draw)`, `loss_same_steps` and `loss_ranked_later` as `loss_ranked`, `loss_random_later(variant,
        n_flips, image)`; NaN if there are too few later steps. The `paired_statistics` of the differences for each
        `comparison`, and the `pooled_statistics` of the first `n_images_text` images and the best network, as in the
        text. `up_share(n_flips, ranking)` and `up_share_random(n_flips)`, the share of flips from 0 to 1.
        `early_share(ranking)`, the share of the first `n_flips_shown` pixels that is among as many first steps.

        For the network of lowest validation loss (attributes `variant` and `epoch`, indices in the training store, and
        `best_position`, its index here): `log_expansion(image, time)`, log r_t^1. For its first image
        `mean_log_r(n_averaged, time)` and `running_exponent(time)`. For `n_flips_shown` flips `shown_input(image,
        time)`, and the outputs `logits(image, choice, class)` without flips, with flips of the pixels of largest
        expansion, and with random flips.

    Raises:
        ValueError: more images, flips or exponents are requested than there are, or every variant diverged.
    """
    best, best_epoch = best_position(training)
    _check(stored_network(training, best, best_epoch), dataset, settings)
    inputs = torch.from_numpy(dataset["test_input"].values[: settings.n_images]).double()
    labels = torch.from_numpy(dataset["test_label"].values[: settings.n_images])
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand(settings.n_draws, *inputs.shape[:2], generator=generator).argsort(-1)
    variants = np.flatnonzero(networks_that_count(training)).tolist()
    parts, shown = [], []
    for variant in progress(variants, "flips, variant"):
        epoch = best_position(training.isel(variant=[variant]))[1]
        network = stored_network(training, variant, epoch).to(dtype=torch.float64)
        n_exponents = max(settings.n_averaged)
        local = q_vectors(network, inputs, None, "tangent", n_exponents=n_exponents, return_q=False).isel(variant=0)
        orders = _orders(network, inputs, labels, local, settings.warmup, generator)
        part = _of_network(network, inputs, labels, orders, draws, settings)
        part["best_epoch"] = training["epoch"].values[epoch]
        part["best_accuracy"] = training["validation_accuracy"].values[variant, epoch]
        parts.append(part.assign_coords(variant=training["variant"].values[variant]))
        if variant == best:
            shown.append(_expansion(local, settings.n_averaged))
            shown.append(_shown(network, inputs, orders["expansion"], draws, settings))
    result = xr.merge([xr.concat(parts, "variant"), *shown])
    for name in ("up_share", "up_share_random", "early_share"):
        result[name] = result[name].mean("variant")
    result["input"] = (("image", "time"), inputs[..., 0])
    result["label"] = ("image", labels)
    result["pixel"] = ("time", dataset["pixel"].values)
    result = result.merge(statistics(result, variants.index(best), settings.n_images_text))
    result.attrs = {
        "variant": best,
        "best_position": variants.index(best),
        "epoch": best_epoch,
        "validation_accuracy": float(training["validation_accuracy"].values[best, best_epoch]),
        "n_flips_shown": settings.n_flips_shown,
        "n_images_text": settings.n_images_text,
        "n_early": settings.n_early,
        "warmup": settings.warmup,
        "image_shape": list(dataset.attrs["image_shape"]),
        "n_diverged": int(np.count_nonzero(~networks_that_count(training))),
    }
    return describe(result, DESCRIPTIONS | STATISTICS_DESCRIPTIONS)


def _of_network(
    network: Network,
    inputs: Tensor,
    labels: Tensor,
    orders: Mapping[str, Tensor],
    draws: Tensor,
    settings: FlipSettings,
) -> xr.Dataset:
    """Return the losses of one network with and without flips, and the shares of early pixels in the rankings."""
    part = _losses_by_flips(network, inputs, labels, orders, draws, settings)
    part["loss"] = ("image", sequence_losses(network, inputs[None], labels)[0])
    part["early_share"] = ("ranking", [share_among_first(each, settings.n_flips_shown) for each in orders.values()])
    return part


def statistics(losses: xr.Dataset, best: int, n_images_text: int) -> xr.Dataset:
    """Return the tests of flips: paired tests for every comparison, and the text's test of one network."""
    differences = [
        losses["loss_ranked"] - losses["loss_random"].mean("draw"),
        losses["loss_ranked"] - losses["loss_same_steps"],
        losses["loss_ranked_later"] - losses["loss_random_later"],
    ]
    of_text = losses.isel(variant=best, image=slice(n_images_text))
    return paired_statistics(xr.concat(differences, xr.Variable("comparison", list(COMPARISONS)))).merge(
        pooled_statistics(of_text["loss_ranked"] - of_text["loss"], of_text["loss_random"] - of_text["loss"]),
        compat="override",
    )


def _orders(
    network: Network,
    inputs: Tensor,
    labels: Tensor,
    local: xr.Dataset,
    warmup: int,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Return {ranking: order of pixels (B, T)}. `local` has the first R values of J Q without warm-up."""
    again = torch.cat([inputs[:, :warmup], inputs], dim=1)

    def first_r(convention: str, steps: Tensor, n_warmup: int = 0) -> Tensor:
        found = q_vectors(network, steps, None, convention, n_warmup, n_exponents=1, return_q=False)
        return _log_r(found.isel(variant=0))[..., 0]

    log_r = _log_r(local)
    scores = {
        "expansion": log_r[..., 0],
        "expansion_settled": first_r("tangent", again, warmup),
        "transposed": first_r("dissertation", inputs),
        "transposed_settled": first_r("dissertation", again, warmup),
        "mean_expansion": log_r.mean(-1),
        "gradient": input_gradients(network, inputs, labels).abs(),
        "intensity": inputs[..., 0],
    }
    return {name: descending(scores[name], generator) for name in RANKINGS}


def _log_r(local: xr.Dataset) -> Tensor:
    """Return the logarithms (B, T, k) of the R values of one network."""
    return torch.from_numpy(local["finite_time_exponent"].values)


def _expansion(local: xr.Dataset, n_averaged: Sequence[int]) -> xr.Dataset:
    """Return the expansion of states at every step, from finite-time exponents (sequence, time, exponent)."""
    log_r = _log_r(local)
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
    settings: FlipSettings,
) -> xr.Dataset:
    """Return the losses of one network with increasing numbers of flipped pixels, and the shares of flips from 0 to 1.

    `orders` are the pixels (B, T) of each ranking, `draws` random orders (draw, B, T).
    """
    n_others = min(N_OTHERS, len(inputs) - 1)
    n_later = inputs.shape[1] - settings.n_early
    ranked = torch.stack([orders[name] for name in RANKINGS])
    others = torch.stack([of_other_images(order, n_others) for order in ranked])
    later, random_later = (among_later(order, settings.n_early) for order in (ranked, draws))

    def losses(places: Tensor, count: int) -> Tensor:
        return sequence_losses(network, flip(inputs, places[..., :count]), labels)

    of_counts: dict[str, list[Tensor]] = {}
    for count in settings.n_flips:
        nothing = torch.full(labels.shape, torch.nan, dtype=torch.float64)
        fits = count <= n_later
        found = {
            "loss_ranked": losses(ranked, count),
            "loss_random": losses(draws, count).mT,
            "loss_same_steps": losses(others.flatten(0, 1), count).unflatten(0, (-1, n_others)).mean(1),
            "loss_ranked_later": losses(later, count) if fits else nothing.expand(len(RANKINGS), -1),
            "loss_random_later": losses(random_later, count).mean(0) if fits else nothing,
            "up_share": _up_share(inputs, ranked[..., :count]),
            "up_share_random": _up_share(inputs, draws[..., :count]).mean(),
        }
        for name, values in found.items():
            of_counts.setdefault(name, []).append(values)
    by_ranking = ("n_flips", "ranking", "image")
    dims = {"loss_random": ("n_flips", "image", "draw"), "loss_random_later": ("n_flips", "image")}
    dims |= {"up_share": ("n_flips", "ranking"), "up_share_random": ("n_flips",)}
    return xr.Dataset(
        {name: (dims.get(name, by_ranking), torch.stack(values)) for name, values in of_counts.items()},
        coords={"n_flips": list(settings.n_flips), "ranking": list(RANKINGS)},
    )


def _up_share(inputs: Tensor, places: Tensor) -> Tensor:
    """Return the share (n,) of flips from 0 to 1 at places (n, B, k)."""
    values = inputs[..., 0].expand(len(places), -1, -1).gather(-1, places)
    return (values == 0).double().mean((-2, -1))


def _shown(network: Network, inputs: Tensor, order: Tensor, draws: Tensor, settings: FlipSettings) -> xr.Dataset:
    """Return inputs with the first pixels of an order (B, T) flipped, and the network's outputs.

    The outputs are those for the original inputs, for the flipped inputs, and for random flips."""
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
    """Check that settings request no more than there is."""
    for name, value, available, of_what in (
        ("n_images", settings.n_images, dataset.sizes["test_sample"], "test images"),
        ("n_flips", max(settings.n_flips), dataset.sizes["time"], "pixels"),
        ("n_flips_shown", settings.n_flips_shown, dataset.sizes["time"], "pixels"),
        ("n_early", settings.n_early, dataset.sizes["time"] - 1, "pixels but one"),
        ("n_averaged", max(settings.n_averaged), network.state_size, "exponents"),
    ):
        if value > available:
            raise ValueError(f"{name} of the flips is {value}; expected at most {available}, the number of {of_what}")
