"""Settings of the data of the tasks."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Len, Lt
from pydantic import StringConstraints

from lyapunov_pkg.workflow.settings import Many, Section, Text

Address = Annotated[str, StringConstraints(pattern="^https?://")]
SequenceLength = Annotated[int, Ge(2)]
SampleSize = Annotated[int, Ge(10)]


class CharRnnData(Section):
    """Text for the prediction of the next character (chapters 2 and 3)."""

    source: Literal["python_topics", "war_and_peace", "file"]
    """`python_topics` is the built-in help of Python, `war_and_peace` the novel, `file` any text. Dissertation: War and
    Peace."""
    path: Text | None
    """Text file in UTF-8, plain or gzip. For War and Peace, its file or folder. Null: the novel is downloaded."""
    mirrors: Many[Address]
    """Addresses from which War and Peace is downloaded, in the order in which they are tried."""
    sequence_length: SequenceLength
    """Length of a sequence. All characters but the last are inputs, and all but the first are targets. Unit:
    characters. Dissertation: 100 inputs and 100 targets in chapter 3."""
    n_sequences: SampleSize | None
    """Number of sequences in all parts together, drawn at random. Null: all. Unit: sequences. Dissertation: all."""


class CharRnn(Section):
    """Prediction of the next character (chapters 2 and 3)."""

    data: CharRnnData
    """Text of the task."""


class MocapData(Section):
    """Motions for the prediction of the next frame (chapter 2)."""

    source: Literal["synthetic", "cmu"]
    """`synthetic` generates coupled oscillations of limbs, `cmu` reads AMC files of motion capture. Dissertation: CMU
    motion capture."""
    directory: Text | None
    """Folder of AMC files, plain or gzip, also in subfolders. Null: files are downloaded if the source is `cmu`."""
    trials: Annotated[Many[Text], Len(1)] | None
    """Names of trials, such as 13_29: file names without .amc. Null: all files of the folder, or all trials with a
    known checksum."""
    mirrors: Many[Address]
    """Addresses from which trials are downloaded, in the order in which they are tried."""
    sequence_length: SequenceLength
    """Length of a sequence. All frames but the last are inputs, and all but the first are targets. Unit: frames.
    Dissertation: not stated."""
    frame_rate: Literal[15, 20, 24, 30, 40, 60, 120]
    """Frames per second. Recordings have 120. At this rate, repeating the last frame has a lower error than trained
    networks. Unit: frames/s. Dissertation: not stated."""


class Mocap(Section):
    """Prediction of the next frame of a motion (chapter 2)."""

    data: MocapData
    """Motions of the task."""


class SmnistData(Section):
    """Images whose rows are the steps of a sequence (chapters 3 and 4)."""

    source: Literal["digits", "mnist", "idx"]
    """`digits` are the 8 x 8 images of scikit-learn, `mnist` 28 x 28 images, `idx` images of any size with any classes
    (docs/own-data.md). Dissertation: mnist."""
    directory: Text | None
    """Folder of the four IDX files, plain or gzip. Null: the files are downloaded if the source is `mnist`."""
    mirrors: Many[Address]
    """Addresses from which the files are downloaded, in the order in which they are tried."""
    n_train: SampleSize | None
    """Number of training images, a stratified sample. Null: all. Unit: images. Dissertation: all 60,000."""
    n_test: SampleSize | None
    """Number of test images, a stratified sample. Null: all. Unit: images. Dissertation: all 10,000."""


class Smnist(Section):
    """Sequential MNIST: the rows of an image are the steps of a sequence (chapter 3)."""

    data: SmnistData
    """Images of the task."""


class SequencesData(Section):
    """One file of sequences with targets (docs/own-data.md)."""

    path: Text | None
    """A .npz file, or a Zarr folder or zip file, with `inputs` (sample, time, feature), `targets` and optionally
    `split`. Null: no file, and no study may have this task."""
    standardise: bool
    """Whether each input feature and each real-valued target is scaled to mean 0 and standard deviation 1 over the
    training part."""
    validation_share: Annotated[float, Gt(0), Lt(1)]
    """Share of the samples for validation, chosen at random, if the file has no split. Unit: 1."""


class Sequences(Section):
    """Your own sequences; not in the dissertation."""

    data: SequencesData
    """Sequences of the task."""
