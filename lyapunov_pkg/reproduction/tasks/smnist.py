"""Sequential MNIST: an image is read row by row, one row per time step, and its digit is named at the end.

Task of the dissertation's chapter 3, "Sequential MNIST Classification with Different Network Types". Besides MNIST
there is `digits`, the 8 x 8 digits embedded in scikit-learn, for runs of minutes with nothing to download.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from sklearn.datasets import load_digits

from lyapunov_pkg.reproduction.tasks.content import read_content
from lyapunov_pkg.reproduction.tasks.download import fetch
from lyapunov_pkg.reproduction.tasks.idx import parse_idx

SOURCES = ("digits", "mnist")
N_CLASSES = 10
DIGITS_N_TRAIN = 1437  # 80 % of 1,797
DIGITS_WHITE = 16  # largest pixel value
MNIST_WHITE = 255
MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "https://storage.googleapis.com/cvdf-datasets/mnist",
)


@dataclass(frozen=True)
class MnistFile:
    """One of MNIST's four files: name without .gz, shape of one item, sha256 and size of the uncompressed content."""

    name: str
    item_shape: tuple[int, ...]
    sha256: str
    size: int  # bytes

    @property
    def spellings(self) -> tuple[str, ...]:
        """The names under which copies of the file go about, plain ones first."""
        names = (self.name, self.name.replace("-idx", ".idx"))
        return names + tuple(f"{name}.gz" for name in names)


MNIST_FILES = {
    "train_images": MnistFile(
        "train-images-idx3-ubyte",
        (28, 28),
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        47_040_016,
    ),
    "train_labels": MnistFile(
        "train-labels-idx1-ubyte", (), "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5", 60_008
    ),
    "test_images": MnistFile(
        "t10k-images-idx3-ubyte",
        (28, 28),
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        7_840_016,
    ),
    "test_labels": MnistFile(
        "t10k-labels-idx1-ubyte", (), "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2", 10_008
    ),
}


@dataclass(frozen=True)
class _Part:
    """Images (n, rows, columns) and labels (n,), as the source has them, with each sample's row in the source."""

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
    """Load the training and test part of a source of digit images, rows as time steps.

    Each part is put into a seeded stratified order: the first n samples are, for every n, a stratified subset. A
    smaller `n_train` or `n_test` thus takes a leading piece of what a larger one takes.

    Args:
        source: "digits" (8 steps of 8; 1,437 training and 360 test images, split by the seed) or "mnist" (28 steps of
            28; 60,000 and 10,000 images).
        directory: MNIST's four IDX files, plain or gzip, whose sha256 is verified. None: download them.
        mirrors: addresses of folders from which MNIST's gzip files are downloaded, tried in order.
        n_train: number of training images; None takes all.
        n_test: number of test images; None takes all.
        seed: of the order, and with it of the subsets and of the split of "digits".
        download_directory: where downloaded files are kept; needed if MNIST is downloaded.
        progress: called with one line of text at a time during a download.

    Returns:
        Dataset with train_input (train_sample, time, feature), float32 in [0, 1]; train_label (train_sample), int64;
        coordinate train_index (train_sample): the sample's row in the source; the same for test. Attributes: source,
        seed and sha256s (of the source's uncompressed content).

    Raises:
        ValueError: unknown source, a count out of range, a damaged, swapped or altered file.
        FileNotFoundError: the directory, or some of its files, are missing.
        DownloadError: a file could not be downloaded from any mirror.
    """
    if source not in SOURCES:
        raise ValueError(f"unknown source {source!r} of smnist; expected one of {', '.join(SOURCES)}")
    if source == "digits":
        train, test, sha256s = _digits(seed)
        white = DIGITS_WHITE
    else:
        paths = _mnist_paths(directory, mirrors, download_directory, progress)
        train, test, sha256s = _read_mnist(paths)
        white = MNIST_WHITE
    dataset = xr.Dataset(
        _variables("train", _subset("n_train", train, n_train, seed), white)
        | _variables("test", _subset("n_test", test, n_test, seed), white),
        attrs={"source": source, "seed": seed, "sha256s": sha256s},
    )
    return dataset.set_coords(["train_index", "test_index"])


def permuted_pixels(dataset: xr.Dataset, seed: int) -> xr.Dataset:
    """Return the same images pixel by pixel, in one random order for all (Le et al. 2015; dissertation, chapter 4).

    Args:
        dataset: what `load_smnist` returned.
        seed: of the order.

    Returns:
        The dataset with `train_input` and `test_input` (sample, time, 1), one pixel a step, and `pixel(time)`, the
        row-major index in the image of the pixel that a step takes in; attribute `image_shape` (rows, columns).
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


def stratified_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """Return a seeded random order of the samples in which the first n are, for every n, a stratified subset.

    A sample's place is its random rank within its class, as a fraction of the class; so every class has in the first n
    samples its share of n, to within one.

    Args:
        labels: class of each sample, shape (n,), integer.
        seed: of the ranks.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        of_class = labels[order] == label
        place[of_class] = (np.arange(of_class.sum()) + 0.5) / of_class.sum()
    return order[np.argsort(place, kind="stable")]


def _subset(argument: str, part: _Part, count: int | None, seed: int) -> _Part:
    available = len(part.labels)
    if count is not None and not 1 <= count <= available:
        raise ValueError(f"{argument} is {count}; expected 1 to {available}, the number available, or None for all")
    return part.take(stratified_order(part.labels, seed)[:count])


def _variables(name: str, part: _Part, white: int) -> dict[str, xr.Variable]:
    sample = f"{name}_sample"
    images = np.divide(part.images, np.float32(white), dtype=np.float32)

    def variable(dims: tuple[str, ...], values: np.ndarray, long_name: str) -> xr.Variable:
        return xr.Variable(dims, values, {"long_name": long_name, "units": "1"})

    return {
        f"{name}_input": variable((sample, "time", "feature"), images, "pixel brightness, black 0 to white 1"),
        f"{name}_label": variable((sample,), part.labels.astype(np.int64), "digit in the image"),
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
    if not directory.is_dir():
        raise FileNotFoundError(
            f"MNIST directory {directory} is missing; expected a folder with "
            + ", ".join(file.name for file in MNIST_FILES.values())
            + " (plain or .gz)"
        )
    found = {}
    for part, file in MNIST_FILES.items():
        present = [directory / name for name in file.spellings if (directory / name).is_file()]
        if present:
            found[part] = present[0]
    missing = [" or ".join(file.spellings) for part, file in MNIST_FILES.items() if part not in found]
    if missing:
        raise FileNotFoundError(
            f"MNIST directory {directory} lacks {len(missing)} of {len(MNIST_FILES)} files; expected also "
            + "; ".join(missing)
        )
    return found


def _read_mnist(paths: dict[str, Path]) -> tuple[_Part, _Part, dict[str, str]]:
    arrays, sha256s = {}, {}
    for part, path in paths.items():
        content = read_content(path)
        arrays[part] = parse_idx(content, path, MNIST_FILES[part].item_shape)
        sha256s[part] = hashlib.sha256(content).hexdigest()
    _check_sha256s(paths, sha256s)
    parts = []
    for part in ("train", "test"):
        images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
        _check_labels(paths[f"{part}_images"], images, paths[f"{part}_labels"], labels)
        parts.append(_Part(images, labels, np.arange(len(labels))))
    return parts[0], parts[1], sha256s


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


def _check_labels(images_path: Path, images: np.ndarray, labels_path: Path, labels: np.ndarray) -> None:
    if len(images) != len(labels):
        raise ValueError(
            f"{images_path} has {len(images)} images, but {labels_path} has {len(labels)} labels; expected as many: "
            "are training and test files swapped?"
        )
    if labels.max() >= N_CLASSES:
        raise ValueError(f"{labels_path} has the label {labels.max()}; expected 0 to {N_CLASSES - 1}")
