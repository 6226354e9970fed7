from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import xarray as xr

from lyapunov_pkg.reproduction.tasks.supervised import Task, driving_sequences

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)


def text(n_characters: int = 5) -> xr.Dataset:
    characters = RNG.integers(0, n_characters, (9, 8)).astype(np.uint8)
    parts = {"train": slice(0, 6), "validation": slice(6, 9)}
    variables = {
        f"{part}_{kind}": ((f"{part}_sample", "time"), characters[rows, columns])
        for part, rows in parts.items()
        for kind, columns in {"input": slice(0, -1), "target": slice(1, None)}.items()
    }
    return xr.Dataset(variables | {"alphabet": ("character", list("abcdefgh"[:n_characters]))})


def motion() -> xr.Dataset:
    frames = RNG.normal(size=(9, 8, 4)).astype(np.float32)
    parts = {"train": slice(0, 6), "validation": slice(6, 9)}
    return xr.Dataset(
        {
            f"{part}_{kind}": ((f"{part}_sample", "time", "feature"), frames[rows, columns])
            for part, rows in parts.items()
            for kind, columns in {"input": slice(0, -1), "target": slice(1, None)}.items()
        }
    )


def images() -> xr.Dataset:
    variables = {}
    for part, n in {"train": 6, "test": 3}.items():
        variables[f"{part}_input"] = ((f"{part}_sample", "time", "feature"), RNG.random((n, 7, 4), dtype=np.float32))
        variables[f"{part}_label"] = (f"{part}_sample", np.arange(n) % 3)
    return xr.Dataset(variables)


def test_characters_enter_as_one_hot_vectors() -> None:
    dataset = text()
    task = Task.from_dataset(dataset, "all", CPU)
    assert (task.input_size, task.output_size, task.classifies) == (5, 5, True)
    samples = torch.tensor([[3, 0], [1, 5]])
    inputs, targets = task.take(task.train, samples)
    assert inputs.shape == (2, 2, 7, 5) and inputs.dtype == torch.float32
    np.testing.assert_array_equal(inputs.argmax(-1), dataset["train_input"].values[samples])
    np.testing.assert_array_equal(inputs.sum(-1), 1)
    np.testing.assert_array_equal(targets, dataset["train_target"].values[samples])


def test_cross_entropy_over_all_steps_and_at_the_last_step() -> None:
    dataset = text()
    logits = torch.randn(2, 3, 7, 5, dtype=torch.float64)
    samples = torch.arange(3)
    for loss_on, steps in {"all": slice(None), "last": slice(-1, None)}.items():
        task = Task.from_dataset(dataset, loss_on, CPU)
        outputs = logits if loss_on == "all" else logits[:, :, -1]
        found = task.losses(outputs, task.take(task.validation, samples)[1])
        chosen = dataset["validation_target"].values[:, steps]
        log_probabilities = logits.log_softmax(-1).numpy()[:, :, steps]
        each = np.take_along_axis(log_probabilities, np.broadcast_to(chosen, (2, *chosen.shape))[..., None], -1)
        np.testing.assert_allclose(found, -each.mean((1, 2, 3)), rtol=1e-12)


def test_held_out_sequences_are_the_validation_and_the_test_set() -> None:
    whole = text()
    split = whole.isel(validation_sample=slice(0, 2))
    for kind in ("input", "target"):
        last = whole[f"validation_{kind}"].isel(validation_sample=slice(2, None))
        split[f"test_{kind}"] = last.rename(validation_sample="test_sample")
    found = Task.from_dataset(split, "all", CPU, "held_out")
    expected = Task.from_dataset(whole, "all", CPU)
    for part in ("train", "validation"):
        assert torch.equal(getattr(found, part).inputs, getattr(expected, part).inputs)
        assert torch.equal(getattr(found, part).targets, getattr(expected, part).targets)
    assert len(Task.from_dataset(split, "all", CPU).validation.inputs) == 2
    with pytest.raises(ValueError, match="expected 'validation', since the data have no test part"):
        Task.from_dataset(whole, "all", CPU, "held_out")
    with pytest.raises(ValueError, match="validate_on is 'test'; expected 'validation' or 'held_out'"):
        Task.from_dataset(split, "all", CPU, "test")


def test_an_untrained_network_has_the_loss_of_chance() -> None:
    task = Task.from_dataset(text(), "all", CPU)
    targets = task.take(task.train, torch.arange(6))[1]
    loss = task.losses(torch.zeros(1, 6, 7, 5), targets)
    assert loss.item() == pytest.approx(math.log(5))


def test_accuracy_is_the_frequency_of_correct_most_probable_classes() -> None:
    task = Task.from_dataset(text(), "all", CPU)
    targets = task.take(task.train, torch.arange(6))[1].long()
    right = torch.nn.functional.one_hot(targets, 5).double()
    half = right.clone()
    half[:3] = right[:3].roll(1, dims=-1)
    np.testing.assert_allclose(task.accuracies(torch.stack([right, half]), targets), [1.0, 0.5])


def test_squared_error_of_motions() -> None:
    dataset = motion()
    task = Task.from_dataset(dataset, "all", CPU)
    assert (task.input_size, task.output_size, task.classifies) == (4, 4, False)
    assert task.loss_description == ("1", "mean squared error")
    outputs = torch.randn(2, 3, 7, 4)
    found = task.losses(outputs, task.take(task.validation, torch.arange(3))[1])
    expected = ((outputs.numpy() - dataset["validation_target"].values) ** 2).mean((1, 2, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_images_have_one_label_and_the_test_set_is_used_for_validation() -> None:
    dataset = images()
    task = Task.from_dataset(dataset, "last", CPU)
    assert (task.input_size, task.output_size, task.last_only) == (4, 3, True)
    np.testing.assert_array_equal(task.validation.targets, dataset["test_label"])
    with pytest.raises(ValueError, match="loss_on is 'all', but there is one target for a sequence; expected 'last'"):
        Task.from_dataset(dataset, "all", CPU)


def test_unknown_loss_is_refused() -> None:
    with pytest.raises(ValueError, match="loss_on is 'first'; expected 'all' or 'last'"):
        Task.from_dataset(text(), "first", CPU)


def test_networks_are_driven_by_validation_sequences() -> None:
    for dataset, part in ((text(), "validation"), (motion(), "validation"), (images(), "test")):
        sequences = driving_sequences(dataset, 2)
        task = Task.from_dataset(dataset, "last", CPU)
        torch.testing.assert_close(sequences, task.take(task.validation, torch.arange(2))[0])
        with pytest.raises(ValueError, match=f"n_sequences is 4; expected no more than 3 {part} samples hold"):
            driving_sequences(dataset, 4)


def test_long_driving_sequences_concatenate_successive_samples() -> None:
    dataset = motion()
    samples = torch.from_numpy(dataset["validation_input"].values)  # The samples have 7 steps.
    (sequence,) = driving_sequences(dataset, 1, 16)
    torch.testing.assert_close(sequence, torch.cat([samples[0], samples[1], samples[2, :2]]))
    torch.testing.assert_close(driving_sequences(dataset, 3, 5), samples[:, :5])
    with pytest.raises(ValueError, match="is 2 of 16 steps, 3 samples each; expected no more than 3 validation"):
        driving_sequences(dataset, 2, 16)
