from __future__ import annotations

import numpy as np
import pytest
import torch

from lyapunov_pkg.reproduction.prediction.prednet import PredNetSettings, train_prednet

SETTINGS = PredNetSettings(hidden_size=10, learning_rate=1e-2, epochs=300, loss_ceiling=1e3)


def samples(n_members: int, n: int = 300) -> tuple[np.ndarray, ...]:
    """Return training and validation data, equal for all members: one feature sets the loss nonlinearly."""
    features = np.random.default_rng(0).normal(size=(n, 6))
    features[:, 5] = -20.0  # This feature is at the floor for all networks.
    loss = 3 + np.abs(features[:, 0])
    parts = (features[30:], loss[30:], features[:30], loss[:30])
    return tuple(np.broadcast_to(part, (n_members, *part.shape)).copy() for part in parts)


def test_learns_a_nonlinear_relation() -> None:
    _, _, held_out, loss = samples(2)
    network, _ = train_prednet(*samples(2), seeds=[1, 2], settings=SETTINGS)
    for predicted in network.predict(held_out).numpy():
        assert np.square(predicted - loss[0]).mean() < 0.15 * loss[0].var()
    assert abs(np.corrcoef(held_out[0, :, 0], loss[0])[0, 1]) < 0.3


def test_history_is_in_units_of_the_loss_and_the_best_state_is_kept() -> None:
    _, _, held_out, loss = samples(2)
    network, history = train_prednet(*samples(2), seeds=[1, 2], settings=SETTINGS)
    assert history.train_error.shape == history.validation_error.shape == (2, SETTINGS.epochs)
    error = np.square(network.predict(held_out).numpy() - loss).mean(axis=1)
    np.testing.assert_allclose(error, history.validation_error.min(axis=1), rtol=1e-4)
    np.testing.assert_array_equal(history.best_epoch, history.validation_error.argmin(axis=1))
    assert (history.train_error[:, -1] < 0.1 * history.train_error[:, 0]).all()


def test_a_member_does_not_depend_on_the_other_members() -> None:
    together, _ = train_prednet(*samples(3), seeds=[1, 2, 3], settings=SETTINGS)
    alone, _ = train_prednet(*samples(1), seeds=[2], settings=SETTINGS)
    features = samples(1)[2][0]
    torch.testing.assert_close(together.predict(features)[1], alone.predict(features)[0], rtol=1e-3, atol=1e-3)
    assert not torch.allclose(together.predict(features)[0], together.predict(features)[1])


def test_the_scale_of_the_features_does_not_matter() -> None:
    features, loss, held_out, held_out_loss = samples(1)
    network, _ = train_prednet(features, loss, held_out, held_out_loss, [1], SETTINGS)
    other, _ = train_prednet(1e-3 * features, loss, 1e-3 * held_out, held_out_loss, [1], SETTINGS)
    torch.testing.assert_close(network.predict(held_out), other.predict(1e-3 * held_out), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("wrong", [{"hidden_size": 0}, {"epochs": 0}, {"learning_rate": 0.0}, {"loss_ceiling": -1.0}])
def test_errors_name_settings_out_of_range(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SETTINGS.replaced(**wrong)


@pytest.mark.parametrize(
    ("position", "wrong", "message"),
    [
        (0, np.full((1, 270, 6), np.nan), "train_features: got 1620 values that are not finite"),
        (1, np.zeros((1, 269)), r"train_loss: got shape \(1, 269\)"),
        (2, np.zeros((1, 30, 5)), "train_features and validation_features: got 6 and 5 numbers of a sample"),
        (2, np.zeros((2, 30, 6)), r"validation_features: got shape \(2, 30, 6\), expected \(1 seeds"),
        (2, np.zeros((1, 0, 6)), r"validation_features: got shape \(1, 0, 6\)"),
    ],
)
def test_errors_name_inputs_of_incompatible_shape(position: int, wrong: np.ndarray, message: str) -> None:
    parts = list(samples(1))
    parts[position] = wrong
    with pytest.raises(ValueError, match=message):
        train_prednet(*parts, seeds=[1], settings=SETTINGS)


def test_constant_features_keep_their_scale_and_the_others_get_variance_one() -> None:
    network, _ = train_prednet(*samples(2), seeds=[1, 2], settings=SETTINGS.replaced(epochs=1))
    features, loss = (torch.tensor(part, dtype=torch.float32) for part in samples(2)[:2])
    assert (network.feature_scale[..., 5] == 1).all() and (network.feature_mean[..., 5] == -20).all()
    torch.testing.assert_close(network.feature_scale[:, 0, :5], features.std(1, correction=0)[:, :5])
    torch.testing.assert_close(network.loss_scale[:, 0], loss.std(1, correction=0))
    torch.testing.assert_close(network.loss_mean[:, 0], loss.mean(1))


def test_a_feature_that_is_constant_up_to_rounding_is_constant() -> None:
    parts = [part.copy() for part in samples(1)]
    parts[0][..., 4] = 1e6 + np.linspace(0, 0.1, 270)  # The values are one float32 number or its neighbour.
    network, _ = train_prednet(*parts, seeds=[1], settings=SETTINGS.replaced(epochs=1))
    assert network.feature_scale[0, 0, 4] == 1


def test_the_network_has_one_hidden_layer_and_one_output() -> None:
    network, _ = train_prednet(*samples(2), seeds=[1, 2], settings=SETTINGS.replaced(hidden_size=7, epochs=1))
    assert {name: tuple(value.shape) for name, value in network.parameters.items()} == {
        "prednet.0.weight": (2, 6, 7),
        "prednet.0.bias": (2, 1, 7),
        "prednet.1.weight": (2, 7, 1),
        "prednet.1.bias": (2, 1, 1),
    }
