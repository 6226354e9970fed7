from __future__ import annotations

import numpy as np
import pytest
import torch

from lyapunov_pkg.reproduction.gradients.participation import ParticipationSettings, participation_experiment
from lyapunov_pkg.reproduction.gradients.recurrent_gradient import participation_ratio, recurrent_gradients
from lyapunov_pkg.reproduction.populations.stored import stored_network
from lyapunov_pkg.reproduction.tasks.smnist import load_smnist
from lyapunov_pkg.reproduction.training.bptt import TrainingSettings, train_variants
from lyapunov_pkg.reproduction.training.variants import design_variants
from lyapunov_pkg.workflow.store import save_store


def test_networks_agree_with_ordinary_training_at_every_measured_update(tmp_path):
    dataset = load_smnist("digits", n_train=50, n_test=20, seed=1)
    design = {"architecture": "rnn", "hidden_size": 8, "init_param": 0.3, "learning_rate": 0.01}
    variants = design_variants("row_rnn", "rnn", design, range(2), seed=3)
    training = TrainingSettings(epochs=2, batch_size=20, loss_on="last", optimizer="adam")
    settings = ParticipationSettings(n_initial_states=5, initial_state_std=0.5, at_epochs=(0, 0.4, 1, 2))
    result = participation_experiment({"small": variants}, dataset, training, settings, seed=4)

    assert result.attrs["updates_per_epoch"] == 3
    assert result["update"].values.tolist() == [0, 1, 3, 6]
    trained = train_variants(variants, dataset, training, torch.device("cpu"))
    weights = [20 / 50, 20 / 50, 10 / 50]
    for epoch in (1, 2):
        of_epoch = result["batch_loss"].values[:, 3 * epoch - 3 : 3 * epoch] @ np.array(weights)
        np.testing.assert_allclose(of_epoch, trained["train_loss"].sel(epoch=epoch), rtol=1e-5)
    start = 0.5 * torch.randn(5, 8, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    inputs, labels = (torch.from_numpy(dataset[f"test_{name}"].values[:5]) for name in ("input", "label"))
    for epoch, update in ((0, 0), (1, 3), (2, 6)):
        network = stored_network(trained, 1, epoch).to(dtype=torch.float64)
        gradients = recurrent_gradients(network, inputs.double(), labels, start)
        expected = participation_ratio(torch.linalg.svdvals(gradients))[0]
        np.testing.assert_allclose(result["participation_ratio"].sel(variant=1, update=update), expected, rtol=1e-3)
    assert (result["participation_ratio"] * result["time"] >= 1 - 1e-9).all()  # There are at most t modes.
    save_store(result, tmp_path / "participation.zarr.zip", {})


def test_more_states_than_images_are_refused():
    dataset = load_smnist("digits", n_train=50, n_test=20, seed=1)
    training = TrainingSettings(epochs=1, batch_size=20, loss_on="last", optimizer="adam")
    settings = ParticipationSettings(n_initial_states=21, initial_state_std=0.5, at_epochs=(0,))
    with pytest.raises(ValueError, match="n_initial_states of the participation ratio is 21; expected at most 20"):
        participation_experiment({"small": []}, dataset, training, settings, 0)


@pytest.mark.parametrize(
    ("at_epochs", "updates", "n_batches"), [((0,), [0], 0), ((0, 1), [0, 3], 3), ((1 / 3,), [1], 3), ((2,), [6], 6)]
)
def test_only_the_requested_updates_are_trained_and_measured(at_epochs, updates, n_batches):
    dataset = load_smnist("digits", n_train=50, n_test=20, seed=1)
    design = {"architecture": "rnn", "hidden_size": 4, "init_param": 0.3, "learning_rate": 0.01}
    variants = design_variants("row_rnn", "rnn", design, range(1), seed=3)
    training = TrainingSettings(epochs=9, batch_size=20, loss_on="last", optimizer="adam")
    settings = ParticipationSettings(n_initial_states=2, initial_state_std=0.5, at_epochs=at_epochs)
    result = participation_experiment({"small": variants}, dataset, training, settings, seed=4)
    assert result["update"].values.tolist() == updates
    assert result["batch"].values.tolist() == list(range(1, n_batches + 1))
    assert result["participation_ratio"].shape == (1, len(updates), 2, 8)
    assert np.isfinite(result["batch_loss"]).all()


def test_a_network_that_diverged_has_no_ratios():
    dataset = load_smnist("digits", n_train=50, n_test=20, seed=1)
    design = {"architecture": "rnn", "hidden_size": 4, "init_param": {"grid": [0.3, 1e30]}, "learning_rate": 0.01}
    variants = design_variants("row_rnn", "rnn", design | {"nonlinearity": "relu"}, range(2), seed=3)
    settings = ParticipationSettings(n_initial_states=2, initial_state_std=0.5, at_epochs=(1,))
    training = TrainingSettings(epochs=1, batch_size=20, loss_on="last", optimizer="adam")
    result = participation_experiment({"small": variants}, dataset, training, settings, seed=4)
    assert np.isfinite(result["participation_ratio"][0]).any() and np.isnan(result["participation_ratio"][1]).all()
