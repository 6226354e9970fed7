from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

from lyapunov_pkg.reproduction.gradients.alignment import AlignmentSettings, above_rounding, alignment_experiment
from lyapunov_pkg.reproduction.gradients.lyapunov_vectors import q_vectors, settled_vectors
from lyapunov_pkg.reproduction.gradients.recurrent_gradient import recurrent_gradients
from lyapunov_pkg.workflow.store import save_store
from tests.reproduction.gradients.networks import tanh_network, task, training_store

SETTINGS = AlignmentSettings(n_initial_states=4, initial_state_std=0.5, n_modes=2, n_vectors=3, warmup=2, epochs=(0, 1))


def images(network, n_steps=5, n_images=6) -> xr.Dataset:
    inputs, labels, _ = task(network, n_images, n_steps)
    return xr.Dataset(
        {
            "test_input": (("test_sample", "time", "feature"), inputs.float().numpy()),
            "test_label": ("test_sample", labels.numpy()),
        }
    )


@pytest.fixture(scope="module")
def experiment():
    networks = [tanh_network(3, hidden_size=10, init_param=p) for p in (0.4, 0.7)]
    training = training_store(networks)
    training["diverged"][1] = True
    dataset = images(networks[0])
    return networks, dataset, alignment_experiment({"small": training}, dataset, SETTINGS, seed=7)


def test_standard_deviations_agree_with_individually_computed_cosines(experiment):
    networks, dataset, result = experiment
    network = networks[1].select([2])
    inputs = torch.from_numpy(dataset["test_input"].values[:4]).double()
    labels = torch.from_numpy(dataset["test_label"].values[:4])
    start = 0.5 * torch.randn(4, 10, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    q = q_vectors(network, inputs, start[None], "dissertation")["q"].values[0]
    gradients = recurrent_gradients(network, inputs, labels, start)[0].numpy()
    by_index, resolved = [], []
    for sequence in range(4):
        for step in range(5):
            _, values, rows = np.linalg.svd(gradients[sequence, step])
            for mode in range(2):
                cosines = [q[sequence, step, :, index] @ rows[mode] for index in range(3)]
                if values[mode] > 1e-12 * values[0]:
                    resolved += np.square(cosines).tolist()
                if step == 3:
                    by_index.append(cosines[2] ** 2)
    of = result.sel(variant=2, epoch=1, vectors="dissertation", side="right", modes="first")
    # The second mode of the first step is in the null space, where LAPACK's choice is arbitrary.
    assert len(resolved) == 4 * (5 * 2 - 1) * 3
    assert of["alignment_std_resolved"].sel(group="first") == pytest.approx(np.mean(resolved) ** 0.5)
    assert np.isnan(result["alignment_std_resolved"].sel(modes="last", vectors="tangent")).all()
    assert of["alignment_std_by_index"].sel(time=4, exponent=3) == pytest.approx(np.mean(by_index) ** 0.5)
    np.testing.assert_array_equal(of["gradient_rank"], [1, 2, 3, 4, 5])


def test_the_store_is_complete_and_omits_diverged_variants(experiment, tmp_path):
    _, _, result = experiment
    assert result["variant"].values.tolist() == [0, 2]
    assert result.attrs["n_diverged"] == 1
    assert result.attrs["null_std"] == pytest.approx(10**-0.5)
    assert result["vectors"].values.tolist() == ["tangent", "dissertation", "released", "settled", "covariant"]
    assert not np.isnan(result["alignment_std"]).any()
    width = 2 / result.sizes["alignment"]
    np.testing.assert_allclose(result["alignment_density"].sum("alignment") * width, 1)
    assert set(result["random_index"].values) <= set(range(4, 8))
    save_store(result, tmp_path / "alignment.zarr.zip", {})


def test_unrelated_frames_have_the_standard_deviation_of_the_null_reference():
    generator = torch.Generator().manual_seed(1)
    one, other = torch.linalg.qr(torch.randn(2, 300, 40, 40, generator=generator, dtype=torch.float64))[0]
    cosines = (one.mT @ other)[:, :10, :5]
    assert cosines.square().mean().sqrt().item() == pytest.approx(40**-0.5, rel=0.02)


def test_settled_vectors_follow_one_trajectory_and_covariant_vectors_are_covariant():
    network = tanh_network(1, hidden_size=6, init_param=1.0)
    inputs, _, start = task(network, n_sequences=2, n_steps=8)
    second, q, covariant = settled_vectors(network, inputs, start[0])
    state = second[None]
    for step, x in enumerate(inputs.unbind(1)):
        jacobian = network.jacobian(state, x)[0]
        state = network.step(state, x)
        if step == 0:
            continue
        for vectors, is_image in ((q, lambda moved, after: (after.mT @ moved).tril(-1)), (covariant, _remainder)):
            moved = jacobian @ vectors[:, step - 1]
            off = is_image(moved, vectors[:, step])
            assert off.abs().max() < 1e-8 * moved.abs().max()
    torch.testing.assert_close(q[..., 0].abs(), covariant[..., 0].abs(), rtol=0, atol=1e-8)


def _remainder(moved: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Return the part of each column of `moved` that is not parallel to the same column of `after`."""
    return moved - (moved * after).sum(-2, keepdim=True) * after


@pytest.mark.parametrize(
    ("setting", "value"), [("n_initial_states", 7), ("n_modes", 6), ("n_vectors", 4), ("epochs", (0, 2))]
)
def test_errors_name_settings_that_exceed_the_data(setting, value):
    network = tanh_network(1, hidden_size=10)
    settings = SETTINGS.replaced(**{setting: value})
    with pytest.raises(ValueError, match=rf"{setting} of the alignment is \d+; expected at most"):
        alignment_experiment({"small": training_store([network] * 2)}, images(network), settings, 0)


def test_ranks_do_not_depend_on_the_scale_of_the_gradient():
    values = torch.tensor([[5.0, 1e-14, 1e-17], [2.0, 1.0, 0.0]], dtype=torch.float64)
    expected = [[True, True, False], [True, True, False]]
    for unit in (1, 1e-18, 1e18):
        assert above_rounding(unit * values, 3).tolist() == expected
    network = tanh_network(1, hidden_size=10)
    tiny = network.with_params(network.params | {"readout.weight": 1e-18 * network.params["readout.weight"]})
    settings = AlignmentSettings(
        n_initial_states=2, initial_state_std=0.5, n_modes=2, n_vectors=3, warmup=2, epochs=(0, 1)
    )
    ranks = [
        alignment_experiment({"small": training_store([each] * 2)}, images(network), settings, seed=7)["gradient_rank"]
        for each in (network, tiny)
    ]
    np.testing.assert_array_equal(*ranks)
    np.testing.assert_array_equal(ranks[0].isel(variant=0, epoch=0, vectors=0), [1, 2, 3, 4, 5])


def test_groups_are_the_first_the_last_and_random_vectors(experiment):
    _, _, result = experiment
    by_index = result["alignment_std_by_index"]
    for group, chosen in (("first", [1, 2, 3]), ("last", [8, 9, 10]), ("random", result["random_index"].values)):
        expected = np.sqrt((by_index.sel(exponent=chosen) ** 2).mean(("time", "exponent")))
        np.testing.assert_allclose(result["alignment_std"].sel(group=group), expected.transpose(*expected.dims))
    assert len(set(result["random_index"].values)) == 3


def test_a_store_with_only_diverged_variants_is_refused():
    network = tanh_network(1, hidden_size=10)
    training = training_store([network] * 2)
    training["diverged"][:] = True
    with pytest.raises(ValueError, match="all 1 variants diverged; expected one that did not"):
        alignment_experiment({"small": training}, images(network), SETTINGS, 0)


def test_all_random_numbers_come_from_the_seed():
    network = tanh_network(1, hidden_size=10)
    settings = AlignmentSettings(
        n_initial_states=2, initial_state_std=0.5, n_modes=2, n_vectors=3, warmup=2, epochs=(0, 1)
    )
    found = []
    for global_seed, seed in ((1, 2), (9, 2), (9, 3)):
        torch.manual_seed(global_seed)
        found.append(alignment_experiment({"small": training_store([network] * 2)}, images(network), settings, seed))
    xr.testing.assert_identical(found[0], found[1])
    assert (found[0]["alignment_std"] != found[2]["alignment_std"]).any()


def test_vectors_of_the_released_programs_have_their_own_trajectory_and_warmup(experiment):
    networks, dataset, result = experiment
    generator = torch.Generator().manual_seed(7)
    draw = lambda: 0.5 * torch.randn(4, 10, generator=generator, dtype=torch.float64)  # noqa: E731
    start, _ = draw(), torch.randperm(4, generator=generator)
    other = draw()
    inputs = torch.from_numpy(dataset["test_input"].values[:4]).double()
    labels = torch.from_numpy(dataset["test_label"].values[:4])
    network = networks[1].select([0])
    gradients = recurrent_gradients(network, inputs, labels, start)[0].numpy()
    squares = []
    for sequence in range(4):
        state, q = other[sequence, None], torch.eye(10, dtype=torch.float64)
        for step, x in enumerate([*inputs[sequence, :2], *inputs[sequence]], start=-2):
            q = torch.linalg.qr(network.jacobian(state[None], x[None])[0, 0].mT @ q)[0]
            state = network.step(state[None], x[None])[0]
            if step == 4:
                first = np.linalg.svd(gradients[sequence, step])[2][:2]
                squares.append(np.square(first @ q[:, 8].numpy()))
    found = result["alignment_std_by_index"].sel(variant=0, epoch=1, vectors="released", side="right", modes="first")
    assert found.sel(time=5, exponent=9) == pytest.approx(np.mean(squares) ** 0.5)


def test_standard_deviations_are_averaged_over_steps_and_singular_vectors(experiment):
    """With one step and one singular vector, averaging changes nothing; with more, the averaged value is not larger."""
    _, _, result = experiment
    assert (result["alignment_std_averaged"] <= result["alignment_std"] + 1e-12).all()
    networks, dataset, _ = experiment
    settings = SETTINGS.replaced(n_modes=1)
    single = alignment_experiment({"small": training_store(networks)}, dataset.isel(time=[0]), settings, seed=7)
    np.testing.assert_allclose(single["alignment_std_averaged"], single["alignment_std"])


def test_networks_from_small_and_uniform_weights_are_stored_together(experiment):
    networks, dataset, result = experiment
    training = training_store(networks)
    both = alignment_experiment({"small": training, "uniform": training}, dataset, SETTINGS, seed=7)
    assert both["weights"].values.tolist() == ["small"] * 3 + ["uniform"] * 3
    for kind in ("small", "uniform"):
        of_kind = both.isel(variant=both["weights"].values == kind).sel(variant=[0, 2])
        np.testing.assert_array_equal(of_kind["alignment_std"], result["alignment_std"])
