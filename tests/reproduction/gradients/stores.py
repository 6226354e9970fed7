"""Small stores in the schemas of chapter 4, for tests of figures and tables."""

from __future__ import annotations

import numpy as np
import xarray as xr

from lyapunov_pkg.reproduction.gradients.input_flips import RANKINGS, statistics


def make_alignment(n_networks: int = 2, hidden_size: int = 12, n_steps: int = 5, epochs=(0, 5)) -> xr.Dataset:
    """Return a Dataset like that of `alignment_experiment`.

    After training, the distributions of the first vectors are wider. Equal numbers of networks start from small and
    from uniform weights.
    """
    n_variants = 2 * n_networks
    coords = {
        "variant": np.arange(n_variants),
        "epoch": list(epochs),
        "vectors": ["tangent", "dissertation", "released", "settled", "covariant"],
        "side": ["left", "right"],
        "modes": ["first", "last"],
        "group": ["first", "last", "random"],
    }
    shape = tuple(map(len, coords.values()))
    null = hidden_size**-0.5
    widths = np.full(shape, null)
    widths[:, -1, ..., 0] *= 1.5
    widths += 0.01 * (np.arange(n_variants) % n_networks).reshape(-1, *[1] * 5)
    bins = np.linspace(-0.98, 0.98, 50)
    density = np.exp(-((bins / widths[..., None]) ** 2) / 2) / widths[..., None] / (2 * np.pi) ** 0.5
    by_index = np.broadcast_to(null, (*shape[:-1], n_steps, hidden_size)) + 0.01 * np.arange(n_steps)[:, None]
    dims = tuple(coords)
    return xr.Dataset(
        {
            "alignment_std": (dims, widths),
            "alignment_std_averaged": (dims, 0.9 * widths),
            "alignment_std_resolved": (dims, widths),
            "alignment_density": ((*dims, "alignment"), density),
            "alignment_std_by_index": ((*dims[:-1], "time", "exponent"), by_index),
            "gradient_rank": ((*dims[:3], "time"), np.broadcast_to(np.arange(1.0, n_steps + 1), (*shape[:3], n_steps))),
        },
        coords=coords
        | {"weights": ("variant", np.repeat(["small", "uniform"], n_networks))}
        | {"alignment": bins, "time": np.arange(1, n_steps + 1), "exponent": np.arange(1, hidden_size + 1)},
        attrs={"null_std": null, "hidden_size": hidden_size, "n_modes": 2, "n_vectors": 4, "n_initial_states": 3},
    )


def make_flips(
    n_images: int = 7, shape=(4, 5), n_flips=(1, 4, 12), all_right: bool = False, n_networks: int = 2
) -> xr.Dataset:
    """Return a Dataset like that of `flip_experiment`; the digits are 0, 1, ..., and every third is misclassified."""
    rng = np.random.default_rng(4)
    n_pixels, n_draws = shape[0] * shape[1], 6
    images = np.where(rng.random((n_images, n_pixels)) < 0.5, 0, rng.random((n_images, n_pixels)))
    loss = rng.random((n_networks, n_images))
    rise = np.array(n_flips)[:, None, None] / 4
    by_ranking = ("variant", "n_flips", "ranking", "image")
    ranked = loss[:, None, None] + rise + rng.random((n_networks, len(n_flips), len(RANKINGS), n_images))
    random = loss[:, None, :, None] + rise * rng.random((n_networks, len(n_flips), n_images, n_draws))
    choices = ["none", "expansion", "random 1", "random 2"]
    logits = rng.standard_normal((n_images, len(choices), 10))
    labels = np.arange(n_images) % 10
    taken_for = labels if all_right else np.where(labels % 3 == 1, (labels + 1) % 10, labels)
    logits[np.arange(n_images), 0, taken_for] = 5
    result = xr.Dataset(
        {
            "loss": (("variant", "image"), loss),
            "loss_ranked": (by_ranking, ranked),
            "loss_random": (("variant", "n_flips", "image", "draw"), random),
            "loss_same_steps": (by_ranking, ranked - 0.5 * rng.random(ranked.shape)),
            "loss_ranked_later": (by_ranking, ranked),
            "loss_random_later": (("variant", "n_flips", "image"), random[..., 0]),
            "best_epoch": ("variant", np.full(n_networks, 3)),
            "best_accuracy": ("variant", np.linspace(0.9, 0.8, n_networks)),
            "early_share": ("ranking", np.full(len(RANKINGS), 0.75)),
            "up_share": (("n_flips", "ranking"), np.full((len(n_flips), len(RANKINGS)), 0.25)),
            "up_share_random": ("n_flips", np.full(len(n_flips), 0.5)),
            "mean_log_r": (("n_averaged", "time"), rng.standard_normal((2, n_pixels))),
            "running_exponent": ("time", rng.standard_normal(n_pixels)),
            "input": (("image", "time"), images),
            "shown_input": (("image", "time"), np.where(images == 0, 1.0, 0.0)),
            "logits": (("image", "choice", "class"), logits),
            "label": ("image", labels),
            "pixel": ("time", rng.permutation(n_pixels)),
        },
        coords={
            "variant": np.arange(n_networks),
            "n_flips": list(n_flips),
            "ranking": list(RANKINGS),
            "choice": choices,
            "n_averaged": [1, 3],
            "time": np.arange(1, n_pixels + 1),
        },
        attrs={"validation_accuracy": 0.9, "n_flips_shown": 4, "n_images_text": 5, "n_early": 3, "warmup": 2}
        | {"best_position": 0, "image_shape": list(shape)},
    )
    return result.merge(statistics(result, 0, 5))


def make_participation(n_updates: int = 20, moments=(0, 2, 5, 10, 20), n_variants: int = 4) -> xr.Dataset:
    """Return a Dataset like that of `participation_experiment`; ratios decrease with the step and with training."""
    steps, updates = np.arange(1, 7), np.array(moments)
    ratio = 1 / (1 + 0.1 * updates[:, None] * (steps - 1) / steps)
    batches = np.arange(1, n_updates + 1)
    return xr.Dataset(
        {
            "participation_ratio": (
                ("variant", "update", "sequence", "time"),
                np.broadcast_to(ratio[None, :, None], (n_variants, len(updates), 3, 6)),
            ),
            "batch_loss": (("variant", "batch"), np.broadcast_to(2.3 / batches, (n_variants, n_updates))),
        },
        coords={"update": updates, "time": steps, "batch": batches}
        | {"weights": ("variant", np.repeat(["small", "uniform"], n_variants // 2))},
        attrs={"updates_per_epoch": 10},
    )
