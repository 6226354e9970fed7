from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.decomposition import PCA

from lyapunov_pkg.aelle import AutoencoderSettings, SpectrumAutoencoder, train_autoencoder
from lyapunov_pkg.aelle.embedding import fit_components, loss_shift, zero_loss_set

SETTINGS = AutoencoderSettings(latent_size=6, layer_divisors=(2, 2), learning_rate=3e-3, epochs_per_stage=60)


def data(n_members: int, n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return training and validation data, equal for all members: only the slope of a spectrum sets the loss."""
    rng = np.random.default_rng(seed)
    slope = rng.uniform(0, 1, n)
    spectra = -slope[:, None] * np.linspace(0, 2, 12) + 0.01 * rng.normal(size=(n, 12))
    parts = (spectra[20:], slope[20:], spectra[:20], slope[:20])
    return tuple(np.broadcast_to(part, (n_members, *part.shape)).copy() for part in parts)


@pytest.fixture(scope="module")
def trained() -> SpectrumAutoencoder:
    """Return three trained members, which have the seeds 1, 2 and 3."""
    return train_autoencoder(*data(3), seeds=[1, 2, 3], settings=SETTINGS)[0]


def test_learns_to_predict_and_reconstruct(trained: SpectrumAutoencoder) -> None:
    _, _, held_out, held_out_loss = data(3)
    latent = trained.encode(held_out)
    predicted, decoded = trained.predict(latent).numpy(), trained.decode(latent).numpy()
    for member in range(3):
        assert np.corrcoef(predicted[member], held_out_loss[member])[0, 1] > 0.95
    assert np.abs(decoded - held_out).mean() < 0.5 * np.abs(held_out - held_out.mean(1, keepdims=True)).mean()


def test_a_member_does_not_depend_on_the_other_members(trained: SpectrumAutoencoder) -> None:
    alone, _ = train_autoencoder(*data(1), seeds=[2], settings=SETTINGS)
    spectra = data(3)[0]
    torch.testing.assert_close(trained.encode(spectra)[1], alone.encode(spectra[:1])[0], rtol=1e-3, atol=1e-3)
    assert not torch.allclose(trained.encode(spectra)[0], trained.encode(spectra)[2])


def test_loss_shift_is_exact_and_the_zero_loss_set_predicts_zero(
    trained: SpectrumAutoencoder,
) -> None:
    latent = trained.encode(data(3)[0])
    moved = trained.predict(loss_shift(trained, latent, -0.7))
    torch.testing.assert_close(moved, trained.predict(latent) - 0.7, rtol=1e-4, atol=1e-4)
    zero = zero_loss_set(trained, latent, 50, seeds=[1, 2, 3])
    assert zero.shape == (3, 50, 6)
    assert trained.predict(zero.float()).abs().max() < 1e-4


def test_first_component_points_to_low_loss() -> None:
    points = np.random.default_rng(0).normal(size=(50, 4)) * [5, 1, 1, 1]
    for loss in (points[:, 0], -points[:, 0]):
        first = fit_components(points, loss, 2).transform(points)[:, 0]
        assert np.corrcoef(first, loss)[0, 1] < -0.9


def test_more_components_than_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="n_components: got 10 for 5 points"):
        fit_components(np.zeros((5, 20)), np.zeros(5), 10)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"dropout": 1.5}, {"dropout": 1.0}, {"dropout": -0.1}, {"latent_size": 0}, {"batch_size": 0}),
        *({"epochs_per_stage": 0}, {"learning_rate": -1.0}, {"learning_rate": 0.0}, {"prediction_loss": "l3"}),
    ],
)
def test_errors_name_settings_out_of_range(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AutoencoderSettings(**wrong)


def test_the_state_with_the_best_validation_prediction_is_kept() -> None:
    spectra, loss, held_out, held_out_loss = data(2)
    # The validation losses contradict the training losses, so the validation error grows during training.
    autoencoder, history = train_autoencoder(spectra, loss, held_out, -held_out_loss, [1, 2], SETTINGS)
    predicted = autoencoder.predict(autoencoder.encode(held_out)).numpy()
    np.testing.assert_array_equal(history.best_epoch, history.validation_prediction.argmin(axis=1))
    assert (history.best_epoch < history.validation_prediction.shape[1] - 1).all()
    error = np.square(predicted + held_out_loss).mean(axis=1)
    np.testing.assert_allclose(error, history.validation_prediction.min(axis=1), rtol=1e-4)
    assert (error < history.validation_prediction[:, -1]).all()


def test_training_restores_the_number_of_threads() -> None:
    before = torch.get_num_threads()
    train_autoencoder(*data(1), seeds=[1], settings=AutoencoderSettings(epochs_per_stage=1))
    assert torch.get_num_threads() == before


def test_components_without_variance_are_zero() -> None:
    rng = np.random.default_rng(0)
    points = (rng.normal(size=(50, 2)) @ rng.normal(size=(2, 6))).astype(np.float32)  # The rank is 2 up to rounding.
    components = fit_components(points, points[:, 0], 4).transform(points)
    assert (components[:, :2].std(axis=0) > 0.1).all()
    assert (components[:, 2:] == 0).all()


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_the_variance_of_a_component_counts_relative_to_the_first(unit: float) -> None:
    points = np.random.default_rng(0).normal(size=(50, 3)) * [1.0, 1e-3, 1e-8]
    components = fit_components(unit * points, points[:, 0], 3).transform(unit * points)
    assert components.any(axis=0).tolist() == [True, True, False]


def test_zero_loss_set_fills_the_null_space_of_the_prediction_layer(trained: SpectrumAutoencoder) -> None:
    zero = zero_loss_set(trained, trained.encode(data(3)[0]), 50, seeds=[1, 2, 3])[0].numpy()
    assert np.linalg.matrix_rank(zero - zero.mean(axis=0), tol=1e-4) == SETTINGS.latent_size - 1


@pytest.mark.parametrize(
    ("position", "wrong", "message"),
    [
        (0, np.full((1, 40, 12), -np.inf), "train_spectra: got 480 values that are not finite"),
        (1, np.zeros((1, 39)), r"train_loss: got shape \(1, 39\)"),
        (2, np.zeros((1, 20, 11)), "train_spectra and validation_spectra: got 12 and 11 exponents"),
        (2, np.zeros((2, 20, 12)), r"validation_spectra: got shape \(2, 20, 12\), expected \(1 seeds"),
    ],
)
def test_errors_name_inputs_of_incompatible_shape(position: int, wrong: np.ndarray, message: str) -> None:
    parts = list(data(1))
    parts[position] = wrong
    with pytest.raises(ValueError, match=message):
        train_autoencoder(*parts, seeds=[1], settings=SETTINGS)


def test_layer_widths_are_fractions_of_the_spectrum_length_and_at_least_two() -> None:
    assert AutoencoderSettings().widths(64) == (64, 8, 4, 32)
    assert AutoencoderSettings(latent_size=5, layer_divisors=(4, 100)).widths(20) == (20, 5, 2, 5)


def test_defaults_are_those_of_the_dissertation() -> None:
    settings = AutoencoderSettings()
    assert (settings.latent_size, settings.layer_divisors, settings.dropout) == (32, (8, 16), 0.1)
    assert (settings.learning_rate, settings.batch_size, settings.epochs_per_stage) == (1e-4, 128, 1000)
    assert (settings.prediction_weights, settings.prediction_loss) == ((5, 5, 10, 20), "l2")


@pytest.mark.parametrize("prediction_loss", ["l1", "l2"])
def test_history_is_the_mean_loss_over_all_samples(prediction_loss: str) -> None:
    """The learning rate is negligible, there is no dropout, and the batch size of 16 does not divide the 40 samples."""
    settings = AutoencoderSettings(
        6, (2, 2), 0.0, 1e-12, 16, prediction_weights=(1,), epochs_per_stage=1, prediction_loss=prediction_loss
    )
    spectra, loss, held_out, held_out_loss = data(2)
    autoencoder, history = train_autoencoder(spectra, loss, held_out, held_out_loss, [1, 2], settings)
    latent = autoencoder.encode(spectra)
    error = autoencoder.predict(latent).numpy() - loss
    error = np.square(error) if prediction_loss == "l2" else np.abs(error)
    np.testing.assert_allclose(history.prediction[:, 0], error.mean(axis=1), rtol=1e-5)
    reconstruction = np.abs(autoencoder.decode(latent).numpy() - spectra).mean(axis=(1, 2))
    np.testing.assert_allclose(history.reconstruction[:, 0], reconstruction, rtol=1e-5)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_training_equals_a_plain_loop_over_torch_modules(dropout: float) -> None:
    """The seed of the one member sets its initial values, and the sample order and dropout masks of every epoch."""
    settings = AutoencoderSettings(6, (3, 2), dropout, 1e-2, 16, prediction_weights=(1, 5), epochs_per_stage=2)
    parts = data(1)
    autoencoder, history = train_autoencoder(*parts, seeds=[3], settings=settings)
    spectra, loss, held_out, held_out_loss = (torch.tensor(part[0], dtype=torch.float32) for part in parts)

    generator = torch.Generator().manual_seed(3)
    sizes = {"encoder": (12, 4, 6, 6), "decoder": (6, 6, 4, 12), "prediction": (6, 1)}
    layers: dict[str, list[torch.nn.Linear]] = {}
    for part, widths in sizes.items():
        layers[part] = [torch.nn.Linear(*pair) for pair in pairwise(widths)]
        for layer in layers[part]:
            bound = layer.in_features**-0.5
            drawn = [torch.rand(n, generator=generator) for n in (layer.weight.numel(), layer.out_features)]
            with torch.no_grad():
                layer.weight.copy_(((2 * drawn[0] - 1) * bound).view(layer.in_features, -1).T)
                layer.bias.copy_((2 * drawn[1] - 1) * bound)

    def through(part: str, values: torch.Tensor, masks: list[torch.Tensor]) -> torch.Tensor:
        for layer, mask in zip(layers[part][:-1], masks, strict=True):
            values = torch.tanh(layer(values)) * mask
        return layers[part][-1](values)

    optimizer = torch.optim.Adam([p for part in layers.values() for layer in part for p in layer.parameters()], lr=1e-2)
    ones, rows = [torch.tensor(1.0)] * 2, []
    for alpha in (1, 1, 5, 5):
        order = torch.randperm(40, generator=generator)
        drawn = torch.rand(40, 20, generator=generator)
        masks = ((drawn >= dropout) / (1 - dropout)).split((4, 6, 6, 4), dim=1)
        sums = np.zeros(2)
        for first in range(0, 40, 16):
            batch = order[first : first + 16]
            own = [mask[first : first + 16] for mask in masks]
            latent = through("encoder", spectra[batch], own[:2])
            reconstruction = (through("decoder", latent, own[2:]) - spectra[batch]).abs().mean()
            prediction = (through("prediction", latent, [])[:, 0] - loss[batch]).square().mean()
            optimizer.zero_grad()
            (reconstruction + alpha * prediction).backward()
            optimizer.step()
            sums += len(batch) / 40 * np.array([reconstruction.item(), prediction.item()])
        with torch.no_grad():
            held_out_error = through("prediction", through("encoder", held_out, ones), [])[:, 0] - held_out_loss
        rows.append((*sums, held_out_error.square().mean().item()))
    found = np.stack((history.reconstruction, history.prediction, history.validation_prediction), axis=-1)[0]
    np.testing.assert_allclose(found, rows, rtol=1e-4)
    assert history.best_epoch.tolist() == [int(np.argmin(found[:, 2]))] == [3]
    weight = layers["prediction"][0].weight[0].detach()
    torch.testing.assert_close(autoencoder.prediction_weight[0], weight, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(autoencoder.prediction_bias, layers["prediction"][0].bias.detach(), rtol=1e-3, atol=1e-5)


def test_components_agree_with_scikit_learn_and_rank_correlation_with_scipy() -> None:
    rng = np.random.default_rng(1)
    for sign in (1, -1):
        points = rng.normal(size=(40, 6)) @ rng.normal(size=(6, 6))
        # Most losses are tied. The few other losses have values that correlate with the opposite sign of their ranks.
        loss = np.round(sign * points @ PCA(1).fit(points).components_[0])
        loss[np.argmax(loss)] = -1e6
        found, pca = fit_components(points, loss, 3), PCA(3, svd_solver="full").fit(points)
        np.testing.assert_allclose(found.mean, pca.mean_)
        np.testing.assert_allclose(np.abs(found.components), np.abs(pca.components_), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found.components[1:], pca.components_[1:], rtol=1e-9, atol=1e-12)
        signs = np.sign((found.components * pca.components_).sum(axis=1))
        others = rng.normal(size=(5, 6))
        np.testing.assert_allclose(found.transform(others), signs * pca.transform(others), rtol=1e-9, atol=1e-9)
        assert spearmanr(found.transform(points)[:, 0], loss).statistic < 0


def test_rank_correlation_decides_the_sign_where_values_tie() -> None:
    points = np.array([[-2.0], [-1.0], [0.0], [1.0], [2.0]])
    for loss in ([0, 0, 1, 1, 1], [1, 0, 0, 1, 1], [1, 1, 0, 0, 1], [5, 5, 5, 5, 5]):
        statistic = spearmanr(points[:, 0], loss).statistic if len(set(loss)) > 1 else 0.0
        assert fit_components(points, loss, 1).components[0, 0] == (-1 if statistic > 0 else 1)


def test_a_loss_shift_is_the_shortest_one_with_the_requested_change() -> None:
    autoencoder, _ = train_autoencoder(*data(1), seeds=[1], settings=AutoencoderSettings(6, (2, 2), epochs_per_stage=1))
    latent = autoencoder.encode(data(1)[0])
    move = (loss_shift(autoencoder, latent, 0.4) - latent)[0]
    weight = autoencoder.prediction_weight[0]
    torch.testing.assert_close(move, (0.4 * weight / weight.square().sum()).expand_as(move), rtol=1e-3, atol=1e-6)


def test_zero_loss_points_spread_as_widely_as_the_latent_points() -> None:
    autoencoder, _ = train_autoencoder(
        *data(2), seeds=[1, 2], settings=AutoencoderSettings(6, (2, 2), epochs_per_stage=1)
    )
    latent = 3 + 0.5 * torch.randn(2, 400, 6, generator=torch.Generator().manual_seed(0))
    zero = zero_loss_set(autoencoder, latent, 4000, seeds=[5, 6])
    weight, bias = autoencoder.prediction_weight, autoencoder.prediction_bias
    mean = latent.mean(dim=1)
    nearest = mean - weight * (((mean * weight).sum(-1) + bias) / weight.square().sum(-1))[:, None]
    torch.testing.assert_close(zero.mean(dim=1), nearest, rtol=0, atol=0.05)
    for member in range(2):
        variance = torch.linalg.eigvalsh(torch.cov(zero[member].T))
        assert variance[0] < 1e-6
        np.testing.assert_allclose(variance[1:], 0.25, rtol=0.15)
    again = zero_loss_set(autoencoder, latent, 4000, seeds=[6, 5])
    assert not torch.allclose(zero, again)
    torch.testing.assert_close(zero, zero_loss_set(autoencoder, latent, 4000, seeds=[5, 6]))
