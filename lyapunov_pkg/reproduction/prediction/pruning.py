"""Successive halving of networks by AeLLE's prediction, compared with the present loss and with chance.

The losses of all networks at all epochs are already known, so that no network is trained for this. The experiment
computes afterwards which networks would have been stopped, and the cost and savings.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import gammaln

from lyapunov_pkg.labels import Label, describe, in_unit
from lyapunov_pkg.reproduction.configuration.prediction import PruningSettings
from lyapunov_pkg.reproduction.splits import networks_in

CRITERIA = ("aelle", "architecture", "loss_at_epoch", "random")
LEARNT = ("aelle", "architecture")  # criteria that need other, fully trained networks
DESCRIPTIONS = {
    "seed": Label("1", "seed of split and autoencoder, and of the pools"),
    "criterion": Label("1", "what networks are stopped by"),
    "pool_size": Label("1", "networks that are started"),
    "n_complete": Label("1", "networks that are trained to the end, none stopped"),
    "budget": Label("epoch", "training of all networks of a pool together, with halving"),
    "complete_budget": Label("epoch", "training of all networks together, none stopped"),
    "better_in_pool": Label("%", "networks of the pool with a lower final loss than the best survivor"),
    "equal_budget": Label("epoch", "training for the same loss where none is stopped"),
    "saved": Label("%", "training saved for the same loss against stopping none"),
    "saved_in_all": Label("%", "the same, with the training of the networks that the criterion has learnt from"),
}
LOSSES = {
    "best_loss": "final loss of the best survivor, mean over pools",
    "complete_loss": "expected lowest final loss of networks drawn at random",
}


def pruning_experiment(pretrained: xr.Dataset, settings: PruningSettings) -> xr.Dataset:
    """Return the best survivors of halving pools of test networks by several criteria, and the saved training.

    The criteria are:

    * AeLLE's predicted loss, from the spectrum at the epoch;
    * the median final loss of AeLLE's training networks with the same architecture;
    * the loss at the epoch;
    * chance.

    All criteria use the same amount of training on a pool of the same size. For comparison, `n_complete` random
    networks are trained without halving. Their expected best loss is computed exactly. The budget that they need for
    the same loss is interpolated (at most that of all test networks).

    Args:
        pretrained: the Dataset of `lyapunov_pkg.reproduction.prediction.pretrained.pretrained_experiment`.
        settings: settings of the halving.

    Returns:
        best_loss, better_in_pool, equal_budget, saved and saved_in_all (seed, criterion, pool_size), means over pools;
        budget (pool_size); complete_loss (seed, n_complete), complete_budget (n_complete).

    Raises:
        ValueError: a pool is larger than the test part, or an epoch has no spectra.
    """
    total = int(pretrained.attrs["total_epochs"])
    tests = networks_in(pretrained["partition"].values, "test")
    _check(settings, tests.shape[1], pretrained["epoch"].values)
    final_loss = np.minimum(pretrained["final_loss"].values, settings.loss_ceiling)
    best, better = _best_survivors(pretrained, final_loss, tests, settings)
    complete_loss = np.stack([expected_best(final_loss[test]) for test in tests])
    complete_budget = total * np.arange(1, complete_loss.shape[1] + 1)
    budget = np.array([training_budget(size, settings, total) for size in settings.pool_sizes])
    # Reversed, because interpolation needs increasing values.
    equal_budget = np.stack(
        [
            np.interp(of_seed, losses[::-1], complete_budget[::-1])
            for of_seed, losses in zip(best, complete_loss, strict=True)
        ]
    )
    own = total * (pretrained.sizes["network"] - tests.shape[1]) * np.isin(CRITERIA, LEARNT)
    by_pool = ("seed", "criterion", "pool_size")
    result = xr.Dataset(
        {
            "best_loss": (by_pool, best),
            "better_in_pool": (by_pool, 100 * better),
            "equal_budget": (by_pool, equal_budget),
            "saved": (by_pool, 100 * (1 - budget / equal_budget)),
            "saved_in_all": (by_pool, 100 * (1 - (budget + own[:, None]) / equal_budget)),
            "budget": ("pool_size", budget),
            "complete_loss": (("seed", "n_complete"), complete_loss),
            "complete_budget": ("n_complete", complete_budget),
        },
        coords={
            "seed": pretrained["seed"].values,
            "criterion": list(CRITERIA),
            "pool_size": list(settings.pool_sizes),
            "n_complete": np.arange(1, complete_loss.shape[1] + 1),
        },
        attrs={name: pretrained.attrs[name] for name in ("n_networks", "n_diverged")}
        | {"n_test": tests.shape[1], "total_epochs": total, "epochs": list(settings.epochs)},
    )
    return describe(result, DESCRIPTIONS | in_unit(pretrained["final_loss"].attrs.get("units", "1"), LOSSES))


def _best_survivors(
    pretrained: xr.Dataset, final_loss: NDArray, tests: NDArray[np.int_], settings: PruningSettings
) -> tuple[NDArray, NDArray]:
    """Return the final loss of the best survivor, and the share of better networks in its pool.

    Both are means over pools, (seed, criterion, pool_size)."""
    early = pretrained.sel(epoch=list(settings.epochs))
    best, better = [], []
    for position, test in enumerate(tests):
        rng = np.random.default_rng(int(pretrained["seed"].values[position]))
        scores = _scores_at_epochs(early.isel(seed=position), final_loss, test, rng)
        found = [_halve_pools(scores, final_loss, test, size, settings, rng) for size in settings.pool_sizes]
        best.append(np.stack([of_size[0] for of_size in found], axis=1))
        better.append(np.stack([of_size[1] for of_size in found], axis=1))
    return np.stack(best), np.stack(better)


def _scores_at_epochs(
    early: xr.Dataset, final_loss: NDArray, test: NDArray, rng: np.random.Generator
) -> dict[str, NDArray]:
    """Return the score of each criterion for every network at the epochs of `early`, (network, epoch). Low is good."""
    loss = early["loss"].values
    learnt_from = np.setdiff1d(np.arange(len(loss)), test)
    by_architecture = median_by_architecture(early["architecture"].values, final_loss, learnt_from)
    return {
        "aelle": early["predicted_loss"].values,
        "architecture": np.broadcast_to(by_architecture[:, None], loss.shape),
        "loss_at_epoch": loss,
        "random": rng.random(loss.shape),
    }


def survivors(scores: NDArray, kept_share: float) -> NDArray:
    """Return which of n networks survive, by scores (n, rung). The lowest scores continue at each rung."""
    left = np.arange(len(scores))
    for score in scores.T:
        n_kept = n_survivors(len(left), kept_share)
        left = left[np.argsort(score[left], kind="stable")[:n_kept]]
    return left


def median_by_architecture(architecture: NDArray, final_loss: NDArray, known: NDArray) -> NDArray:
    """Return for every network the median loss of known networks with its architecture, or of all if there are none."""
    medians = {
        name: np.median(final_loss[known][architecture[known] == name]) for name in np.unique(architecture[known])
    }
    return np.array([medians.get(name, np.median(final_loss[known])) for name in architecture])


def n_survivors(n: int, kept_share: float) -> int:
    """Return how many of n networks continue: the rounded share, at least one."""
    return max(1, round(kept_share * n))


def training_budget(pool_size: int, settings: PruningSettings, total_epochs: int) -> int:
    """Return the total epochs of training of a pool of networks, which do not depend on the criterion."""
    n, trained, budget = pool_size, 0, 0
    for epoch in (*settings.epochs, total_epochs):
        budget, trained = budget + n * (epoch - trained), epoch
        n = n_survivors(n, settings.kept_share)
    return budget


def expected_best(losses: NDArray) -> NDArray:
    """Return the expected lowest of k losses drawn without replacement, for k = 1 to all of them.

    The i-th lowest of N is the lowest of k with probability C(N - i, k - 1) / C(N, k), i from 1.
    """
    ordered, n = np.sort(losses), len(losses)
    rank, k = np.arange(1, n + 1), np.arange(1, n + 1)[:, None]
    behind = n - rank

    def log_choose(a: NDArray, b: NDArray) -> NDArray:
        return gammaln(a + 1) - gammaln(b + 1) - gammaln(np.maximum(a - b, 0) + 1)

    probability = np.where(behind >= k - 1, np.exp(log_choose(behind, k - 1) - log_choose(np.array(n), k)), 0.0)
    return probability @ ordered


def _halve_pools(
    scores: dict[str, NDArray],
    final_loss: NDArray,
    test: NDArray,
    size: int,
    settings: PruningSettings,
    rng: np.random.Generator,
) -> tuple[NDArray, NDArray]:
    """Return the mean final loss of the best survivor, and the mean share of better networks, (criterion,) each."""
    best, better = np.zeros((2, settings.n_draws, len(CRITERIA)))
    for draw in range(settings.n_draws):
        pool = rng.choice(test, size, replace=False)
        for number, criterion in enumerate(CRITERIA):
            left = pool[survivors(scores[criterion][pool], settings.kept_share)]
            best[draw, number] = final_loss[left].min()
            better[draw, number] = (final_loss[pool] < best[draw, number]).mean()
    return best.mean(0), better.mean(0)


def _check(settings: PruningSettings, n_test: int, epochs: NDArray) -> None:
    """Check that pools are not larger than the test part, and that the epochs have spectra."""
    too_large = [size for size in settings.pool_sizes if not 1 <= size <= n_test]
    if too_large:
        raise ValueError(f"pool_sizes has {too_large[0]}; expected 1 to {n_test}, the networks of the test part")
    missing = [epoch for epoch in settings.epochs if epoch not in epochs]
    if missing:
        raise ValueError(f"epochs is {list(settings.epochs)}; expected rising numbers out of {epochs.tolist()}")
