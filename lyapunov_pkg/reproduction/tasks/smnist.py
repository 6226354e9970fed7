"""Sequential MNIST: a network reads an image row by row, one row per time step, and classifies its digit at the end.

Task of the dissertation's chapter 3, "Sequential MNIST Classification with Different Network Types". The images are
MNIST, `digits` or `idx`. `digits` are the 8 x 8 digits of scikit-learn, for runs of minutes without a download. `idx`
are any images and classes in files of MNIST's format.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr
from sklearn.datasets import load_digits

from lyapunov_pkg.reproduction.tasks.classes import class_indices, stratified_order
from lyapunov_pkg.reproduction.tasks.content import read_content
from lyapunov_pkg.reproduction.tasks.download import fetch
from lyapunov_pkg.reproduction.tasks.idx import parse_idx
from lyapunov_pkg.reproduction.tasks.idx_files import MNIST_FILES, idx_files, missing_idx_files

SOURCES = ("digits", "mnist", "idx")
N_CLASSES = 10
DIGITS_N_TRAIN = 1437  # 80 % of 1,797
DIGITS_WHITE = 16  # largest pixel value
MNIST_WHITE = 255
MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "https://storage.googleapis.com/cvdf-datasets/mnist",
)


@dataclass(frozen=True)
class _Part:
    """Images (n, rows, columns) and labels (n,) of the source, with each sample's row in the source."""

    images: np.ndarray
    labels: np.ndarray
    index: np.ndarray

    def take(self, order: np.ndarray) -> _Part:
        return _Part(self.images[order], self.labels[order], self.index[order])


def load_smnist(
    source: str,
    directory: Path | None = None,
    mirrors: Sequence[str] = MNIST_MIRRORS,
    n_train: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
    download_directory: Path | None = None,
    progress: Callable[[str], None] = print,
) -> xr.Dataset:
    """Return the training and test part of a source of images, with rows as time steps.

    Each part has a seeded stratified order: for every n, the first n samples are a stratified subset. A smaller
    `n_train` or `n_test` therefore gives the first samples of a larger one.

    Args:
        source: "digits" (8 steps of 8; 1,437 training and 360 test images, split by the seed) or "mnist" (28 steps of
            28; 60,000 and 10,000 images), or "idx" (your own files, with images of any size and any classes).
        directory: folder of four IDX files with MNIST's names, plain or gzip. The sha256 of MNIST's own files is
            verified. None: the files are downloaded.
        mirrors: addresses of folders from which MNIST's gzip files are downloaded, tried in order.
        n_train: number of training images; None takes all.
        n_test: number of test images; None takes all.
        seed: seed of the order, which determines the subsets and the split of "digits".
        download_directory: folder for downloaded files; needed if MNIST is downloaded.
        progress: called with lines of text during a download.

    Returns:
        Dataset with these variables, for training and in the same way for test:

        * train_input (train_sample, time, feature), float32, from black 0 to white 1 (for "idx" the brightest training
          pixel).
        * train_label (train_sample), int64. For "idx", labels are indices into the coordinate class (class), the labels
          in the file.
        * coordinate train_index (train_sample), the sample's row in the source.

        Attributes: source, seed and sha256s (of the source's uncompressed content).

    Raises:
        ValueError: the source is unknown, a count is out of range, a file is damaged, swapped or altered, images have
            two sizes, or a class has no training image.
        FileNotFoundError: the directory, or some of its files, are missing.
        DownloadError: a file could not be downloaded from any mirror.
    """
    if source not in SOURCES:
        raise ValueError(f"unknown source {source!r} of smnist; expected one of {', '.join(SOURCES)}")
    if source == "digits":
        train, test, sha256s = _digits(seed)
        white, labelled = DIGITS_WHITE, "digit in the image"
    elif source == "mnist":
        paths = _mnist_paths(directory, mirrors, download_directory, progress)
        train, test, sha256s = _read_mnist(paths)
        white, labelled = MNIST_WHITE, "digit in the image"
    else:
        if directory is None:
            raise ValueError("smnist source 'idx' has no directory; expected a folder with four IDX files")
        train, test, classes, sha256s = _read_own(_find_files(Path(directory)))
        white, labelled = int(train.images.max()), "class of the image"
    dataset = xr.Dataset(
        _variables("train", _subset("n_train", train, n_train, seed), white, labelled)
        | _variables("test", _subset("n_test", test, n_test, seed), white, labelled),
        attrs={"source": source, "seed": seed, "sha256s": sha256s},
    )
    if source == "idx":
        dataset = dataset.assign_coords({"class": ("class", classes, {"long_name": "label in the file", "units": "1"})})
    return dataset.set_coords(["train_index", "test_index"])


def permuted_pixels(dataset: xr.Dataset, seed: int) -> xr.Dataset:
    """Return the images pixel by pixel, in the same random order for all (Le et al. 2015; dissertation, chapter 4).

    Args:
        dataset: the result of `load_smnist`.
        seed: seed of the order.

    Returns:
        The dataset with `train_input` and `test_input` (sample, time, 1), one pixel per step, and `pixel(time)`, the
        row-major index in the image of the pixel at each step; attribute `image_shape` (rows, columns).
    """
    shape = dataset.sizes["time"], dataset.sizes["feature"]
    order = np.random.default_rng(seed).permutation(shape[0] * shape[1])
    permuted = dataset.drop_dims("feature")
    for part in ("train", "test"):
        images = dataset[f"{part}_input"]
        pixels = images.values.reshape(len(images), -1, 1)[:, order]
        permuted[f"{part}_input"] = ((f"{part}_sample", "time", "feature"), pixels, images.attrs)
    attributes = {"long_name": "row-major index in the image of the pixel that a step takes in", "units": "1"}
    permuted["pixel"] = ("time", order, attributes)
    return permuted.assign_attrs(image_shape=list(shape), permutation_seed=seed)


def _subset(argument: str, part: _Part, count: int | None, seed: int) -> _Part:
    available = len(part.labels)
    if count is not None and not 1 <= count <= available:
        raise ValueError(f"{argument} is {count}; expected 1 to {available}, the number available, or None for all")
    return part.take(stratified_order(part.labels, seed)[:count])


def _variables(name: str, part: _Part, white: int, labelled: str) -> dict[str, xr.Variable]:
    sample = f"{name}_sample"
    images = np.divide(part.images, np.float32(white), dtype=np.float32)

    def variable(dims: tuple[str, ...], values: np.ndarray, long_name: str) -> xr.Variable:
        return xr.Variable(dims, values, {"long_name": long_name, "units": "1"})

    return {
        f"{name}_input": variable((sample, "time", "feature"), images, "pixel brightness, black 0 to white 1"),
        f"{name}_label": variable((sample,), part.labels.astype(np.int64), labelled),
        f"{name}_index": variable((sample,), part.index, "row of the sample in the source"),
    }


def _digits(seed: int) -> tuple[_Part, _Part, dict[str, str]]:
    digits = load_digits()
    everything = _Part(digits.images, digits.target, np.arange(len(digits.target)))
    sha256s = {
        "images": hashlib.sha256(digits.images.astype(np.uint8).tobytes()).hexdigest(),
        "labels": hashlib.sha256(digits.target.astype(np.uint8).tobytes()).hexdigest(),
    }
    order = stratified_order(digits.target, seed)
    return everything.take(order[:DIGITS_N_TRAIN]), everything.take(order[DIGITS_N_TRAIN:]), sha256s


def _mnist_paths(
    directory: Path | None,
    mirrors: Sequence[str],
    download_directory: Path | None,
    progress: Callable[[str], None],
) -> dict[str, Path]:
    if directory is not None:
        return _find_files(Path(directory))
    if download_directory is None:
        raise ValueError("smnist source 'mnist' has neither directory nor download_directory; expected one of them")
    return {
        part: fetch(
            f"{file.name}.gz", mirrors, file.sha256, Path(download_directory), size=file.size, progress=progress
        )
        for part, file in MNIST_FILES.items()
    }


def _find_files(directory: Path) -> dict[str, Path]:
    missing = missing_idx_files(directory)
    if missing:
        raise FileNotFoundError(missing)
    return idx_files(directory)


def _read_mnist(paths: dict[str, Path]) -> tuple[_Part, _Part, dict[str, str]]:
    arrays, sha256s = _read_files(paths, {part: file.item_shape for part, file in MNIST_FILES.items()})
    _check_sha256s(paths, sha256s)
    train, test = (_part(name, paths, arrays) for name in ("train", "test"))
    for name, part in (("train", train), ("test", test)):
        if part.labels.max() >= N_CLASSES:
            path = paths[f"{name}_labels"]
            raise ValueError(f"{path} has the label {part.labels.max()}; expected 0 to {N_CLASSES - 1}")
    return train, test, sha256s


def _read_own(paths: dict[str, Path]) -> tuple[_Part, _Part, np.ndarray, dict[str, str]]:
    """Return images of one size, with labels as indices into the classes, which are also returned."""
    shapes: dict[str, tuple[int | None, ...]]
    shapes = {part: (None,) * len(file.item_shape) for part, file in MNIST_FILES.items()}
    arrays, sha256s = _read_files(paths, shapes)
    sizes = {name: arrays[f"{name}_images"].shape[1:] for name in ("train", "test")}
    if sizes["train"] != sizes["test"]:
        raise ValueError(
            f"{paths['test_images']} has images of {sizes['test']}, but {paths['train_images']} has {sizes['train']} "
            "(rows, columns); expected one size"
        )
    if not arrays["train_images"].any():
        raise ValueError(f"{paths['train_images']}: all pixels are 0; expected images that differ")
    train, test = (_part(name, paths, arrays) for name in ("train", "test"))
    of_file = {str(paths[f"{name}_labels"]): part.labels for name, part in (("train", train), ("test", test))}
    classes, indices = class_indices(of_file)
    train, test = (replace(part, labels=labels) for part, labels in zip((train, test), indices.values(), strict=True))
    return train, test, classes.astype(np.int64), sha256s


def _read_files(
    paths: dict[str, Path], item_shapes: Mapping[str, tuple[int | None, ...]]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the array and the sha256 of each file."""
    arrays, sha256s = {}, {}
    for part, path in paths.items():
        content = read_content(path)
        arrays[part] = parse_idx(content, path, item_shapes[part])
        sha256s[part] = hashlib.sha256(content).hexdigest()
    return arrays, sha256s


def _check_sha256s(paths: dict[str, Path], sha256s: dict[str, str]) -> None:
    names = {file.sha256: file.name for file in MNIST_FILES.values()}
    problems = [
        f"{paths[part]}: found sha256 {found}"
        + (f", the content of {names[found]}: are files swapped?" if found in names else "")
        + f", expected {MNIST_FILES[part].sha256}"
        for part, found in sha256s.items()
        if found != MNIST_FILES[part].sha256
    ]
    if problems:
        raise ValueError("MNIST files are altered or swapped (uncompressed content):\n  " + "\n  ".join(problems))


def _part(name: str, paths: Mapping[str, Path], arrays: Mapping[str, np.ndarray]) -> _Part:
    """Return the images of a part with their labels.

    Raises:
        ValueError: the numbers of images and labels differ.
    """
    images, labels = arrays[f"{name}_images"], arrays[f"{name}_labels"]
    if len(images) != len(labels):
        raise ValueError(
            f"{paths[f'{name}_images']} has {len(images)} images, but {paths[f'{name}_labels']} has {len(labels)} "
            "labels; expected as many: are training and test files swapped?"
        )
    return _Part(images, labels, np.arange(len(labels)))
