from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

from lyapunov_pkg import finite_time_exponents
from lyapunov_pkg.reproduction.gradients.flipping import flip
from lyapunov_pkg.reproduction.gradients.input_flips import FlipSettings, flip_experiment
from lyapunov_pkg.workflow.store import save_store
from tests.reproduction.gradients.networks import loss_at, tanh_network, training_store


@pytest.fixture(scope="module")
def experiment():
    """Flip pixels for an untrained network with two variants and two epochs, of which (1, 0) is marked as the best."""
    networks = [tanh_network(2, hidden_size=8, input_size=1, init_param=p) for p in (0.9, 0.5)]
    training = training_store(networks, validation_loss=np.array([[2.0, 0.1], [1.0, 3.0]]))
    training["diverged"][0] = True
    rng = np.random.default_rng(0)
    pixels = np.where(rng.random((20, 12)) < 0.5, 0, rng.random((20, 12))).astype(np.float32)
    dataset = xr.Dataset(
        {
            "test_input": (("test_sample", "time", "feature"), pixels[..., None]),
            "test_label": ("test_sample", rng.integers(0, 4, 20)),
            "pixel": ("time", rng.permutation(12)),
        },
        attrs={"image_shape": [3, 4]},
    )
    settings = FlipSettings(
        n_images=6,
        n_images_text=4,
        n_draws=5,
        n_flips=(1, 4, 12),
        n_early=2,
        warmup=3,
        n_averaged=(1, 3),
        n_flips_shown=4,
        n_draws_shown=2,
    )
    return networks[0].select([1]), dataset, settings, flip_experiment(training, dataset, settings, seed=2)


def of_network(result: xr.Dataset) -> xr.Dataset:
    """Return the results of the only network that did not diverge."""
    assert result["variant"].values.tolist() == [1] and result.attrs["best_position"] == 0
    return result.isel(variant=0)


def test_losses_agree_with_images_flipped_individually(experiment):
    network, dataset, _, result = experiment
    result = of_network(result)
    inputs = dataset["test_input"].values[:6].astype(float)
    r = finite_time_exponents(network, inputs, initial_tangents=np.eye(network.state_size, 1))[
        "finite_time_exponent"
    ].values[0, :, :, 0]
    np.testing.assert_allclose(result["log_expansion"], r)
    early = [np.isin(np.argsort(-r[image])[:4], range(4)).mean() for image in range(6)]
    assert result["early_share"].sel(ranking="expansion") == pytest.approx(np.mean(early))
    for image in range(6):
        flipped = inputs[image].copy()
        for step in np.argsort(-r[image])[:4]:
            flipped[step] = 1.0 if flipped[step] == 0 else 0.0
        np.testing.assert_array_equal(result["shown_input"][image], flipped[:, 0])
        label = torch.tensor(dataset["test_label"].values[image, None])
        for values, found in (
            (inputs[image], result["loss"][image]),
            (flipped, result["loss_ranked"].sel(n_flips=4, ranking="expansion")[image]),
        ):
            expected = loss_at(network, torch.from_numpy(values)[None], label, network.initial_state(1), 12)
            assert found.item() == pytest.approx(expected.item(), abs=1e-5)


def test_mean_expansion_averages_the_largest_configured_number_of_r_values(experiment):
    network, dataset, _, result = experiment
    result = of_network(result)
    inputs = torch.from_numpy(dataset["test_input"].values[:6]).double()
    r = (
        finite_time_exponents(network, inputs, initial_tangents=np.eye(network.state_size, 3))["finite_time_exponent"]
        .values[0]
        .mean(-1)
    )
    np.testing.assert_allclose(result["mean_log_r"].sel(n_averaged=3), r[0])
    places = torch.from_numpy(np.argsort(-r)[None, :, :4])
    outputs = network.forward(flip(inputs, places)[0], last_only=True)[0]
    expected = torch.nn.functional.cross_entropy(
        outputs, torch.from_numpy(dataset["test_label"].values[:6]), reduction="none"
    )
    np.testing.assert_allclose(result["loss_ranked"].sel(n_flips=4, ranking="mean_expansion"), expected, atol=1e-5)


def test_the_ranking_has_no_effect_if_all_pixels_flip(experiment):
    everything = of_network(experiment[-1]).sel(n_flips=12)
    once = everything["loss_random"].isel(draw=0)
    for name in ("loss_random", "loss_ranked", "loss_same_steps"):
        np.testing.assert_allclose(*xr.broadcast(everything[name], once), atol=1e-5)


def test_the_best_network_is_chosen_among_those_that_did_not_diverge(experiment):
    _, _, _, result = experiment
    assert (result.attrs["variant"], result.attrs["epoch"]) == (1, 0)


def test_the_brightest_pixels_flip_to_zero_and_outputs_are_stored(experiment, tmp_path):
    network, _, _, result = experiment
    assert result["up_share"].sel(ranking="intensity", n_flips=1) == 0
    np.testing.assert_allclose(result["up_share"].sel(n_flips=12), (result["input"] == 0).mean())
    np.testing.assert_allclose(
        result["logits"].sel(choice="expansion"),
        network.forward(torch.from_numpy(result["shown_input"].values)[..., None], last_only=True)[0],
    )
    assert result["running_exponent"][-1] == pytest.approx(result["mean_log_r"].sel(n_averaged=1).mean().item())
    save_store(result, tmp_path / "flips.zarr.zip", {})


@pytest.mark.parametrize(("setting", "value"), [("n_images", 21), ("n_flips", (1, 13)), ("n_averaged", (9,))])
def test_errors_name_settings_that_exceed_the_data(experiment, setting, value):
    network, dataset, settings, _ = experiment
    with pytest.raises(ValueError, match=rf"{setting} of the flips is \d+; expected at most"):
        flip_experiment(training_store([network]), dataset, settings.replaced(**{setting: value}), 0)


def test_diverged_networks_are_counted(experiment):
    assert experiment[-1].attrs["n_diverged"] == 1


def test_all_random_numbers_come_from_the_seed(experiment):
    network, dataset, settings, _ = experiment
    training, found = training_store([network]), []
    for global_seed, seed in ((1, 2), (9, 2), (9, 3)):
        torch.manual_seed(global_seed)
        found.append(flip_experiment(training, dataset, settings.replaced(n_flips=(4,)), seed))
    xr.testing.assert_identical(found[0], found[1])
    assert (found[0]["loss_random"] != found[2]["loss_random"]).any()


def losses_at(experiment, places: np.ndarray) -> torch.Tensor:
    """Return losses of the images with the pixels at places (B, k) flipped."""
    network, dataset, _, _ = experiment
    inputs = torch.from_numpy(dataset["test_input"].values[:6]).double()
    outputs = network.forward(flip(inputs, torch.from_numpy(places)[None])[0], last_only=True)[0]
    labels = torch.from_numpy(dataset["test_label"].values[:6])
    return torch.nn.functional.cross_entropy(outputs, labels, reduction="none")


@pytest.mark.parametrize("warmup", [0, 3])
def test_transposed_r_values_agree_with_a_vector_multiplied_by_transposed_jacobians(experiment, warmup):
    network, dataset, _, result = experiment
    ranking = "transposed_settled" if warmup else "transposed"
    places = []
    for image in torch.from_numpy(dataset["test_input"].values[:6]).double():
        state, vector, log_r = network.initial_state(1), torch.eye(8, 1, dtype=torch.float64), []
        for x in [*image[:warmup], *image]:
            vector = network.jacobian(state, x[None])[0, 0].mT @ vector
            state = network.step(state, x[None])
            log_r.append(vector.norm().log().item())
            vector = vector / vector.norm()
        places.append(np.argsort(-np.array(log_r[warmup:]))[:4])
    expected = losses_at(experiment, np.array(places))
    found = of_network(result)["loss_ranked"].sel(n_flips=4, ranking=ranking)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_control_flips_use_the_places_of_other_images_or_later_steps(experiment):
    result = experiment[-1]
    found = of_network(result)
    order = np.argsort(-found["log_expansion"].values)
    others = [losses_at(experiment, np.roll(order, -shift, 0)[:, :4]) for shift in range(1, 5)]
    np.testing.assert_allclose(
        found["loss_same_steps"].sel(n_flips=4, ranking="expansion"), torch.stack(others).mean(0), atol=1e-5
    )
    later = np.array([[step for step in own if step >= 2][:4] for own in order])
    np.testing.assert_allclose(
        found["loss_ranked_later"].sel(n_flips=4, ranking="expansion"), losses_at(experiment, later), atol=1e-5
    )
    assert np.isnan(found["loss_ranked_later"].sel(n_flips=12)).all()  # Only ten steps are later.
    assert np.isfinite(result["p_paired"].sel(comparison="later", n_flips=[1, 4])).all()


def test_every_network_that_did_not_diverge_is_used_after_its_best_epoch(experiment):
    networks = [tanh_network(2, hidden_size=8, input_size=1, init_param=p) for p in (0.9, 0.5)]
    training = training_store(networks, validation_loss=np.array([[2.0, 0.5], [1.0, 3.0]]))
    _, dataset, settings, alone = experiment
    result = flip_experiment(training, dataset, settings, seed=2)
    assert result["best_epoch"].values.tolist() == [1, 0] and result.attrs["variant"] == 0
    np.testing.assert_allclose(
        result["loss_ranked"].sel(variant=1, ranking="expansion"),
        alone["loss_ranked"].sel(variant=1, ranking="expansion"),
        atol=1e-5,
    )
