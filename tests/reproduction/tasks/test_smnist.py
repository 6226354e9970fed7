from __future__ import annotations

import gzip
import shutil

import numpy as np
import pytest
import torch
import xarray as xr
from sklearn.datasets import load_digits

from lyapunov_pkg.reproduction.tasks import smnist
from lyapunov_pkg.reproduction.tasks.classes import stratified_order
from lyapunov_pkg.reproduction.tasks.smnist import MNIST_FILES, load_smnist, permuted_pixels
from lyapunov_pkg.reproduction.tasks.supervised import Task

N_TRAIN, N_TEST = 60, 30


@pytest.fixture
def small_mnist(tmp_path, to_idx):
    """Return a folder that has the format of MNIST, with 60 and 30 random images."""
    rng = np.random.default_rng(3)
    folder = tmp_path / "mnist"
    folder.mkdir()
    for part, count in {"train": N_TRAIN, "test": N_TEST}.items():
        arrays = {"images": rng.integers(0, 256, (count, 28, 28)), "labels": np.arange(count) % 10}
        for kind, array in arrays.items():
            (folder / MNIST_FILES[f"{part}_{kind}"].name).write_bytes(to_idx(array))
    return folder


def load_small(folder, **settings):
    """Load a folder whose content differs from MNIST."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(smnist, "_check_sha256s", lambda paths, sha256s: None)
        return load_smnist("mnist", folder, **settings)


def test_digits_shapes_values_and_units():
    dataset = load_smnist("digits")
    assert dataset.train_input.dims == ("train_sample", "time", "feature")
    assert dataset.train_input.shape == (1437, 8, 8)
    assert dataset.test_input.shape == (360, 8, 8)
    assert dataset.train_input.dtype == np.float32
    assert dataset.train_label.dtype == np.int64
    assert dataset.train_input.min() == 0 and dataset.train_input.max() == 1
    for variable in dataset.variables.values():
        assert variable.attrs["units"] == "1" and variable.attrs["long_name"]
    assert dataset.attrs["source"] == "digits" and set(dataset.attrs["sha256s"]) == {"images", "labels"}


def test_digits_contain_each_image_of_scikit_learn_once():
    digits = load_digits()
    dataset = load_smnist("digits", seed=4)
    for part in ("train", "test"):
        index = dataset[f"{part}_index"].values
        np.testing.assert_array_equal(dataset[f"{part}_input"].values * 16, digits.images[index])
        np.testing.assert_array_equal(dataset[f"{part}_label"].values, digits.target[index])
    both = np.concatenate([dataset.train_index, dataset.test_index])
    np.testing.assert_array_equal(np.sort(both), np.arange(1797))


def test_digits_depend_on_the_seed_alone():
    xr.testing.assert_identical(load_smnist("digits", seed=1), load_smnist("digits", seed=1))
    assert set(load_smnist("digits", seed=1).test_index.values) != set(load_smnist("digits", seed=2).test_index.values)


def test_digits_are_stratified():
    dataset = load_smnist("digits", n_train=200)
    shares = np.bincount(load_digits().target) / 1797
    for labels in (dataset.train_label, dataset.test_label):
        assert np.abs(np.bincount(labels) - shares * len(labels)).max() <= 2


def test_smaller_counts_are_the_beginning_of_larger_ones():
    every, few = load_smnist("digits", seed=5), load_smnist("digits", seed=5, n_train=100, n_test=1)
    xr.testing.assert_equal(every.isel(train_sample=slice(100), test_sample=slice(1)), few)


@pytest.mark.parametrize("counts", [[5, 50, 500], [100] * 10, [3]])
def test_the_stratified_order_keeps_class_frequencies(counts):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    order = stratified_order(labels, seed=7)
    np.testing.assert_array_equal(np.sort(order), np.arange(len(labels)))
    taken = np.cumsum(labels[order][:, None] == np.arange(len(counts)), axis=0)
    shares = np.arange(1, len(labels) + 1)[:, None] * np.array(counts) / len(labels)
    assert np.abs(taken - shares).max() <= 1


@pytest.mark.parametrize("argument", ["n_train", "n_test"])
@pytest.mark.parametrize("count", [-1, 0, 1438])
def test_counts_out_of_range_are_refused(argument, count):
    with pytest.raises(ValueError, match=rf"{argument} is {count}; expected 1 to (1437|360)"):
        load_smnist("digits", **{argument: count})


def test_an_unknown_source_is_refused():
    with pytest.raises(ValueError, match="unknown source 'fashion' of smnist; expected one of digits, mnist, idx"):
        load_smnist("fashion")


@pytest.mark.parametrize("separator", ["-idx", ".idx"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_all_usual_names_of_the_mnist_files_are_found(small_mnist, separator, packed):
    expected = load_small(small_mnist)
    for path in list(small_mnist.iterdir()):
        content = path.read_bytes()
        path.unlink()
        name = path.name.replace("-idx", separator) + (".gz" if packed else "")
        (small_mnist / name).write_bytes(gzip.compress(content) if packed else content)
    dataset = load_small(small_mnist)
    xr.testing.assert_identical(dataset, expected)
    assert dataset.train_input.shape == (N_TRAIN, 28, 28) and dataset.test_input.shape == (N_TEST, 28, 28)


def test_missing_directory(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"directory .*nowhere of smnist is missing; expected a folder with train-im"
    ):
        load_smnist("mnist", tmp_path / "nowhere")


def test_the_error_names_all_missing_files(small_mnist):
    (small_mnist / MNIST_FILES["train_labels"].name).unlink()
    (small_mnist / MNIST_FILES["test_images"].name).rename(small_mnist / "t10k-images-idx3-ubyte.zip")
    with pytest.raises(FileNotFoundError, match=r"lacks 2 of 4 files.*train-labels.*\.gz; t10k-images") as raised:
        load_small(small_mnist)
    assert "train-images" not in str(raised.value)


def test_the_error_names_all_altered_files(small_mnist):
    with pytest.raises(ValueError, match="altered or swapped") as raised:
        load_smnist("mnist", small_mnist)
    for file in MNIST_FILES.values():
        assert str(small_mnist / file.name) in str(raised.value) and file.sha256 in str(raised.value)


def swap(folder, one, other):
    one, other = (folder / MNIST_FILES[part].name for part in (one, other))
    one_content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(one_content)


def test_swapped_training_and_test_images_are_refused(small_mnist):
    swap(small_mnist, "train_images", "test_images")
    with pytest.raises(ValueError, match=r"train-images.* has 30 images, but .*train-labels.* has 60 labels.*swapped"):
        load_small(small_mnist)


def test_swapped_images_and_labels_are_refused(small_mnist):
    swap(small_mnist, "train_images", "train_labels")
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte has the wrong magic number.*labels.*swapped"):
        load_small(small_mnist)


def test_a_label_above_nine_is_refused(small_mnist, to_idx):
    (small_mnist / MNIST_FILES["test_labels"].name).write_bytes(to_idx(np.arange(N_TEST)))
    with pytest.raises(ValueError, match=r"t10k-labels.* has the label 29; expected 0 to 9"):
        load_small(small_mnist)


def test_mnist_without_a_folder_is_refused():
    with pytest.raises(ValueError, match="neither directory nor download_directory"):
        load_smnist("mnist")


def test_downloaded_mnist_is_read_from_the_folder_of_the_download(small_mnist, tmp_path, monkeypatch):
    """The test checks the download's arguments and that checksums stay on. The download has tests of its own."""
    asked = {}

    def fake_fetch(name, mirrors, sha256, directory, *, size, progress):
        asked[name] = (mirrors, sha256)
        path = tmp_path / name
        path.write_bytes(gzip.compress((small_mnist / name.removesuffix(".gz")).read_bytes()))
        return path

    monkeypatch.setattr(smnist, "fetch", fake_fetch)
    with pytest.raises(ValueError, match="altered"):
        load_smnist("mnist", mirrors=["http://a"], download_directory=tmp_path)
    assert asked == {f"{file.name}.gz": (["http://a"], file.sha256) for file in MNIST_FILES.values()}


@pytest.mark.real_data
def test_real_mnist(real_data):
    dataset = load_smnist("mnist", real_data / "mnist", n_train=1000)
    assert dataset.train_input.shape == (1000, 28, 28) and dataset.test_input.shape == (10_000, 28, 28)
    assert dataset.train_input.dtype == np.float32
    assert dataset.test_input.min() == 0 and dataset.test_input.max() == 1
    in_order = dataset.test_label.values[np.argsort(dataset.test_index.values)]
    # The beginning of the test set is well known.
    np.testing.assert_array_equal(in_order[:10], [7, 2, 1, 0, 4, 1, 4, 9, 5, 9])
    assert dataset.attrs["sha256s"] == {part: file.sha256 for part, file in MNIST_FILES.items()}


@pytest.mark.real_data
def test_real_mnist_with_swapped_training_and_test_set_is_refused(real_data, tmp_path):
    renamed = {"train": "t10k", "t10k": "train"}
    for path in (real_data / "mnist").glob("*ubyte*"):
        part, rest = path.name.split("-", 1)
        shutil.copyfile(path, tmp_path / f"{renamed[part]}-{rest}")
    with pytest.raises(ValueError, match="the content of t10k-images-idx3-ubyte: are files swapped") as raised:
        load_smnist("mnist", tmp_path)
    assert len(str(raised.value).splitlines()) == 5


def test_permuted_pixels_are_the_same_images_in_one_common_order():
    rows = load_smnist("digits", n_train=20, n_test=10, seed=1)
    pixels = permuted_pixels(rows, seed=4)
    assert pixels["train_input"].shape == (20, 64, 1)
    assert tuple(pixels.attrs["image_shape"]) == (8, 8)
    for part in ("train", "test"):
        images = np.empty((len(rows[f"{part}_input"]), 64), np.float32)
        images[:, pixels["pixel"].values] = pixels[f"{part}_input"].values[..., 0]
        np.testing.assert_array_equal(images.reshape(-1, 8, 8), rows[f"{part}_input"].values)
        assert pixels[f"{part}_label"].identical(rows[f"{part}_label"])
    assert not np.array_equal(pixels["pixel"], np.arange(64))
    assert pixels["pixel"].identical(permuted_pixels(load_smnist("digits", seed=2), seed=4)["pixel"])
    assert not pixels["pixel"].equals(permuted_pixels(rows, seed=5)["pixel"])


OWN_LABELS = np.array([3, 7, 40, 41, 42, 43, 255])  # The labels do not start at 0 and are not contiguous.


@pytest.fixture
def own_images(tmp_path, to_idx):
    """Return a folder of 40 x 30 images with seven classes and 16 grey levels: 35 for training and 14 for testing."""
    rng = np.random.default_rng(4)
    folder = tmp_path / "own"
    folder.mkdir()
    for part, count in {"train": 35, "test": 14}.items():
        write_part(folder, to_idx, part, rng.integers(0, 16, (count, 40, 30)), OWN_LABELS[np.arange(count) % 7])
    return folder


def write_part(folder, to_idx, part, images=None, labels=None):
    for kind, array in {"images": images, "labels": labels}.items():
        if array is not None:
            (folder / MNIST_FILES[f"{part}_{kind}"].name).write_bytes(to_idx(array))


def test_images_of_any_size_and_classes(own_images):
    dataset = load_smnist("idx", own_images)
    assert dataset["train_input"].shape == (35, 40, 30) and dataset["test_input"].shape == (14, 40, 30)
    assert dataset["train_input"].max() == 1  # This is the brightest of the 16 grey levels.
    np.testing.assert_array_equal(dataset["class"], OWN_LABELS)
    for part in ("train", "test"):
        found = dataset["class"].values[dataset[f"{part}_label"].values]
        np.testing.assert_array_equal(found, OWN_LABELS[dataset[f"{part}_index"].values % 7])
    task = Task.from_dataset(dataset, "last", torch.device("cpu"))
    assert (task.input_size, task.output_size) == (30, 7)
    few = load_smnist("idx", own_images, n_train=3)  # Some classes have no image in this selection.
    assert Task.from_dataset(few, "last", torch.device("cpu")).output_size == 7
    assert permuted_pixels(dataset, seed=1)["train_input"].shape == (35, 1200, 1)


@pytest.mark.parametrize(
    ("part", "images", "labels", "message"),
    [
        ("test", np.ones((14, 40, 31)), None, r"images of \(40, 31\), but .*train-images\S* has \(40, 30\) .*one size"),
        (
            "test",
            None,
            np.full(14, 8),
            r"t10k-labels\S*: found the class 8, which none of \S*train-labels.* has; .* 3, 7",
        ),
        ("train", None, np.full(35, 3), r"train-labels\S*: all are of the class 3; expected at least two"),
        ("train", None, np.arange(34), r"has 35 images, but \S* has 34 labels"),
        ("train", np.zeros((35, 40, 30)), None, r"train-images\S*: all pixels are 0; expected images that differ"),
        ("train", np.ones((35, 40, 30, 3)), None, r"train-images\S* has the wrong magic number: found 0x00000804"),
    ],
)
def test_unusable_user_images_are_refused(own_images, to_idx, part, images, labels, message):
    write_part(own_images, to_idx, part, images, labels)
    with pytest.raises(ValueError, match=message):
        load_smnist("idx", own_images)


def test_missing_user_images_are_refused(own_images):
    with pytest.raises(ValueError, match="source 'idx' has no directory; expected a folder with four IDX files"):
        load_smnist("idx")
    (own_images / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="own of smnist lacks 1 of 4 files; expected also train-labels"):
        load_smnist("idx", own_images)
