from __future__ import annotations

import numpy as np
import pytest
import torch

from lyapunov_pkg.aelle import AutoencoderSettings, train_autoencoder
from lyapunov_pkg.aelle.embedding import fit_components, loss_shift, zero_loss_set

SETTINGS = AutoencoderSettings(latent_size=6, layer_divisors=(2, 2), learning_rate=3e-3, epochs_per_stage=60)


def data(n_members: int, n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Spectra whose slope alone sets the loss: training and validation parts, the same for every member."""
    rng = np.random.default_rng(seed)
    slope = rng.uniform(0, 1, n)
    spectra = -slope[:, None] * np.linspace(0, 2, 12) + 0.01 * rng.normal(size=(n, 12))
    parts = (spectra[20:], slope[20:], spectra[:20], slope[:20])
    return tuple(np.broadcast_to(part, (n_members, *part.shape)).copy() for part in parts)


def test_learns_to_predict_and_reconstruct() -> None:
    spectra, loss, held_out, held_out_loss = data(1)
    autoencoder, _ = train_autoencoder(spectra, loss, held_out, held_out_loss, seeds=[1], settings=SETTINGS)
    latent = autoencoder.encode(held_out)
    predicted, decoded = autoencoder.predict(latent).detach().numpy(), autoencoder.decode(latent).detach().numpy()
    assert np.corrcoef(predicted[0], held_out_loss[0])[0, 1] > 0.95
    assert np.abs(decoded - held_out).mean() < 0.5 * np.abs(held_out - held_out.mean(1, keepdims=True)).mean()


def test_a_member_does_not_depend_on_who_is_trained_beside_it() -> None:
    together, _ = train_autoencoder(*data(3), seeds=[1, 2, 3], settings=SETTINGS)
    alone, _ = train_autoencoder(*data(1), seeds=[2], settings=SETTINGS)
    spectra = data(3)[0]
    torch.testing.assert_close(together.encode(spectra)[1], alone.encode(spectra[:1])[0], rtol=1e-3, atol=1e-3)
    assert not torch.allclose(together.encode(spectra)[0], together.encode(spectra)[2])


def test_shift_changes_the_predicted_loss_by_exactly_that_and_the_zero_set_predicts_zero() -> None:
    autoencoder, _ = train_autoencoder(*data(2), seeds=[1, 2], settings=SETTINGS)
    latent = autoencoder.encode(data(2)[0])
    moved = autoencoder.predict(loss_shift(autoencoder, latent, -0.7))
    torch.testing.assert_close(moved, autoencoder.predict(latent) - 0.7, rtol=1e-4, atol=1e-4)
    zero = zero_loss_set(autoencoder, latent, 50, seeds=[1, 2])
    assert zero.shape == (2, 50, 6)
    assert autoencoder.predict(zero.float()).abs().max() < 1e-4


def test_first_component_points_to_low_loss() -> None:
    points = np.random.default_rng(0).normal(size=(50, 4)) * [5, 1, 1, 1]
    for loss in (points[:, 0], -points[:, 0]):
        first = fit_components(points, loss, 2).transform(points)[:, 0]
        assert np.corrcoef(first, loss)[0, 1] < -0.9


def test_more_components_than_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="n_components is 10 for 5 points"):
        fit_components(np.zeros((5, 20)), np.zeros(5), 10)


@pytest.mark.parametrize("wrong", [{"dropout": 1.5}, {"latent_size": 0}, {"learning_rate": -1.0}])
def test_settings_out_of_range_are_named(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AutoencoderSettings(**wrong)


def test_the_state_of_the_best_validation_prediction_is_kept() -> None:
    spectra, loss, held_out, held_out_loss = data(2)
    # The validation losses contradict the training part's, so that prediction gets worse with training.
    autoencoder, history = train_autoencoder(spectra, loss, held_out, -held_out_loss, [1, 2], SETTINGS)
    predicted = autoencoder.predict(autoencoder.encode(held_out)).numpy()
    np.testing.assert_array_equal(history.best_epoch, history.validation_prediction.argmin(axis=1))
    assert (history.best_epoch < history.validation_prediction.shape[1] - 1).all()
    error = np.square(predicted + held_out_loss).mean(axis=1)
    np.testing.assert_allclose(error, history.validation_prediction.min(axis=1), rtol=1e-4)
    assert (error < history.validation_prediction[:, -1]).all()


def test_training_leaves_the_number_of_threads_as_it_was() -> None:
    before = torch.get_num_threads()
    train_autoencoder(*data(1), seeds=[1], settings=AutoencoderSettings(epochs_per_stage=1))
    assert torch.get_num_threads() == before


def test_components_without_variance_are_zero() -> None:
    rng = np.random.default_rng(0)
    points = (rng.normal(size=(50, 2)) @ rng.normal(size=(2, 6))).astype(np.float32)  # rank 2, but for rounding
    components = fit_components(points, points[:, 0], 4).transform(points)
    assert (components[:, :2].std(axis=0) > 0.1).all()
    assert (components[:, 2:] == 0).all()


def test_zero_loss_set_fills_the_null_space_of_the_prediction_layer() -> None:
    autoencoder, _ = train_autoencoder(*data(1), seeds=[1], settings=SETTINGS)
    zero = zero_loss_set(autoencoder, autoencoder.encode(data(1)[0]), 50, seeds=[1])[0].numpy()
    assert np.linalg.matrix_rank(zero - zero.mean(axis=0), tol=1e-4) == SETTINGS.latent_size - 1


@pytest.mark.parametrize(
    ("position", "wrong", "message"),
    [
        (0, np.full((1, 40, 12), -np.inf), "train_spectra has 480 values that are not finite"),
        (1, np.zeros((1, 39)), r"train_loss has shape \(1, 39\)"),
        (2, np.zeros((1, 20, 11)), "train_spectra has 12 exponents and validation_spectra 11"),
        (2, np.zeros((2, 20, 12)), r"validation_spectra has shape \(2, 20, 12\); expected \(1 seeds"),
    ],
)
def test_parts_that_do_not_fit_are_named(position: int, wrong: np.ndarray, message: str) -> None:
    parts = list(data(1))
    parts[position] = wrong
    with pytest.raises(ValueError, match=message):
        train_autoencoder(*parts, seeds=[1], settings=SETTINGS)
