from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from lyapunov_pkg.reproduction.tasks.sequences import load_sequences
from lyapunov_pkg.reproduction.tasks.supervised import Task, driving_sequences
from lyapunov_pkg.workflow.store import open_store, save_store

N, T, F = 30, 7, 3
RNG = np.random.default_rng(5)
INPUTS = 40 + 9 * RNG.normal(size=(N, T, F))
TARGETS = {
    "classes of sequences": np.array([5, 17, -1])[np.arange(N) % 3],
    "classes in a column": (np.arange(N) % 3)[:, None],
    "names of classes": np.array(["κύμα", "波", "wave"])[np.arange(N) % 3],
    "truth values": np.arange(N) % 2 == 0,
    "classes of steps": RNG.integers(3, 7, (N, T)),
    "a value of sequences": 5000 * RNG.normal(size=N),
    "values of sequences": RNG.normal(size=(N, 2)).astype(np.float16),
    "as many values of sequences as steps": RNG.normal(size=(N, 1, T)),
    "values of steps": RNG.normal(size=(N, T, 2)).astype(">f8"),
    "one value of steps": RNG.normal(size=(N, T, 1)),
}
STEPS = [name for name in TARGETS if "of steps" in name]


def load(folder: Path, arrays: dict[str, Any], **settings: Any) -> xr.Dataset:
    """Load a file with `arrays`, which replace or complement the default inputs and the classes of sequences."""
    np.savez(folder / "data.npz", **{"inputs": INPUTS, "targets": TARGETS["classes of sequences"]} | arrays)
    return load_sequences(folder / "data.npz", **{"report": lambda line: None} | settings)


def stored_targets(dataset: xr.Dataset, part: str) -> np.ndarray:
    """Return the targets of one set as they are in the file."""
    name = "target" if "train_target" in dataset else "label"
    values = dataset[f"{part}_{name}"].values
    if "class" in dataset:
        return dataset["class"].values[values]
    return values * dataset["output_deviation"].values + dataset["output_mean"].values


@pytest.mark.parametrize("name", TARGETS)
def test_every_kind_of_target_is_stored_and_can_be_trained(name: str, tmp_path: Path) -> None:
    save_store(load(tmp_path, {"targets": TARGETS[name]}), tmp_path / "sequences.zarr.zip", {})
    dataset = open_store(tmp_path / "sequences.zarr.zip").load()
    index = np.concatenate([dataset["train_index"], dataset["validation_index"]])
    assert sorted(index) == list(range(N)) and len(dataset["validation_index"]) == 6
    for part in ("train", "validation"):
        rows = dataset[f"{part}_index"].values
        found = stored_targets(dataset, part)
        expected = TARGETS[name][rows].reshape(found.shape)
        if "class" in dataset:
            np.testing.assert_array_equal(found, expected)
        else:
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
        inputs = dataset[f"{part}_input"] * dataset["input_deviation"] + dataset["input_mean"]
        np.testing.assert_allclose(inputs, INPUTS[rows], rtol=1e-5)
    task = Task.from_dataset(dataset, "all" if name in STEPS else "last", torch.device("cpu"))
    assert task.classifies == ("value" not in name or name == "truth values")
    assert (task.input_size, task.last_only) == (F, name not in STEPS)
    assert task.output_size == (dataset.sizes["class"] if task.classifies else dataset.sizes["output"])
    inputs, targets = task.take(task.validation, torch.arange(2))
    outputs = torch.zeros(1, 2, *([T] if name in STEPS else []), task.output_size)
    assert torch.isfinite(task.losses(outputs, targets)).all()
    assert driving_sequences(dataset, 2).shape == (2, T, F)


def test_inputs_and_values_are_standardised_with_the_training_set_only(tmp_path: Path) -> None:
    targets = np.stack([TARGETS["a value of sequences"], np.full(N, 0.1)], 1)
    split = np.where(np.arange(N) < 20, "train", "validation")
    lines: list[str] = []
    dataset = load(tmp_path, {"targets": targets, "split": split}, report=lines.append)
    np.testing.assert_allclose(dataset["train_input"].mean(("train_sample", "time")), 0, atol=1e-5)
    np.testing.assert_allclose(dataset["train_input"].std(("train_sample", "time")), 1, atol=1e-5)
    np.testing.assert_allclose(dataset["input_mean"], INPUTS[:20].mean((0, 1)))
    np.testing.assert_allclose(dataset["train_label"].std("train_sample"), [1, 0], atol=1e-5)
    assert not dataset["train_label"].values[:, 1].any()
    assert "output 1: constant in the training part, and so set to 0 there" in lines
    raw = load(tmp_path, {"targets": targets}, standardise=False)
    np.testing.assert_array_equal(raw["train_input"], INPUTS[raw["train_index"]].astype(np.float32))
    assert "input_mean" not in raw and "output_mean" not in raw


def test_sets_follow_the_given_split(tmp_path: Path) -> None:
    split = np.array(["train"] * 20 + ["validation"] * 4 + ["test"] * 6)
    dataset = load(tmp_path, {"split": split})
    for part, rows in {"train": range(20), "validation": range(20, 24), "test": range(24, 30)}.items():
        assert sorted(dataset[f"{part}_index"].values) == list(rows)
    assert list(dataset["train_index"].values) != list(
        range(20)
    )  # Networks are driven by the first samples, which must not all have one class.
    without = load(tmp_path, {"split": np.where(split == "validation", "test", split)})
    assert "validation_input" not in without and without.sizes["test_sample"] == 10
    assert driving_sequences(without, 10).shape == (10, T, F)


def test_without_a_split_the_seed_decides_and_both_sets_have_every_class(tmp_path: Path) -> None:
    targets = np.sort(TARGETS["classes of sequences"])
    first, again, other = (load(tmp_path, {"targets": targets}, seed=seed) for seed in (1, 1, 2))
    xr.testing.assert_identical(first, again)
    assert set(first["validation_index"].values) != set(other["validation_index"].values)
    for part in ("train", "validation"):
        assert set(first[f"{part}_label"].values) == {0, 1, 2}
    assert load(tmp_path, {}, validation_share=0.001).sizes["validation_sample"] == 1
    assert load(tmp_path, {}, validation_share=0.999).sizes["train_sample"] == 1


def test_one_step_two_samples_and_integers_are_accepted(tmp_path: Path) -> None:
    arrays = {"inputs": np.arange(2).reshape(2, 1, 1), "targets": np.array([0.5, 2.5])}
    dataset = load(tmp_path, arrays)
    assert dataset["train_input"].shape == dataset["validation_input"].shape == (1, 1, 1)
    assert dataset["train_input"].dtype == np.float32


def test_named_dimensions_can_be_in_any_order(tmp_path: Path) -> None:
    values = {"classes of steps": ("time", "sample"), "values of steps": ("output", "time", "sample")}
    for name, dims in values.items():
        targets = TARGETS[name].transpose(range(TARGETS[name].ndim)[::-1])
        xr.Dataset(
            {"inputs": (("time", "feature", "sample"), INPUTS.transpose(1, 2, 0)), "targets": (dims, targets)}
        ).to_zarr(tmp_path / f"{name}.zarr")
        xr.testing.assert_identical(
            load_sequences(tmp_path / f"{name}.zarr"), load(tmp_path, {"targets": TARGETS[name]})
        )


def test_the_interpretation_of_the_file_is_reported(tmp_path: Path) -> None:
    lines: list[str] = []
    load(tmp_path, {"targets": np.arange(N) % 3 * 1.0, "weights": np.ones(3)}, report=lines.append)
    assert lines == [
        f"{tmp_path / 'data.npz'}: 30 sequences of 7 steps and 3 features",
        "targets: 1 real values of each sequence; mean squared error; all are whole numbers: if they are classes, "
        "store them as integers",
        "samples: 24 train, 6 validation",
        "not used: weights",
    ]
    load(tmp_path, {}, report=lines.append)
    assert lines[5] == "targets: the class of each sequence, 3 classes, -1, 5, 17; cross entropy"


def test_targets_of_steps_are_reported_as_such(tmp_path: Path) -> None:
    lines: list[str] = []
    for name in ("classes of steps", "values of steps"):
        load(tmp_path, {"targets": TARGETS[name]}, report=lines.append)
    assert [line for line in lines if line.startswith("targets")] == [
        "targets: the class at each step, 4 classes, 3, 4, 5, 6; cross entropy",
        "targets: 2 real values at each step; mean squared error",
    ]


def changed(values: np.ndarray, place: tuple[int, ...], value: float) -> np.ndarray:
    copy = values.astype(float)
    copy[place] = value
    return copy


ONE_HOT = np.eye(3)[np.arange(N) % 3]
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "two axes": (
        {"inputs": INPUTS[..., 0]},
        "inputs of * has the shape (30, 7); expected (sample, time, feature); of one",
    ),
    "four axes": ({"inputs": INPUTS[..., None]}, "has the shape (30, 7, 3, 1); expected (sample, time, feature)"),
    "no step": ({"inputs": INPUTS[:, :0]}, "has the shape (30, 0, 3); expected no size of 0"),
    "no sample": ({"inputs": INPUTS[:0], "targets": np.arange(0)}, "has the shape (0, 7, 3); expected no size of 0"),
    "one sample": (
        {"inputs": INPUTS[:1], "targets": np.ones(1)},
        "has 1 sample; expected at least 2, one for training",
    ),
    "text": ({"inputs": INPUTS.astype(str)}, "inputs of * is of the type <U32; expected real numbers"),
    "complex": ({"inputs": INPUTS * 1j}, "is of the type complex128; expected real numbers"),
    "NaN": (
        {"inputs": changed(INPUTS, (4, 3, 2), np.nan)},
        "inputs of * has 1 values that are not finite, the first, nan, at [4, 3, 2]; expected finite numbers",
    ),
    "infinite target": ({"targets": changed(np.arange(N), (3,), np.inf)}, "targets of * the first, inf, at [3];"),
    "too large": (
        {"inputs": np.repeat([[[1e39]], [[2.0]]], 15, 0)},
        "inputs of * has values beyond what float32 holds",
    ),
    "lengths": (
        {"targets": np.arange(29) % 2},
        "targets of * has the shape (29,); expected 30 samples, as inputs have",
    ),
    "scalar": ({"targets": np.array(1)}, "targets of * has the shape (); expected 30 samples"),
    "dates": (
        {"targets": np.zeros(N, "datetime64[s]")},
        "is of the type datetime64[s]; expected integers, text or real",
    ),
    "steps": (
        {"targets": np.ones((N, 6), int)},
        "(30, 6) and the type int64; classes are expected as (30,) of the seq",
    ),
    "steps of values": (
        {"targets": np.ones((N, 6, 2))},
        "as (30,) or (30, output) of the sequences, or as (30, 7, output)",
    ),
    "ambiguous": (
        {"targets": RNG.normal(size=(N, T))},
        "could be a value at each of 7 steps, or 7 values of the sequence; expected (30, 7, 1) or (30, 1, 7)",
    ),
    "one-hot": (
        {"targets": ONE_HOT},
        "targets of * are one-hot vectors; expected the index of the class, as an integer",
    ),
    "one-hot integers": ({"targets": ONE_HOT.astype(int)}, "are one-hot vectors"),
    "one-hot steps": ({"targets": np.eye(4)[RNG.integers(0, 4, (N, T))]}, "are one-hot vectors"),
    "one class": ({"targets": np.full(N, 4)}, "all are of the class 4; expected at least two classes"),
    "counts": (
        {"inputs": np.ones((300, 2, 1)), "targets": np.arange(300)},
        "has 300 different values in 300, too many for classes; real values are expected as floating-point numbers",
    ),
    "split of numbers": (
        {"split": np.zeros(N, int)},
        "split of * has the shape (30,) and the type int64; expected a name",
    ),
    "split too short": (
        {"split": np.array(["train"] * 29)},
        "split of * has the shape (29,) and the type <U5; expected a",
    ),
    "split misspelt": (
        {"split": np.array(["train"] * 29 + ["valid"])},
        "'valid'; expected a name for each sample, *: did",
    ),
    "nothing validates": (
        {"split": np.array(["train"] * N)},
        "has 30 train, 0 validation, 0 test samples; expected some",
    ),
    "nothing trains": ({"split": np.array(["test"] * N)}, "has 0 train, 0 validation, 30 test samples; expected some"),
    "class that is not trained": (
        {"split": np.where(TARGETS["classes of sequences"] == 5, "test", "train")},
        "test samples of targets of *: found the class 5, which none of train samples of targets of * has",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_each_unusable_file_gives_one_clear_error(name: str, tmp_path: Path) -> None:
    arrays, message = WRONG[name]
    settings = {"standardise": False} if name == "too large" else {}
    with pytest.raises(ValueError, match=re.escape(message).replace(r"\*", ".*")) as raised:
        load(tmp_path, arrays, **settings)
    assert str(tmp_path / "data.npz") in str(raised.value)


def test_a_rare_class_of_steps_may_be_in_only_one_set(tmp_path: Path) -> None:
    targets = np.zeros((N, T), int)
    targets[0] = 1
    dataset = load(tmp_path, {"targets": targets})
    assert dataset.sizes["class"] == 2
