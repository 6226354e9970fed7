from __future__ import annotations

import numpy as np

from lyapunov_pkg.reproduction.figures.chapter_3.pruning import fig_extra_pruning
from tests.reproduction.figures.checks import texts


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
