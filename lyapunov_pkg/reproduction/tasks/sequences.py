"""The user's own sequences, from one `.npz` or Zarr file, with classes or real values as targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lyapunov_pkg.reproduction.tasks.classes import class_indices, shortened, stratified_order
from lyapunov_pkg.workflow.array_file import NamedArray, read_arrays
from lyapunov_pkg.workflow.settings import suggestion

PARTS = ("train", "validation", "test")
DIMENSIONS = ("sample", "time", "feature")
MANY_CLASSES = 100  # above this number, classes must have at least two labels on average


@dataclass(frozen=True)
class _Targets:
    """Targets, as stored in the file.

    Attributes:
        values: (sample,) or (sample, time) for classes; (sample, output) or (sample, time, output) for real values.
        are_classes: whether targets are classes; otherwise they are real values.
        by_step: whether each step has a target; otherwise each sequence has one.
    """

    values: NDArray
    are_classes: bool
    by_step: bool

    @property
    def name(self) -> str:
        return "target" if self.by_step else "label"

    @property
    def dims(self) -> tuple[str, ...]:
        """Return the names of the dimensions after the sample."""
        return (("time",) if self.by_step else ()) + (() if self.are_classes else ("output",))


@dataclass(frozen=True)
class _Scale:
    """Mean and standard deviation of each feature."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    def apply(self, values: NDArray) -> NDArray:
        return (values - self.mean) / self.deviation


def load_sequences(
    path: Path,
    standardise: bool = True,
    validation_share: float = 0.2,
    seed: int = 0,
    report: Callable[[str], None] = print,
) -> xr.Dataset:
    """Return sequences with targets, in a seeded random order, as a training and a validation part.

    The file has these arrays. A Zarr array whose dimensions are named sample, time and feature may have them in any
    order.

    - `inputs`: (sample, time, feature), numbers.
    - `targets`: integers, truth values or text are classes, (sample,) of the sequences or (sample, time) of each step.
      Floating-point numbers are real values, (sample,) or (sample, output) of the sequences, or (sample, time, output)
      of each step.
    - `split`, optional: (sample,), "train", "validation" or "test". If there are no validation samples, the test part
      is used for validation. Without `split`, the last samples of the random order are used. If sequences have classes,
      every class has its share.

    Args:
        path: a `.npz` file, or a Zarr group in a folder or a zip file.
        standardise: whether to scale each input feature, and each real-valued output, to mean 0 and standard deviation
            1 over all training samples and steps. Constant ones become 0.
        validation_share: share of the samples for validation, if the file has no split.
        seed: seed of the order, which determines the split.
        report: called with lines of text that describe the file.

    Returns:
        Dataset with these variables, for training and in the same way for other parts:

        * train_input (train_sample, time, feature), float32.
        * train_label (train_sample) or train_target (train_sample, time), indices into the coordinate class (class).
          For real values, train_label (train_sample, output) or train_target (train_sample, time, output), float32.
        * coordinate train_index (train_sample), the sample's row in the file.
        * coordinates input_mean, input_deviation (feature), output_mean and output_deviation (output) of standardised
          values.

        Attributes: seed, standardise.

    Raises:
        FileNotFoundError: `path` does not exist.
        ValueError: `read_arrays` refuses the file, or arrays differ from the description above. The message names the
            file, the array, what was found and what is expected.
    """
    arrays, others = read_arrays(Path(path), ("inputs", "targets"), ("split",))
    inputs = _inputs(arrays["inputs"])
    targets = _targets(arrays["targets"], *inputs.shape[:2])
    classes_of_sequences = targets.values if targets.are_classes and not targets.by_step else None
    parts = _parts(arrays, len(inputs), classes_of_sequences, validation_share, seed)
    variables: dict[str, xr.Variable] = {}
    if targets.are_classes:
        classes, indices = _classes(arrays["targets"].place, targets, parts, given="split" in arrays)
        targets = _Targets(indices, True, targets.by_step)
        variables["class"] = _variable(("class",), classes, "class in the file")
    scales = _scales(inputs, targets, parts["train"], report) if standardise else {}
    for name, scale in scales.items():
        dims = ("feature" if name == "input" else "output",)
        variables[f"{name}_mean"] = _variable(dims, scale.mean, f"mean of the {name} in the training part")
        variables[f"{name}_deviation"] = _variable(dims, scale.deviation, f"what the {name} was divided by")
    coordinates = [*variables, *(f"{part}_index" for part in parts)]
    for part, index in parts.items():
        part_inputs = _as_float32(arrays["inputs"].place, inputs[index], scales.get("input"))
        part_targets = targets.values[index]
        if not targets.are_classes:
            part_targets = _as_float32(arrays["targets"].place, part_targets, scales.get("output"))
        variables |= _part_variables(part, index, part_inputs, replace(targets, values=part_targets))
    _describe(path, inputs, targets, variables, parts, others, report)
    return xr.Dataset(variables, attrs={"seed": seed, "standardise": int(standardise)}).set_coords(coordinates)


def _scales(inputs: NDArray, targets: _Targets, train: NDArray, report: Callable[[str], None]) -> dict[str, _Scale]:
    """Return {"input": scale} over the training samples, and {"output": scale} as well for real-valued targets."""
    scales = {"input": _scale("feature", inputs[train], report)}
    if not targets.are_classes:
        scales["output"] = _scale("output", targets.values[train], report)
    return scales


def _part_variables(part: str, index: NDArray, inputs: NDArray, targets: _Targets) -> dict[str, xr.Variable]:
    """Return the variables of one part: its inputs, its targets, and the rows of its samples in the file."""
    sample = f"{part}_sample"
    kind = "index of the class" if targets.are_classes else "real value"
    of_what = "at the step" if targets.by_step else "of the sequence"
    return {
        f"{part}_input": _variable((sample, "time", "feature"), inputs, "input"),
        f"{part}_{targets.name}": _variable((sample, *targets.dims), targets.values, f"{kind} {of_what}"),
        f"{part}_index": _variable((sample,), index, "row of the sample in the file"),
    }


def _variable(dims: tuple[str, ...], values: NDArray, long_name: str) -> xr.Variable:
    return xr.Variable(dims, values, {"long_name": long_name, "units": "1"})


def _inputs(array: NamedArray) -> NDArray:
    """Return the inputs, (sample, time, feature).

    Raises:
        ValueError: the inputs do not have three dimensions, are empty, or are not finite numbers.
    """
    values = array.with_leading(*DIMENSIONS)
    if values.ndim != 3:
        hint = "; of one feature, it is inputs[:, :, None]" if values.ndim == 2 else ""
        raise ValueError(f"{array.place} has the shape {values.shape}; expected (sample, time, feature){hint}")
    if 0 in values.shape:
        raise ValueError(f"{array.place} has the shape {values.shape}; expected no size of 0")
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{array.place} is of the type {values.dtype}; expected real numbers")
    _check_finite(array.place, values)
    return values


def _check_finite(place: str, values: NDArray) -> None:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        wrong = np.argwhere(~np.isfinite(values))
        first = tuple(int(position) for position in wrong[0])
        raise ValueError(
            f"{place} has {len(wrong)} values that are not finite, the first, {values[first]}, at {list(first)}; "
            "expected finite numbers: missing values have to be filled, or their samples left out"
        )


def _targets(array: NamedArray, n_samples: int, n_steps: int) -> _Targets:
    """Return the targets. Their type shows whether they are classes, and their shape whether each step has one.

    Raises:
        ValueError: the type or the shape is not among those of `load_sequences`.
    """
    values = array.with_leading("sample", "time")
    if array.dims is not None and "time" not in array.dims:
        values = array.with_leading("sample")
    if values.dtype.kind not in "biufU":
        raise ValueError(f"{array.place} is of the type {values.dtype}; expected integers, text or real numbers")
    if values.ndim == 0 or len(values) != n_samples:
        raise ValueError(f"{array.place} has the shape {values.shape}; expected {n_samples} samples, as inputs have")
    if _is_one_hot(values, (n_samples, n_steps)):
        raise ValueError(f"{array.place} are one-hot vectors; expected the index of the class, as an integer")
    if values.dtype.kind != "f":
        return _class_targets(array.place, values, n_steps)
    _check_finite(array.place, values)
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim == 2 and values.shape[1] == n_steps > 1:
        raise ValueError(
            f"{array.place} has the shape {values.shape} and could be a value at each of {n_steps} steps, or {n_steps} "
            f"values of the sequence; expected {(n_samples, n_steps, 1)} or {(n_samples, 1, n_steps)}"
        )
    if values.ndim == 3 and values.shape[1] == 1 != n_steps:
        values = values[:, 0]
    by_step = values.ndim == 3 and values.shape[1] == n_steps
    if not (by_step or values.ndim == 2) or 0 in values.shape:
        raise ValueError(
            f"{array.place} has the shape {values.shape}; real values are expected as ({n_samples},) or ({n_samples}, "
            f"output) of the sequences, or as ({n_samples}, {n_steps}, output) of each step"
        )
    return _Targets(values, are_classes=False, by_step=by_step)


def _class_targets(place: str, values: NDArray, n_steps: int) -> _Targets:
    if values.ndim > 1 and values.shape[-1] == 1:
        values = values[..., 0]
    by_step = values.ndim == 2 and values.shape[1] == n_steps
    if values.ndim != 1 and not by_step:
        raise ValueError(
            f"{place} has the shape {values.shape} and the type {values.dtype}; classes are expected as "
            f"({len(values)},) of the sequences, or as ({len(values)}, {n_steps}) of each step, and real values as "
            "floating-point numbers"
        )
    n_classes = len(np.unique(values))
    if n_classes > MANY_CLASSES and 2 * n_classes > values.size:
        raise ValueError(
            f"{place} has {n_classes} different values in {values.size}, too many for classes; real values are "
            f"expected as floating-point numbers, found {values.dtype}"
        )
    return _Targets(values, are_classes=True, by_step=by_step)


def _is_one_hot(values: NDArray, sample_and_time: tuple[int, int]) -> bool:
    """Return whether the last axis of targets, after those of sample and time, has a single 1 among zeros."""
    if values.dtype.kind == "U" or values.ndim < 2 or values.shape[-1] < 2 or values.shape == sample_and_time:
        return False
    return bool(np.isin(values, (0, 1)).all() and (values.sum(-1) == 1).all())


def _parts(
    arrays: dict[str, NamedArray], n_samples: int, labels: NDArray | None, validation_share: float, seed: int
) -> dict[str, NDArray[np.int64]]:
    """Return the samples of each nonempty part, in a seeded random order, stratified by labels."""
    if n_samples < 2:
        place = arrays["inputs"].place
        raise ValueError(f"{place} has 1 sample; expected at least 2, one for training and one for validation")
    order = np.random.default_rng(seed).permutation(n_samples)
    if labels is not None:
        order = stratified_order(np.unique(labels, return_inverse=True)[1], seed)
    if "split" in arrays:
        split = _split(arrays["split"], n_samples)
        return {part: order[split[order] == part] for part in PARTS if (split == part).any()}
    n_validation = min(max(1, round(validation_share * n_samples)), n_samples - 1)
    return {"train": order[: n_samples - n_validation], "validation": order[n_samples - n_validation :]}


def _split(array: NamedArray, n_samples: int) -> NDArray:
    expected = "a name for each sample, train, validation or test"
    values = array.values
    if values.shape != (n_samples,) or values.dtype.kind != "U":
        raise ValueError(
            f"{array.place} has the shape {values.shape} and the type {values.dtype}; expected {expected}, of shape "
            f"({n_samples},)"
        )
    for name in sorted(set(values) - set(PARTS)):
        raise ValueError(f"{array.place} has {str(name)!r}; expected {expected}: {suggestion(str(name), PARTS)}")
    counts = {part: int((values == part).sum()) for part in PARTS}
    if not counts["train"] or not counts["validation"] + counts["test"]:
        found = ", ".join(f"{count} {part}" for part, count in counts.items())
        raise ValueError(f"{array.place} has {found} samples; expected some for training and some for validation")
    return values


def _classes(
    place: str, targets: _Targets, parts: dict[str, NDArray[np.int64]], given: bool
) -> tuple[NDArray, NDArray[np.int64]]:
    """Return the classes, and the targets as indices into them.

    Raises:
        ValueError: there is only one class, or the file's split has a class that is not in its training part.
    """
    split = parts if given else {"train": np.arange(len(targets.values))}
    labels = {f"{part} samples of {place}": targets.values[index] for part, index in split.items()}
    classes, _ = class_indices(labels)
    return classes, np.searchsorted(classes, targets.values)


def _scale(name: str, values: NDArray, report: Callable[[str], None]) -> _Scale:
    """Return mean and standard deviation over all axes but the last. The deviation of constant features is 1."""
    rows = values.reshape(-1, values.shape[-1])
    constant = rows.min(axis=0) == rows.max(axis=0)
    if constant.any():
        report(f"{name} {shortened(np.flatnonzero(constant))}: constant in the training part, and so set to 0 there")
    mean, deviation = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64)
    return _Scale(np.where(constant, rows[0], mean), np.where(constant, 1.0, deviation))


def _as_float32(place: str, values: NDArray, scale: _Scale | None) -> NDArray[np.float32]:
    """Return the values in float32, standardised if there is a scale.

    Raises:
        ValueError: values are too large for float32.
    """
    scaled = values if scale is None else scale.apply(values.astype(np.float64))
    with np.errstate(over="ignore"):
        cast = scaled.astype(np.float32)
    if not np.isfinite(cast).all():
        raise ValueError(f"{place} has values beyond what float32 holds, 3e38; expected smaller ones")
    return cast


def _describe(
    path: Path,
    inputs: NDArray,
    targets: _Targets,
    variables: dict[str, xr.Variable],
    parts: dict[str, NDArray[np.int64]],
    others: Sequence[str],
    report: Callable[[str], None],
) -> None:
    """Report how the file was interpreted."""
    n_samples, n_steps, n_features = inputs.shape
    report(f"{path}: {n_samples} sequences of {n_steps} steps and {n_features} features")
    place = "at each step" if targets.by_step else "of each sequence"
    if targets.are_classes:
        classes = variables["class"].values
        report(f"targets: the class {place}, {len(classes)} classes, {shortened(classes)}; cross entropy")
    else:
        whole = (targets.values == np.round(targets.values)).all()
        hint = "; all are whole numbers: if they are classes, store them as integers" if whole else ""
        report(f"targets: {targets.values.shape[-1]} real values {place}; mean squared error{hint}")
    report("samples: " + ", ".join(f"{len(index)} {part}" for part, index in parts.items()))
    if others:
        report(f"not used: {', '.join(others)}")
