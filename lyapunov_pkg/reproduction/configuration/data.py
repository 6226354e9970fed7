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
    """Text of which the next character is predicted (chapters 2 and 3)."""

    source: Literal["python_topics", "war_and_peace", "file"]
    """`python_topics` is the help texts of Python, which are embedded. `file` is any text. Dissertation: War and
    Peace."""
    path: Text | None
    """Text file in UTF-8, plain or gzip; for War and Peace its file or folder. Null: it is downloaded."""
    mirrors: Many[Address]
    """Addresses from which War and Peace is downloaded, in the order in which they are tried."""
    sequence_length: SequenceLength
    """Length of a sequence: all but its last character are inputs, all but its first are targets. Unit: characters.
    Dissertation: 100 inputs and 100 targets in chapter 3."""
    n_sequences: SampleSize | None
    """Sequences of all parts together, drawn at random. Null: all. Unit: sequences. Dissertation: all."""


class CharRnn(Section):
    """Prediction of the next character (chapters 2 and 3)."""

    data: CharRnnData
    """Text of the task."""


class MocapData(Section):
    """Motions of which the next frame is predicted (chapter 2)."""

    source: Literal["synthetic", "cmu"]
    """`synthetic` is coupled oscillations of limbs, `cmu` AMC files of motion capture. Dissertation: CMU motion
    capture."""
    directory: Text | None
    """Folder of AMC files, plain or gzip, also in subfolders. Null: they are downloaded, if the source is `cmu`."""
    trials: Annotated[Many[Text], Len(1)] | None
    """Names of trials, such as 13_29: their files' without .amc. Null: all of the folder, or all with a known
    checksum."""
    mirrors: Many[Address]
    """Addresses from which trials are downloaded, in the order in which they are tried."""
    sequence_length: SequenceLength
    """Length of a sequence: all but its last frame are inputs, all but its first are targets.
    Unit: frames. Dissertation: not stated."""
    frame_rate: Literal[15, 20, 24, 30, 40, 60, 120]
    """Frames per second; recordings have 120, at which repeating the last frame has a lower error than trained networks
    can beat. Unit: frames/s. Dissertation: not stated."""


class Mocap(Section):
    """Prediction of the next frame of a motion (chapter 2)."""

    data: MocapData
    """Motions of the task."""


class SmnistData(Section):
    """Images whose rows are the steps of a sequence (chapters 3 and 4)."""

    source: Literal["digits", "mnist", "idx"]
    """`digits` is 8 x 8 images embedded in scikit-learn, `mnist` 28 x 28, `idx` images of any size and any classes
    (docs/own-data.md). Dissertation: mnist."""
    directory: Text | None
    """Folder of the four IDX files, plain or gzip. Null: they are downloaded, if the source is `mnist`."""
    mirrors: Many[Address]
    """Addresses from which the files are downloaded, in the order in which they are tried."""
    n_train: SampleSize | None
    """Training images, a stratified sample. Null: all. Unit: images. Dissertation: all 60,000."""
    n_test: SampleSize | None
    """Test images, a stratified sample. Null: all. Unit: images. Dissertation: all 10,000."""


class Smnist(Section):
    """Sequential MNIST: rows of an image are the steps of a sequence (chapter 3)."""

    data: SmnistData
    """Images of the task."""


class SequencesData(Section):
    """One file of sequences with targets (docs/own-data.md)."""

    path: Text | None
    """A .npz file, or a Zarr folder or zip file, with `inputs` (sample, time, feature), `targets` and, if there is one,
    `split`. Null: none, and no study has this task."""
    standardise: bool
    """Whether each input feature and each real-valued target is brought to mean 0 and standard deviation 1 over the
    training part."""
    validation_share: Annotated[float, Gt(0), Lt(1)]
    """Share of the samples that validate, at random, if the file has no split. Unit: 1."""


class Sequences(Section):
    """Sequences of one's own; not in the dissertation."""

    data: SequencesData
    """Sequences of the task."""
