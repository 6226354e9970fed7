"""Inputs flipped where the state space expands most, beside other choices (chapter 4, sensitivity of R values)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from scipy.stats import ttest_1samp, ttest_ind
from torch import Tensor
from torch.nn.functional import cross_entropy

from lyapunov_pkg.labels import describe
from lyapunov_pkg.networks import Network
from lyapunov_pkg.progress import progress
from lyapunov_pkg.reproduction.populations.spectra import best_position, stored_network
from lyapunov_pkg.spectra.finite_time import finite_time_exponents, running_exponents

RANKINGS = ("expansion", "mean_expansion", "gradient", "intensity")
SEQUENCES_TOGETHER = 1000  # bounds memory, changes no number beyond rounding


@dataclass(frozen=True)
class FlipSettings:
    """What is flipped.

    Attributes:
        n_images: test images.
        n_draws: random choices of pixels for each image.
        n_flips: numbers of pixels that are flipped.
        n_averaged: numbers of R values whose logarithms are averaged (figure 4.3); flips are ranked by the largest.
        n_flips_shown: number of flips for which outputs are kept.
        n_draws_shown: random choices for which they are kept.
    """

    n_images: int
    n_draws: int
    n_flips: Sequence[int]
    n_averaged: Sequence[int]
    n_flips_shown: int
    n_draws_shown: int


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
    log_r = torch.from_numpy(local["finite_time_exponent"].values)
    scores = {
        "expansion": log_r[..., 0],
        "mean_expansion": log_r.mean(-1),
        "gradient": input_gradients(network, inputs, labels).abs(),
        "intensity": inputs[..., 0],
    }
    orders = {name: descending(score, generator) for name, score in scores.items()}
    n_pixels = inputs.shape[1]
    draws = torch.rand(settings.n_draws, *inputs.shape[:2], generator=generator).argsort(-1)

    ranked, random, up = _losses_by_flips(network, inputs, labels, orders, draws, settings.n_flips)
    shown_input, logits = _shown(network, inputs, orders["expansion"], draws, settings)
    result = xr.Dataset(
        {
            "loss": ("image", sequence_losses(network, inputs[None], labels)[0]),
            "loss_ranked": (("n_flips", "ranking", "image"), ranked),
            "loss_random": (("n_flips", "image", "draw"), random),
            "up_share": (("n_flips", "ranking"), up[:, :-1]),
            "up_share_random": ("n_flips", up[:, -1]),
            "log_expansion": (("image", "time"), log_r[..., 0]),
            "mean_log_r": (
                ("n_averaged", "time"),
                torch.stack([log_r[0, :, :n].mean(-1) for n in settings.n_averaged]),
            ),
            "running_exponent": ("time", running_exponents(local.isel(sequence=0))[:, 0].values),
            "input": (("image", "time"), inputs[..., 0]),
            "shown_input": (("image", "time"), shown_input),
            "logits": (("image", "choice", "class"), logits),
            "label": ("image", labels),
            "pixel": ("time", dataset["pixel"].values),
        },
        coords={
            "n_flips": list(settings.n_flips),
            "ranking": list(RANKINGS),
            "choice": ["none", "expansion", *(f"random {draw + 1}" for draw in range(settings.n_draws_shown))],
            "n_averaged": list(settings.n_averaged),
            "time": np.arange(1, n_pixels + 1),
        },
        attrs={
            "variant": variant,
            "epoch": epoch,
            "validation_accuracy": float(training["validation_accuracy"].values[variant, epoch]),
            "n_flips_shown": settings.n_flips_shown,
            "early_share": share_among_first(orders["expansion"], settings.n_flips_shown),
            "image_shape": list(dataset.attrs["image_shape"]),
            "n_diverged": int(training["diverged"].sum()),
        },
    )
    result = result.merge(
        flip_statistics(result["loss_ranked"] - result["loss"], result["loss_random"] - result["loss"])
    )
    return describe(result, DESCRIPTIONS)


DESCRIPTIONS = {
    "n_flips": ("pixel", "number of flipped pixels"),
    "ranking": ("1", "by what pixels are chosen"),
    "choice": ("1", "what is flipped of the image"),
    "n_averaged": ("1", "number of R values whose logarithms are averaged"),
    "time": ("step", "steps of the sequence taken"),
    "loss": ("nat", "cross entropy of the image as it is"),
    "loss_ranked": ("nat", "cross entropy with the pixels of highest rank flipped"),
    "loss_random": ("nat", "cross entropy with random pixels flipped"),
    "up_share": ("1", "share of the flips that are from 0 to 1"),
    "up_share_random": ("1", "share of the random flips that are from 0 to 1"),
    "log_expansion": ("nat/step", "logarithm of the first R value"),
    "mean_log_r": ("nat/step", "mean logarithm of the first R values, for the first image"),
    "running_exponent": ("nat/step", "first finite-time Lyapunov exponent up to each step, for the first image"),
    "input": ("1", "pixel brightness, black 0 to white 1"),
    "shown_input": ("1", "pixel brightness with the pixels of largest expansion flipped"),
    "logits": ("1", "outputs of the network after the last step"),
    "label": ("1", "digit in the image"),
    "pixel": ("1", "row-major index in the image of the pixel that a step takes in"),
    "mean_excess": ("nat", "mean loss with ranked pixels flipped minus that with random ones"),
    "standard_error": ("nat", "standard error of that difference, all flipped images taken as independent"),
    "p_pooled": ("1", "one-sided t-test of two samples of equal variance, all flipped images taken as independent"),
    "p_paired": ("1", "one-sided t-test over images of the ranked loss minus the mean random loss of the same image"),
    "p_holm": ("1", "p_paired corrected for the numbers of flips that are tested (Holm)"),
    "effect_size": ("1", "mean over standard deviation of the paired differences (Cohen's d)"),
}


def _losses_by_flips(
    network: Network,
    inputs: Tensor,
    labels: Tensor,
    orders: Mapping[str, Tensor],
    draws: Tensor,
    n_flips: Sequence[int],
) -> tuple[Tensor, Tensor, np.ndarray]:
    """Losses with more and more pixels flipped, by rank (n_flips, ranking, B) and at random (n_flips, B, draw); and of
    each, random last, the share of flips from 0 to 1, (n_flips, ranking + 1).

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
    return torch.stack(ranked), torch.stack(random), np.array(up)


def _shown(
    network: Network, inputs: Tensor, order: Tensor, draws: Tensor, settings: FlipSettings
) -> tuple[Tensor, Tensor]:
    """Inputs (B, T) with the first pixels of an order (B, T) flipped, and outputs (B, choice, class) of the inputs as
    they are, of those, and of random flips."""
    places = order[None, :, : settings.n_flips_shown]
    random_places = draws[: settings.n_draws_shown, :, : settings.n_flips_shown]
    shown = torch.cat([inputs[None], flip(inputs, places), flip(inputs, random_places)])
    logits = torch.stack([network.forward(each, last_only=True)[0] for each in shown], dim=1)
    return shown[1, ..., 0], logits


def _check(network: Network, dataset: xr.Dataset, settings: FlipSettings) -> None:
    """Refuse settings that ask for more than there is."""
    for name, value, available, of_what in (
        ("n_images", settings.n_images, dataset.sizes["test_sample"], "test images"),
        ("n_flips", max(settings.n_flips), dataset.sizes["time"], "pixels"),
        ("n_flips_shown", settings.n_flips_shown, dataset.sizes["time"], "pixels"),
        ("n_draws_shown", settings.n_draws_shown, settings.n_draws, "random choices"),
        ("n_averaged", max(settings.n_averaged), network.state_size, "exponents"),
    ):
        if value > available:
            raise ValueError(f"{name} of the flips is {value}; expected at most {available}, the number of {of_what}")


def flip(inputs: Tensor, places: Tensor) -> Tensor:
    """Flip pixels (algorithm 3): what is not zero becomes 0, what is zero becomes 1.

    Args:
        inputs: (B, T, 1).
        places: steps to flip, (..., B, k), each once.

    Returns:
        (..., B, T, 1).
    """
    values = inputs[..., 0].expand(*places.shape[:-1], -1)
    return values.scatter(-1, places, (values.gather(-1, places) == 0).to(values))[..., None]


def descending(scores: Tensor, generator: torch.Generator) -> Tensor:
    """Return the order (..., T) that puts the highest scores (..., T) first; ties in random order."""
    shuffled = torch.rand(scores.shape, generator=generator).argsort(-1)
    order = scores.gather(-1, shuffled).argsort(dim=-1, descending=True, stable=True)
    return shuffled.gather(-1, order)


def share_among_first(order: Tensor, count: int) -> float:
    """Return which share of the first `count` places of orders (B, T) are among the first `count` steps."""
    return (order[:, :count] < count).double().mean().item()


def input_gradients(network: Network, inputs: Tensor, labels: Tensor) -> Tensor:
    """Derivative of each sequence's loss after the last step by its inputs (B, T, 1): (B, T)."""
    inputs = inputs.clone().requires_grad_()
    loss = cross_entropy(network.forward(inputs, last_only=True)[0], labels, reduction="sum")
    return torch.autograd.grad(loss, inputs)[0][..., 0]


@torch.no_grad()
def sequence_losses(network: Network, inputs: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy (n, B) in nats after the last step of sequences (n, B, T, F) with labels (B,)."""
    sequences = inputs.flatten(0, 1).split(SEQUENCES_TOGETHER)
    logits = torch.cat([network.forward(part, last_only=True)[0] for part in sequences])
    return cross_entropy(logits, labels.repeat(len(inputs)), reduction="none").view(inputs.shape[:2])


def flip_statistics(ranked: xr.DataArray, random: xr.DataArray) -> xr.Dataset:
    """Test whether ranked flips raise the loss more than random ones, for every ranking and number of flips.

    The dissertation takes all flipped images as independent: `p_pooled`, Student's t-test of 15 against 750 numbers.
    But the random ones come in groups of one image, and the same images were flipped by rank: `p_paired` is a t-test of
    the differences image by image, to the mean over the image's random choices. `p_holm` corrects it, for each ranking,
    for the number of tests (Holm 1979).

    Args:
        ranked: rise of the loss by flips, (n_flips, ranking, image).
        random: the same for random flips, (n_flips, image, draw).

    Returns:
        Dataset over (n_flips, ranking); all tests are one-sided. NaN where the differences do not vary.
    """
    paired = ranked - random.mean("draw")
    everything = random.stack(each=("image", "draw"))
    pooled = xr.apply_ufunc(
        lambda ours, theirs: np.array(_pooled(ours, theirs)),
        ranked,
        everything,
        input_core_dims=[["image"], ["each"]],
        output_core_dims=[["value"]],
        exclude_dims={"image", "each"},
        vectorize=True,
    )
    p_paired = xr.apply_ufunc(
        lambda each: ttest_1samp(each, 0, alternative="greater").pvalue,
        paired,
        input_core_dims=[["image"]],
        vectorize=True,
    )
    return xr.Dataset(
        {
            "mean_excess": paired.mean("image"),
            "standard_error": pooled[..., 0],
            "p_pooled": pooled[..., 1],
            "p_paired": p_paired,
            "p_holm": xr.apply_ufunc(
                holm, p_paired, input_core_dims=[["n_flips"]], output_core_dims=[["n_flips"]], vectorize=True
            ),
            "effect_size": paired.mean("image") / paired.std("image", ddof=1),
        }
    )


def _pooled(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    """Standard error of the difference of two means, and the one-sided p of Student's test that the first is larger."""
    freedoms = np.array([len(ours) - 1, len(theirs) - 1])
    variance = np.average([ours.var(ddof=1), theirs.var(ddof=1)], weights=freedoms)
    standard_error = np.sqrt(variance * (1 / len(ours) + 1 / len(theirs)))
    return standard_error, ttest_ind(ours, theirs, alternative="greater").pvalue


def holm(p_values: np.ndarray) -> np.ndarray:
    """P values (n,) corrected for n tests (Holm 1979): valid whatever their dependence."""
    order = np.argsort(p_values)
    stepwise = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    corrected = np.empty_like(p_values)
    corrected[order] = np.minimum(stepwise, 1)
    return corrected
