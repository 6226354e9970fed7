"""FORCE: learning, stores and errors.

Agreement with the program of Sussillo and Abbott is tested in tests/benchmarks.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lyapunov_pkg.cells import make_cell
from lyapunov_pkg.reproduction.tasks.target_learning import four_sines
from lyapunov_pkg.reproduction.training.force import (
    ForceSettings,
    initial_network,
    initial_params,
    train_force,
)
from lyapunov_pkg.reproduction.training.rate_network import connections, learn_target, run_freely
from lyapunov_pkg.reproduction.training.variants import Variant
from lyapunov_pkg.workflow.store import open_store, save_store

SETTINGS = ForceSettings(epochs=3, n_samples=150, update_every=2, free_epochs=2, kept_epochs=(0, 1), n_starts=4)


def variant(index: int = 0, **changes) -> Variant:
    of_all = {"architecture": "rank_one", "hidden_size": 40, "init_param": 1.5, "learning_rate": 1.0}
    return Variant(index=index, seed=100 + index, **of_all | changes)


def start(of: Variant):
    target = four_sines(150, of.generator("target")).numpy()
    return *initial_network(*initial_params(of), of), target


def test_sparse_connections_agree_with_the_matrix():
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((30, 30)) * (rng.random((30, 30)) < 0.2)
    matrix[3] = 0
    sparse = connections(matrix)
    rates = rng.standard_normal(30)
    products = sparse.weights * rates[sparse.sources]
    rows = [products[first:last].sum() for first, last in zip(sparse.starts, sparse.starts[1:], strict=False)]
    np.testing.assert_allclose(rows, matrix @ rates, atol=1e-14)


def test_a_free_run_is_the_closed_loop_cell_and_leaves_the_network_unchanged():
    network, learner, target = start(variant())
    learn_target(network, learner, target, 2)
    before = network.x.copy(), network.readout.copy(), network.output.copy()
    run = run_freely(network, target, 2, [0, 1, 7])
    for array, expected in zip((network.x, network.readout, network.output), before, strict=True):
        np.testing.assert_array_equal(array, expected)

    cell, params = initial_params(variant())
    params = {name: value.double() for name, value in params.items()}
    x, z = torch.from_numpy(network.x)[None], torch.from_numpy(network.output)[None]
    outputs, states = [], [x[0]]
    for _ in range(20):
        state = cell.step(params, torch.cat([x, x], dim=-1), z)
        x = state[:, : cell.hidden_size]
        z = torch.tanh(x) @ torch.from_numpy(network.readout)[:, None]
        outputs.append(z.item())
        states.append(x[0])
    np.testing.assert_allclose(run.output[:20], outputs, atol=1e-10)
    np.testing.assert_allclose(run.start_state, np.stack([states[t] for t in (0, 1, 7)]), atol=1e-10)
    errors = [abs(output - target[t % len(target)]) for t, output in enumerate(run.output)]
    assert run.error == pytest.approx(np.mean(errors))


def test_networks_learn_their_targets_and_continue_to_produce_them():
    untrained, learning, free = [], [], []
    for index in range(5):
        own = variant(index, init_param=1.3, hidden_size=200)
        network, learner = initial_network(*initial_params(own), own)
        target = four_sines(600, own.generator("target")).numpy()
        untrained.append(run_freely(network, target, 1).error)
        assert untrained[-1] == pytest.approx(np.abs(target).mean())  # The output weights are zero.
        outputs = [learn_target(network, learner, target, 2) for _ in range(6)]
        learning.append(np.abs(outputs[-1] - target).mean())
        free.append(run_freely(network, target, 1).error)
    assert np.median(learning) < np.median(untrained) / 5
    assert np.median(free) < np.median(untrained) / 2


def test_the_store_is_complete_and_reproduces_the_errors(tmp_path):
    variants = [variant(0), variant(1, init_param=1.2)]
    store = train_force(variants, SETTINGS)
    # Saving checks that every variable has a unit and a description.
    save_store(store, tmp_path / "force.zarr.zip", {})
    store = open_store(tmp_path / "force.zarr.zip")
    assert store["epoch"].values.tolist() == [0, 1, 3]
    assert store["init_param"].values.tolist() == [1.5, 1.2]
    assert np.isnan(store["train_loss"].values[:, 0]).all()
    assert (store["train_loss"].values[:, 1:] > 0).all()
    assert not store["diverged"].values.any()
    losses = store["validation_loss"].values
    assert store["best_epoch"].values.tolist() == [[0, 1, 3][row.argmin()] for row in losses]

    # The stored values reproduce the error of the last pass of the last free run.
    network, learner, target = start(variants[1])
    for _ in range(3):
        learn_target(network, learner, target, 2)
    run = run_freely(network, target, 2)
    assert losses[1, 2] == pytest.approx(run.error, rel=1e-12)
    np.testing.assert_allclose(store["free_output"].values[1], run.output[150:], atol=1e-6)
    np.testing.assert_allclose(store["target"].values[1], target, atol=1e-7)
    np.testing.assert_array_equal(store["readout.weight"].values[1, 2, 0], network.readout)
    drawn = make_cell("rank_one", 1, 40).draw_params(1.2, variants[1].generator("initialisation"))
    np.testing.assert_array_equal(store["layer_0.recurrent_weight"].values[1], drawn["recurrent_weight"])
    assert store["start_state"].shape == (2, 3, 4, 40)


def test_results_do_not_depend_on_other_variants_threads_or_stored_epochs():
    together = train_force([variant(n) for n in range(3)], SETTINGS)
    torch.set_num_threads(2)
    threaded = train_force([variant(n) for n in range(3)], SETTINGS)
    alone = train_force([variant(2)], SETTINGS.replaced(kept_epochs=()))
    assert together.identical(threaded)
    for name in ("validation_loss", "readout.weight", "start_state"):
        np.testing.assert_array_equal(alone[name].values[0, -1], together[name].values[2, -1])


def test_a_diverged_variant_is_stored_and_flagged():
    store = train_force([variant(0), variant(1, init_param=1e39)], SETTINGS)
    assert store["diverged"].values.tolist() == [False, True]
    assert np.isfinite(store["validation_loss"].values[0]).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"init_param": 0.0}, "got 0.0 as the gain g of rank_one, expected a finite number above 0"),
        ({"hidden_size": 6}, "hidden_size 6 with density 0.1 is 0.6 connections a unit; expected at least 1"),
        ({"hyperparameters": {"density": 0.02}}, "hidden_size 40 with density 0.02 is 0.8 connections a unit"),
        ({"hyperparameters": {"gamma": 1.0}}, "hyperparameters: got 'gamma' for rank_one, expected one of dt, density"),
    ],
)
def test_impossible_networks_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        train_force([variant(**changes)], SETTINGS)


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"kept_epochs\n  expected one of 0, 1, 2, 3"):
        SETTINGS.replaced(kept_epochs=(0, 4))
    with pytest.raises(ValueError, match=r"update_every\n  Input should be greater than or equal to 1"):
        SETTINGS.replaced(update_every=0)
    with pytest.raises(ValueError, match=r"hidden sizes \[40, 50\]; expected one"):
        train_force([variant(0), variant(1, hidden_size=50)], SETTINGS)
