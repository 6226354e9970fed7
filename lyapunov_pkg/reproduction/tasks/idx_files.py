"""The four files of MNIST: their paths in a folder, and messages if some are missing."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path


@dataclass(frozen=True)
class MnistFile:
    """One of MNIST's four files: name without .gz, shape of one item, sha256 and size of the uncompressed content."""

    name: str
    item_shape: tuple[int, ...]
    sha256: str
    size: int  # bytes

    @property
    def spellings(self) -> tuple[str, ...]:
        """Return the usual names of the file, plain ones first."""
        names = (self.name, self.name.replace("-idx", ".idx"))
        return names + tuple(f"{name}.gz" for name in names)

    def find(self, directory: Path) -> Path:
        """Return the path of the file in a folder, or its expected path if it does not exist."""
        present = [directory / name for name in self.spellings if (directory / name).is_file()]
        return present[0] if present else directory / self.name


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


def idx_files(directory: Path) -> dict[str, Path]:
    """Return {part: path} of the four IDX files in a folder. A missing file has its expected path."""
    return {part: file.find(directory) for part, file in MNIST_FILES.items()}


def missing_idx_files(directory: Path) -> str | None:
    """Return a message on a folder that is missing or lacks some of the four IDX files; None if it has all."""
    if not directory.is_dir():
        names = ", ".join(file.name for file in MNIST_FILES.values())
        return f"directory {directory} of smnist is missing; expected a folder with {names} (plain or .gz)"
    found = idx_files(directory)
    missing = [file for part, file in MNIST_FILES.items() if not found[part].is_file()]
    if not missing:
        return None
    known = {name for file in MNIST_FILES.values() for name in file.spellings}
    present = sorted({path.name for path in directory.iterdir() if not path.name.startswith(".")} - known)
    asked = []
    for file in missing:
        close = get_close_matches(file.name, present, n=1, cutoff=0.7)
        asked.append(" or ".join(file.spellings) + (f" (is it {close[0]}?)" if close else ""))
    return (
        f"directory {directory} of smnist lacks {len(missing)} of {len(MNIST_FILES)} files; expected also "
        + "; ".join(asked)
    )
