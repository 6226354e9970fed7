from __future__ import annotations

import numpy as np
import pytest

from lyapunov_pkg.reproduction.figures.chapter_3.pruning import fig_extra_pruning
from tests.reproduction.figures.checks import curves, error_bars, reference_lines, texts


def test_fig_extra_pruning_draws_every_criterion_and_the_cost_of_aelle(datasets):
    fig = fig_extra_pruning(datasets()["pruning"])
    names = ("AeLLE's prediction", "architecture", "loss so far", "chance")
    for label in (*(f"halving by {name}" for name in names), "full training of all networks"):
        assert texts(fig).count(label) == 1
    assert len(fig.axes[0].containers) == len(names)
    assert len(fig.axes[1].containers) == len(names) + 1
    assert [tick.get_text() for tick in fig.axes[1].get_xticklabels()] == ["8", "16", "32"]


def test_fig_extra_pruning_draws_training_as_a_fraction_of_full_training(datasets):
    pruning = datasets()["pruning"]
    heights = [container.lines[0].get_ydata() for container in fig_extra_pruning(pruning).axes[1].containers]
    names = ("aelle", "architecture", "loss_at_epoch", "random")
    saved = [*(pruning["saved"].sel(criterion=name) for name in names), pruning["saved_in_all"].sel(criterion="aelle")]
    np.testing.assert_allclose(heights, [1 - of_one.mean("seed") / 100 for of_one in saved])


def test_fig_extra_pruning_shows_means_and_standard_deviations_over_seeds(default_sets, default_figure):
    pruning = default_sets["pruning"]
    fig = default_figure("fig_extra_pruning")
    losses, spent = fig.axes
    full = pruning["complete_loss"].values[:, :8]  # up to 1.5 times the largest total training, 56 epochs
    (label, drawn), *_ = curves(losses)
    assert label == "full training of all networks"
    np.testing.assert_allclose(drawn, np.stack([10 * np.arange(1, 9), full.mean(0)], axis=1))
    edges = losses.collections[0].get_paths()[0].vertices
    first = edges[edges[:, 0] == 10][:, 1]
    ends = full[:, 0].mean() + np.array([-1, 1]) * full[:, 0].std(ddof=1)
    assert (first.min(), first.max()) == pytest.approx(tuple(ends))
    best, training = error_bars(losses), error_bars(spent)
    labels = {
        "aelle": "halving by AeLLE's prediction",
        "architecture": "halving by architecture",
        "loss_at_epoch": "halving by loss so far",
        "random": "halving by chance",
    }
    shown = [
        (best[label], pruning["best_loss"].sel(criterion=name), pruning["budget"]) for name, label in labels.items()
    ]
    shares = {name: 1 - pruning["saved"].sel(criterion=name) / 100 for name in labels}
    shown += [(training[label], shares[name], pruning["pool_size"]) for name, label in labels.items()]
    in_all = 1 - pruning["saved_in_all"].sel(criterion="aelle") / 100
    shown += [(training["halving by AeLLE, including its training networks"], in_all, pruning["pool_size"])]
    for found, values, places in shown:
        mean, deviation = values.values.mean(0), values.values.std(0, ddof=1)
        np.testing.assert_allclose(found, [places, mean, mean - deviation, mean + deviation])
    assert reference_lines(spent) == [("y", 1)]
    assert (spent.get_xscale(), spent.get_yscale()) == ("log", "log")
    assert list(spent.get_xticks()) == [8, 16, 32] and not len(spent.get_xticks(minor=True))
    assert spent.yaxis.get_major_formatter()(0.5) == "0.5"


def test_one_seed_has_no_spread(datasets):
    pruning = datasets(n_seeds=1)["pruning"]
    for found in error_bars(fig_extra_pruning(pruning).axes[0]).values():
        np.testing.assert_array_equal(found[2:], [found[1]] * 2)
