from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.stats import norm, ttest_rel

from lyapunov_pkg import finite_time_exponents
from lyapunov_pkg.reproduction.gradients.input_flips import (
    FlipSettings,
    descending,
    flip,
    flip_experiment,
    flip_statistics,
    holm,
    input_gradients,
    share_among_first,
)
from lyapunov_pkg.workflow.store import save_store
from tests.reproduction.gradients.networks import loss_at, tanh_network, task, training_store


def test_flips_are_those_of_algorithm_3():
    inputs = torch.tensor([[0.0, 0.25, 1.0, 0.0], [0.5, 0.0, 0.0, 0.0]], dtype=torch.float64)[..., None]
    places = torch.tensor([[[0, 1], [0, 3]], [[2, 3], [1, 2]]])
    expected = [[[1, 0, 1, 0], [0, 0, 0, 1]], [[0, 0.25, 0, 1], [0.5, 1, 1, 0]]]
    assert flip(inputs, places)[..., 0].tolist() == expected
    assert inputs[0, 0, 0] == 0  # the images themselves stay


def test_order_is_descending_with_ties_at_random():
    scores = torch.tensor([[0.0, 2, 0, 1, 0, 0]]).repeat(200, 1)
    order = descending(scores, torch.Generator().manual_seed(0))
    assert (order[:, 0] == 1).all() and (order[:, 1] == 3).all()
    assert (order.sort().values == torch.arange(6)).all()
    third = order[:, 2].bincount(minlength=6)
    assert (third[[0, 2, 4, 5]] > 30).all()


def test_share_among_the_first_steps():
    assert share_among_first(torch.tensor([[1, 0, 2, 3], [3, 1, 0, 2]]), 2) == 0.75


def test_input_gradients_are_those_of_repeated_steps():
    network = tanh_network(1, input_size=1)
    inputs, labels, _ = task(network)
    start = network.initial_state(1)
    for sequence, found in enumerate(input_gradients(network, inputs, labels)):
        own = inputs[sequence, None].clone().requires_grad_()
        loss = loss_at(network, own, labels[sequence, None], start, inputs.shape[1])
        torch.testing.assert_close(found, torch.autograd.grad(loss, own)[0][0, :, 0], rtol=0, atol=1e-12)


def example(excess: float, between: float, n_images: int = 15, n_draws: int = 50) -> tuple[xr.DataArray, xr.DataArray]:
    """Rises of the loss by ranked and by random flips: `between` is how images differ, the noise of a flip is 1."""
    rng = np.random.default_rng(3)
    of_image = between * rng.standard_normal((2, n_images))
    ranked = of_image[:, None] + excess + rng.standard_normal((2, 3, n_images))
    random = of_image[..., None] + rng.standard_normal((2, n_images, n_draws))
    return (
        xr.DataArray(ranked, dims=("n_flips", "ranking", "image")),
        xr.DataArray(random, dims=("n_flips", "image", "draw")),
    )


def test_statistics_are_those_of_scipy_and_of_the_definitions():
    ranked, random = example(0.5, 1.0)
    found = flip_statistics(ranked, random)
    for flips in range(2):
        for ranking in range(3):
            ours, theirs = ranked.values[flips, ranking], random.values[flips]
            of = found.isel(n_flips=flips, ranking=ranking)
            assert of["p_paired"] == pytest.approx(ttest_rel(ours, theirs.mean(1), alternative="greater").pvalue)
            difference = ours - theirs.mean(1)
            assert of["mean_excess"] == pytest.approx(ours.mean() - theirs.mean())
            assert of["effect_size"] == pytest.approx(difference.mean() / difference.std(ddof=1))
            # 763 degrees of freedom: as good as normal.
            assert of["p_pooled"] == pytest.approx(norm.sf(of["mean_excess"] / of["standard_error"]), rel=0.05)


def test_paired_test_sees_what_differences_between_images_hide():
    found = flip_statistics(*example(1.0, 6.0))
    assert (found["p_paired"] < 0.05).all()
    assert (found["p_pooled"] > 0.1).all()


def test_printed_p_values_are_those_of_a_pooled_test_with_the_printed_variance_as_standard_error():
    """Table 4.1 of the dissertation (docs/differences.md)."""
    printed = {
        1: (-0.028, 0.009, 0.998),
        20: (0.313, 0.341, 0.179),
        75: (0.814, 0.475, 0.043),
        100: (1.05, 0.53, 0.024),
    }
    for difference, variance, p in printed.values():
        assert norm.sf(difference / variance) == pytest.approx(p, abs=0.002)


def test_holm_corrects_for_the_number_of_tests():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.9, 0.6])), [1.0, 1.0])


@pytest.fixture(scope="module")
def experiment():
    """A network that never trained on two variants of two epochs, of which (1, 0) is called the best."""
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
        n_images=6, n_draws=5, n_flips=(1, 4, 12), n_averaged=(1, 3), n_flips_shown=4, n_draws_shown=2
    )
    return networks[0].select([1]), dataset, settings, flip_experiment(training, dataset, settings, seed=2)


def test_losses_are_those_of_images_flipped_one_by_one(experiment):
    network, dataset, _, result = experiment
    inputs = dataset["test_input"].values[:6].astype(float)
    r = finite_time_exponents(network, inputs, initial_tangents=np.eye(network.state_size, 1))[
        "finite_time_exponent"
    ].values[0, :, :, 0]
    np.testing.assert_allclose(result["log_expansion"], r)
    early = [np.isin(np.argsort(-r[image])[:4], range(4)).mean() for image in range(6)]
    assert result.attrs["early_share"] == pytest.approx(np.mean(early))
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
            assert found.item() == pytest.approx(expected.item(), abs=1e-12)


def test_mean_expansion_ranks_by_as_many_r_values_as_are_averaged_at_most(experiment):
    network, dataset, _, result = experiment
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
    np.testing.assert_allclose(result["loss_ranked"].sel(n_flips=4, ranking="mean_expansion"), expected)


def test_when_all_pixels_flip_the_ranking_does_not_matter(experiment):
    result = experiment[-1]
    everything = result.sel(n_flips=12)
    once = everything["loss_random"].isel(draw=0)
    for name in ("loss_random", "loss_ranked"):
        np.testing.assert_allclose(*xr.broadcast(everything[name], once))


def test_best_network_is_chosen_among_those_that_did_not_diverge(experiment):
    _, _, _, result = experiment
    assert (result.attrs["variant"], result.attrs["epoch"]) == (1, 0)


def test_brightest_pixels_are_all_flipped_down_and_outputs_are_kept(experiment, tmp_path):
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
def test_settings_that_ask_for_more_than_there_is_are_named(experiment, setting, value):
    network, dataset, settings, _ = experiment
    with pytest.raises(ValueError, match=rf"{setting} of the flips is \d+; expected at most"):
        flip_experiment(training_store([network]), dataset, replace(settings, **{setting: value}), 0)
