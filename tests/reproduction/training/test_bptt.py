from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

from lyapunov_pkg.cells import CELLS
from lyapunov_pkg.networks import Network
from lyapunov_pkg.reproduction.populations.stored import stored_network
from lyapunov_pkg.reproduction.tasks.supervised import Part, Task
from lyapunov_pkg.reproduction.training import bptt
from lyapunov_pkg.reproduction.training.bptt import (
    TrainingSettings,
    begin_training,
    initialise_network,
    own_samples,
    sample_order,
    train_batches,
    train_epoch,
    train_variants,
)
from lyapunov_pkg.reproduction.training.optimizers import OPTIMIZERS
from lyapunov_pkg.reproduction.training.variants import Variant, design_variants

CPU = torch.device("cpu")
SETTINGS = TrainingSettings(epochs=2, batch_size=16, loss_on="last", optimizer="adam")


@pytest.fixture(scope="module")
def dataset() -> xr.Dataset:
    """Return short sequences of three classes, which differ in the feature with the highest mean."""
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


def train_together(everyone: list[Variant], dataset: xr.Dataset, settings: TrainingSettings, width: int) -> xr.Dataset:
    """Train at most `width` variants in a stack."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(bptt.VARIANTS_TOGETHER, "cpu", width)
        return train_variants(everyone, dataset, settings, CPU)


@pytest.mark.parametrize("architecture", CELLS)
def test_results_do_not_depend_on_the_number_of_variants_in_a_stack(architecture: str, dataset: xr.Dataset) -> None:
    everyone = variants(architecture, range(5))
    alone, together = (train_together(everyone, dataset, SETTINGS, width) for width in (1, 5))
    other_shard = train_together(everyone[2:5], dataset, SETTINGS, 3)
    for name in ("validation_loss", "train_loss", "validation_accuracy"):
        np.testing.assert_allclose(alone[name], together[name], rtol=1e-5)
        np.testing.assert_allclose(other_shard[name], together[name][2:5], rtol=1e-5)
    assert together["variant"].values.tolist() == [0, 1, 2, 3, 4]


def test_repeated_training_gives_identical_results(dataset: xr.Dataset) -> None:
    first, second = (train_variants(variants("noisy", range(2)), dataset, SETTINGS, CPU) for _ in range(2))
    xr.testing.assert_identical(first, second)


def test_training_agrees_with_a_plain_loop_over_one_torch_module(dataset: xr.Dataset) -> None:
    """The plain loop uses torch.nn.LSTM, torch.nn.Linear and torch.optim.Adam."""
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


def sequence_task(kind: str, loss_on: str) -> Task:
    """Return random sequences in float64, with classes or vectors as targets."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(30, 6, 3, generator=generator, dtype=torch.float64)
    targets = inputs.cumsum(1).tanh() if kind == "regression" else inputs.cumsum(1).argmax(-1)
    part = Part(inputs, targets[:, -1] if loss_on == "last" else targets)
    return Task(part, part, 3, 3, last_only=loss_on == "last")


@pytest.mark.parametrize("kind", ["regression", "classification"])
@pytest.mark.parametrize("loss_on", ["all", "last"])
def test_training_options_agree_with_a_plain_loop_over_torch_modules_in_float64(kind: str, loss_on: str) -> None:
    """Variants have two layers with dropout, learning-rate decay, clipped gradients, and different learning rates."""
    options = {"n_layers": 2, "learning_rate": {"grid": [0.01, 0.03]}, "dropout": {"grid": [0.0, 0.4]}}
    settings = SETTINGS.replaced(
        epochs=3,
        batch_size=8,
        loss_on=loss_on,
        learning_rate_decay={"factor": 0.5, "after_epoch": 1},
        gradient_clip=0.2,
    )
    everyone, task = variants("lstm", range(4), **options), sequence_task(kind, loss_on)
    network = initialise_network(everyone, task).to(dtype=torch.float64)
    params = {name: value.clone().requires_grad_() for name, value in network.params.items()}
    optimizer = OPTIMIZERS["adam"](params, [variant.learning_rate for variant in everyone])
    samples = torch.arange(30)
    ours = [
        train_epoch(network.with_params(params), optimizer, everyone, task, samples, settings, epoch)
        for epoch in (1, 2, 3)
    ]
    criterion = torch.nn.MSELoss() if kind == "regression" else torch.nn.CrossEntropyLoss()
    norms: list[float] = []
    for index, variant in enumerate(everyone):
        own = network.select([index])
        layers = torch.nn.ModuleList(
            torch.nn.LSTM(size, 8, bias=False, batch_first=True, dtype=torch.float64) for size in (3, 8)
        )
        readout = torch.nn.Linear(8, 3, dtype=torch.float64)
        with torch.no_grad():
            for number, layer in enumerate(layers):
                layer.weight_ih_l0.copy_(own.params[f"layer_{number}.input_weight"][0])
                layer.weight_hh_l0.copy_(own.params[f"layer_{number}.recurrent_weight"][0])
            readout.weight.copy_(own.params["readout.weight"][0])
            readout.bias.copy_(own.params["readout.bias"][0])
        trained = [*layers.parameters(), *readout.parameters()]
        theirs = torch.optim.Adam(trained, lr=variant.learning_rate)
        for epoch in (1, 2, 3):
            theirs.param_groups[0]["lr"] = variant.learning_rate * (1, 0.5, 0.25)[epoch - 1]
            order = torch.randperm(30, generator=variant.generator("order", epoch))
            generator, total = variant.generator("dropout", epoch), 0.0
            for batch in order.split(8):
                theirs.zero_grad()
                hidden = layers[0](task.train.inputs[batch])[0]
                masks = own.draw_dropout(len(batch), 6, [variant.dropout], [generator], loss_on == "last")
                if masks:
                    hidden = hidden * masks[0][0].transpose(0, 1)
                hidden = layers[1](hidden)[0]
                hidden = hidden[:, -1] if loss_on == "last" else hidden
                if masks:
                    hidden = hidden * (masks[1][0] if loss_on == "last" else masks[1][0].transpose(0, 1))
                outputs, targets = readout(hidden), task.train.targets[batch]
                if kind == "classification":
                    outputs, targets = outputs.flatten(0, -2), targets.flatten()
                loss = criterion(outputs, targets)
                loss.backward()
                norms.append(torch.nn.utils.clip_grad_norm_(trained, 0.2).item())
                theirs.step()
                total += loss.item() * len(batch) / 30
            assert ours[epoch - 1][index].item() == pytest.approx(total, rel=1e-6)
    assert min(norms) < 0.2 < max(norms)


def test_dropout_masks_have_the_given_rates_and_scales() -> None:
    everyone = variants("lstm", range(2), dropout={"grid": [0.25, 0.0]})
    network = initialise_network(everyone, sequence_task("regression", "all"))
    generators = [variant.generator("dropout", 1) for variant in everyone]
    (mask,) = network.draw_dropout(50, 40, [0.25, 0.0], generators)
    assert mask.shape == (2, 40, 50, 8)
    np.testing.assert_allclose(mask[0].unique(), [0, 4 / 3])
    assert (mask[0] == 0).double().mean().item() == pytest.approx(0.25, abs=0.02)
    assert (mask[1] == 1).all()
    assert network.draw_dropout(50, 40, [0.0, 0.0], generators) is None


def test_rates_dropout_and_subsamples_do_not_depend_on_the_number_of_variants_in_a_stack(dataset: xr.Dataset) -> None:
    everyone = variants(
        "gru", range(5), learning_rate={"log_uniform": [1e-3, 0.1]}, dropout={"uniform": [0.0, 0.5]}, n_layers=2
    )
    settings = SETTINGS.replaced(optimizer="adagrad", gradient_clip=0.5, subsample=0.5)
    alone, together = (train_together(everyone, dataset, settings, width) for width in (1, 5))
    for name in ("validation_loss", "train_loss"):
        np.testing.assert_allclose(alone[name], together[name], rtol=1e-5)
    assert len(set(together["learning_rate"].values)) == len(set(together["dropout"].values)) == 5


def test_dropout_is_off_in_evaluation(dataset: xr.Dataset) -> None:
    plain, dropped = variants("lstm", range(1)), variants("lstm", range(1), dropout=0.5)
    before = [train_variants(each, dataset, SETTINGS, CPU)["validation_loss"].values[0] for each in (plain, dropped)]
    assert before[0][0] == before[1][0]
    assert before[0][1] != before[1][1]


def test_each_variant_has_its_own_subsample_of_training_and_validation_data(dataset: xr.Dataset) -> None:
    everyone = variants("lstm", range(3))
    for part, n in (("train", 90), ("validation", 40)):
        samples = own_samples(everyone, part, n, 0.3)
        assert samples.shape == (3, round(0.3 * n))
        assert all(len(set(own.tolist())) == len(own) and set(own.tolist()) <= set(range(n)) for own in samples)
        assert len({tuple(own.tolist()) for own in samples}) == 3
        torch.testing.assert_close(samples[1:2], own_samples(everyone[1:2], part, n, 0.3))
        order = sample_order(everyone, 1, samples)
        torch.testing.assert_close(order.sort(dim=1).values, samples)
    settings = SETTINGS.replaced(epochs=1, subsample=0.3)
    trained = train_variants(everyone, dataset, settings, CPU)
    for index, variant in enumerate(everyone):
        chosen = own_samples([variant], "validation", 40, 0.3)[0].numpy()
        network = stored_network(trained, index, 0)
        logits = network.forward(torch.from_numpy(dataset["test_input"].values[chosen]), last_only=True)[0]
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(dataset["test_label"].values[chosen]))
        assert trained["validation_loss"].values[index, 0] == pytest.approx(loss.item(), rel=1e-5)


@pytest.mark.parametrize("share", [0, -0.3, 1.2, float("nan")])
def test_fractions_outside_0_to_1_are_refused(share: float) -> None:
    with pytest.raises(ValueError, match=r"subsample is .*; expected more than 0 and at most 1"):
        own_samples(variants("lstm", range(1)), "train", 10, share)


def test_the_learning_rate_decays_after_the_given_epoch() -> None:
    settings = SETTINGS.replaced(learning_rate_decay={"factor": 0.5, "after_epoch": 2})
    assert [settings.learning_rate_factor(epoch) for epoch in (1, 2, 3, 4)] == [1, 1, 0.5, 0.25]
    assert SETTINGS.learning_rate_factor(100) == 1


def test_best_epoch_is_that_of_the_lowest_validation_loss(dataset: xr.Dataset) -> None:
    """A much too large learning rate makes the loss fluctuate."""
    everyone = variants("rnn", range(4), learning_rate={"grid": [0.01, 1.0]})
    trained = train_variants(everyone, dataset, SETTINGS.replaced(epochs=6), CPU)
    np.testing.assert_array_equal(trained["best_epoch"], trained["validation_loss"].values.argmin(1))
    assert (trained["best_epoch"].values < 6).any()


def test_subnormal_gradients_are_set_to_zero(dataset: xr.Dataset) -> None:
    """Arithmetic with subnormal numbers is several times slower."""
    smallest = torch.finfo(torch.float32).smallest_normal
    # The hidden units are equally small, and the gradients are smaller still.
    together = variants("rnn", range(1), init_param=2 * smallest)
    task = Task.from_dataset(dataset, "last", CPU)
    network, optimizer = begin_training(together, task, SETTINGS)
    samples = own_samples(together, "train", len(task.train.inputs), None)
    next(train_batches(network, optimizer, together, task, samples, SETTINGS, epoch=1))
    gradient = network.params["readout.weight"].grad
    assert gradient is not None
    assert not ((gradient != 0) & (gradient.abs() < smallest)).any()


def test_networks_learn_and_epoch_zero_is_before_training(dataset: xr.Dataset) -> None:
    everyone = variants("gru", range(2), learning_rate=0.02)
    trained = train_variants(everyone, dataset, SETTINGS.replaced(epochs=8), CPU)
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


def test_divergence_is_recorded_and_does_not_affect_other_variants(dataset: xr.Dataset) -> None:
    """A ReLU network with huge weights overflows, and the other network of the stack continues to train."""
    calm, wild = variants("rnn", range(2), nonlinearity="relu", init_param={"grid": [0.1, 1e12]})
    together = train_variants([calm, wild], dataset, SETTINGS, CPU)
    alone = train_variants([calm], dataset, SETTINGS, CPU)
    assert together["diverged"].values.tolist() == [False, True]
    np.testing.assert_allclose(together["validation_loss"][0], alone["validation_loss"][0], rtol=1e-5)


def test_mixed_architectures_are_refused(dataset: xr.Dataset) -> None:
    for one, other in (
        (variants("lstm", range(1)), variants("gru", range(1))),
        (variants("asrnn", range(1)), variants("asrnn", range(1), eps=0.1)),
    ):
        with pytest.raises(ValueError, match="expected one architecture"):
            train_variants(one + other, dataset, SETTINGS, CPU)
