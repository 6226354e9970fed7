from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

from lyapunov_pkg.cells import CELLS
from lyapunov_pkg.networks import Network
from lyapunov_pkg.tasks.supervised import Task
from lyapunov_pkg.training.bptt import TrainingSettings, initialise_network, train_variants
from lyapunov_pkg.training.variants import Variant, design_variants

CPU = torch.device("cpu")
SETTINGS = TrainingSettings(epochs=2, batch_size=16, loss_on="last")


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def dataset() -> xr.Dataset:
    """Three classes of short sequences, told apart by which feature is high on average."""
    rng = np.random.default_rng(0)

    def samples(n: int) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.integers(0, 3, n)
        inputs = rng.uniform(0, 0.5, (n, 5, 3)) + 0.5 * np.eye(3)[labels][:, None]
        return inputs.astype(np.float32), labels

    (train_input, train_label), (test_input, test_label) = samples(90), samples(40)
    return xr.Dataset(
        {
            "train_input": (("train_sample", "time", "feature"), train_input),
            "train_label": ("train_sample", train_label),
            "test_input": (("test_sample", "time", "feature"), test_input),
            "test_label": ("test_sample", test_label),
        }
    )


def variants(architecture: str, indices: range, **hyperparameters: object) -> list[Variant]:
    settings = {"hidden_size": 8, "init_param": {"uniform": [0.1, 1.0]}, "learning_rate": 0.01} | hyperparameters
    return design_variants("test", architecture, {"architecture": architecture} | settings, indices, seed=3)


@pytest.mark.parametrize("architecture", CELLS)
def test_results_do_not_depend_on_how_many_train_together(architecture: str, dataset: xr.Dataset) -> None:
    everyone = variants(architecture, range(5))
    alone, together = (train_variants(everyone, dataset, SETTINGS, CPU, width) for width in (1, 5))
    other_shard = train_variants(everyone[2:5], dataset, SETTINGS, CPU, 3)
    for name in ("validation_loss", "train_loss", "validation_accuracy"):
        np.testing.assert_allclose(alone[name], together[name], rtol=1e-5)
        np.testing.assert_allclose(other_shard[name], together[name][2:5], rtol=1e-5)
    assert together["variant"].values.tolist() == [0, 1, 2, 3, 4]


def test_training_again_gives_the_same_numbers(dataset: xr.Dataset) -> None:
    first, second = (train_variants(variants("noisy", range(2)), dataset, SETTINGS, CPU) for _ in range(2))
    xr.testing.assert_identical(first, second)


def test_training_equals_a_plain_loop_over_one_torch_module(dataset: xr.Dataset) -> None:
    """The whole program against torch.nn.LSTM, torch.nn.Linear and torch.optim.Adam, written out."""
    variant = variants("lstm", range(1))[0]
    task = Task.from_dataset(dataset, "last", CPU)
    start = initialise_network([variant], task)
    lstm, readout = torch.nn.LSTM(3, 8, bias=False, batch_first=True), torch.nn.Linear(8, 3)
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(start.params["layer_0.input_weight"][0])
        lstm.weight_hh_l0.copy_(start.params["layer_0.recurrent_weight"][0])
        readout.weight.copy_(start.params["readout.weight"][0])
        readout.bias.copy_(start.params["readout.bias"][0])
    optimizer = torch.optim.Adam([*lstm.parameters(), *readout.parameters()], lr=variant.learning_rate)
    cross_entropy = torch.nn.CrossEntropyLoss()
    validation = []
    for epoch in range(1, SETTINGS.epochs + 1):
        order = torch.randperm(90, generator=variant.generator("order", epoch))
        for batch in order.split(SETTINGS.batch_size):
            optimizer.zero_grad()
            cross_entropy(readout(lstm(task.train.inputs[batch])[0][:, -1]), task.train.targets[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            logits = readout(lstm(task.validation.inputs)[0][:, -1])
            validation.append(cross_entropy(logits, task.validation.targets).item())
    ours = train_variants([variant], dataset, SETTINGS, CPU)
    np.testing.assert_allclose(ours["validation_loss"].values[0, 1:], validation, rtol=1e-4)


def test_networks_learn_and_epoch_zero_is_before_training(dataset: xr.Dataset) -> None:
    everyone = variants("gru", range(2), learning_rate=0.02)
    trained = train_variants(everyone, dataset, TrainingSettings(8, 16, "last"), CPU)
    assert (trained["validation_accuracy"].values[:, -1] > 0.9).all()
    assert (trained["validation_loss"].values[:, -1] < 0.5 * trained["validation_loss"].values[:, 0]).all()
    assert np.isnan(trained["train_loss"].values[:, 0]).all()
    assert not trained["diverged"].any()


def test_stored_parameters_give_the_stored_loss(dataset: xr.Dataset) -> None:
    trained = train_variants(variants("lem", range(2)), dataset, SETTINGS, CPU)
    params = {
        name: torch.from_numpy(value.values[:, -1])
        for name, value in trained.items()
        if name.startswith(("layer_", "read"))
    }
    network = Network.from_params("lem", params)
    logits = network.forward(torch.from_numpy(dataset["test_input"].values), last_only=True)
    labels = torch.from_numpy(dataset["test_label"].values)
    losses = [torch.nn.functional.cross_entropy(each, labels).item() for each in logits]
    np.testing.assert_allclose(trained["validation_loss"][:, -1], losses, rtol=1e-5)


def test_divergence_is_recorded_and_leaves_the_others_alone(dataset: xr.Dataset) -> None:
    """A ReLU network with huge weights overflows; the one beside it trains on."""
    calm, wild = variants("rnn", range(2), nonlinearity="relu", init_param={"grid": [0.1, 1e12]})
    together = train_variants([calm, wild], dataset, SETTINGS, CPU)
    alone = train_variants([calm], dataset, SETTINGS, CPU)
    assert together["diverged"].values.tolist() == [False, True]
    np.testing.assert_allclose(together["validation_loss"][0], alone["validation_loss"][0], rtol=1e-5)


def test_mixed_architectures_are_refused(dataset: xr.Dataset) -> None:
    with pytest.raises(ValueError, match="expected one architecture"):
        train_variants(variants("lstm", range(1)) + variants("gru", range(1)), dataset, SETTINGS, CPU)
