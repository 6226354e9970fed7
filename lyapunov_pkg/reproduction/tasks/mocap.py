"""Mocap: predict the next frame of a recorded motion from the frames before it (dissertation, chapter 2).

Motions are trials of the CMU Graphics Lab's data base (http://mocap.cs.cmu.edu, created with funding from NSF
EIA-0196217), AMC files of 120 frames per second. `synthetic` is not a recording. It consists of coupled oscillations of
limbs with the same channels, for runs without a download.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from lyapunov_pkg.reproduction.tasks.amc import (
    CMU_JOINTS,
    CMU_SIZES,
    CMU_TRIALS,
    LARGEST_AMC,
    amc_files,
    missing_motions,
    parse_amc,
    unknown_trials,
)
from lyapunov_pkg.reproduction.tasks.content import read_content
from lyapunov_pkg.reproduction.tasks.download import fetch

SOURCES = ("synthetic", "cmu")
CMU_MIRRORS = ("http://mocap.cs.cmu.edu/subjects",)
FRAME_RATE = 120  # per second
N_FEATURES = 20  # the first moving channels (chapter 2)
SMALLEST_DEVIATION = 1e-4  # degrees; channels that deviate less are dropped (chapter 2)
VALIDATION_SHARE = 5  # one sequence in five is for validation (chapter 2)
PARTS = ("train", "validation")
# The root's position (three lengths) is not a joint angle.
ANGLE_CHANNELS = tuple(f"{joint}.{axis}" for joint, count in CMU_JOINTS.items() for axis in range(count))[3:]
SYNTHETIC_TRIALS = 10
SYNTHETIC_FRAMES = 2400  # of a trial: 20 seconds


def load_mocap(
    source: str,
    directory: Path | None = None,
    trials: Sequence[str] | None = None,
    mirrors: Sequence[str] = CMU_MIRRORS,
    sequence_length: int = 101,
    seed: int = 0,
    download_directory: Path | None = None,
    progress: Callable[[str], None] = print,
    frame_rate: int = FRAME_RATE,
) -> xr.Dataset:
    """Return motions as disjoint sequences of normalised joint angles, split 80/20 into training and validation.

    As in chapter 2, channels with a standard deviation below 1e-4 degrees over all frames of all trials are dropped.
    The other channels are divided by their standard deviation (their mean is kept), and the first 20 are used. The
    root's rotation is the first channel, and its position is excluded. Each sequence belongs to one trial. A remainder
    of a trial that is shorter than a sequence is dropped. Sequences are shuffled with a seed before the split.

    Args:
        source: "synthetic" (see `synthetic_motion`) or "cmu".
        directory: folder of TRIAL.amc files, plain or gzip, also in subfolders (`amc_files`). None: download the files,
            which is possible only for known trials. The content of a known trial is always verified.
        trials: names of trials, such as 13_29. None takes all files of `directory`, or all known trials.
        mirrors: addresses of folders with SUBJECT/TRIAL.amc, tried in order.
        sequence_length: number of frames of a sequence, including the last one, which is only a target.
        seed: seed of the order, which determines the split, and of synthetic motions.
        download_directory: folder for downloaded files; needed if files are downloaded.
        progress: called with lines of text during a download.
        frame_rate: frames per second of the sequences, a divisor of 120. Below 120 each piece of a motion gives several
            interleaved sequences, which are all in the same part.

    Returns:
        Dataset with these variables, for training and in the same way for validation:

        * train_input and train_target (train_sample, time, feature), float32, in standard deviations. The target is one
          frame after the input.
        * train_trial and train_frame (train_sample): the beginning of the sequence, counted from 0.
        * coordinates channel (feature), the joint and the number of the axis, and standard_deviation (feature) in
          degrees.
        * repeat_loss, the mean squared error of repeating the last frame on the validation part.

        Attributes: source, seed, sequence_length, frame_rate, trials and sha256s (for "cmu").

    Raises:
        ValueError: the source is unknown, an unknown trial would have to be downloaded, a file is malformed or altered,
            two files have the same content, there are too few frames for five sequences, or fewer than 20 channels
            move.
        FileNotFoundError: the directory, or some of its files, are missing.
        DownloadError: a file could not be downloaded from any mirror.
    """
    _check_arguments(source, sequence_length, frame_rate)
    sha256s: dict[str, str] = {}
    if source == "synthetic":
        motions = _synthetic_motions(seed)
    else:
        motions, sha256s = _read_trials(_trial_paths(directory, trials, mirrors, download_directory, progress))
    features, channel, deviation = _normalised(motions)
    variables = _split(*_cut(features, sequence_length, FRAME_RATE // frame_rate), seed)
    variables["repeat_loss"] = _loss_of_repeating(variables)
    variables["channel"] = xr.Variable(("feature",), channel, {"long_name": "joint and axis", "units": "1"})
    label = {"long_name": "standard deviation of the channel over all frames", "units": "degree"}
    variables["standard_deviation"] = xr.Variable(("feature",), deviation, label)
    attributes = {"source": source, "seed": seed, "sequence_length": sequence_length, "frame_rate": frame_rate}
    dataset = xr.Dataset(variables, attrs=attributes | {"trials": list(motions), "sha256s": sha256s})
    coordinates = [f"{part}_{name}" for part in PARTS for name in ("trial", "frame")]
    return dataset.set_coords(["channel", "standard_deviation", *coordinates])


def _check_arguments(source: str, sequence_length: int, frame_rate: int) -> None:
    if source not in SOURCES:
        raise ValueError(f"unknown source {source!r} of mocap; expected one of {', '.join(SOURCES)}")
    if sequence_length < 2:
        raise ValueError(f"sequence_length is {sequence_length}; expected at least 2 frames, an input and a target")
    if frame_rate < 1 or FRAME_RATE % frame_rate:
        raise ValueError(f"frame_rate is {frame_rate}; expected a divisor of {FRAME_RATE} frames per second")


def _synthetic_motions(seed: int) -> dict[str, np.ndarray]:
    return {
        f"synthetic_{number}": synthetic_motion(SYNTHETIC_FRAMES, np.random.default_rng([seed, number]))
        for number in range(SYNTHETIC_TRIALS)
    }


def synthetic_motion(n_frames: int, generator: np.random.Generator) -> np.ndarray:
    """Return joint angles of a synthetic motion: a gait-like superposition of coupled limb oscillations.

    Five oscillators, for trunk, arms and legs, have a common tempo of 0.7 to 1.4 cycles per second. The common tempo
    and each oscillator's own tempo change as random walks. The oscillators are coupled as in a gait: left against
    right, each arm with the opposite leg, and the trunk at twice the tempo (Kuramoto's coupling with these phase lags).
    Each channel is a fixed angle plus the first two harmonics of its own limb's oscillator and, more weakly, of the
    others, with random weights and phases. Its amplitude changes over seconds. Angles, amplitudes and weights differ
    between motions.

    Args:
        n_frames: number of frames, at 120 frames per second.
        generator: generator of all random numbers.

    Returns:
        (n_frames, 59), degrees, in the order of `ANGLE_CHANNELS`.
    """
    phases = _coupled_phases(n_frames, generator)[:, None]  # (frame, 1, limb)
    own = np.array([_limb(channel.partition(".")[0]) for channel in ANGLE_CHANNELS])
    shape = (len(own), len(LIMBS))
    weight = np.where(own[:, None] == np.arange(len(LIMBS)), 1.0, generator.normal(0, 0.35, shape))
    second = weight * generator.uniform(0, 0.4, shape)
    lag, second_lag = generator.uniform(-0.6, 0.6, (2, *shape))
    oscillation = (weight * np.sin(phases + lag) + second * np.sin(2 * phases + second_lag)).sum(axis=-1)
    offset, amplitude = generator.normal(0, 8, len(own)), generator.gamma(2, 4, len(own))
    swell_rate, swell_phase = generator.uniform(0.03, 0.15, len(own)), generator.uniform(0, 2 * np.pi, len(own))
    seconds = np.arange(n_frames)[:, None] / FRAME_RATE
    swell = 1 + 0.3 * np.sin(2 * np.pi * swell_rate * seconds + swell_phase)
    return offset + amplitude * swell * oscillation


LIMBS = ("trunk", "right arm", "left arm", "right leg", "left leg")
LIMB_LAGS = np.array([0.0, np.pi, 0.0, 0.0, np.pi])  # phase lags of a gait behind the right leg
COUPLING = 3.0  # per second
TEMPO_NOISE = 0.05  # random walk of the logarithm of the common tempo, per square root of a second
LIMB_NOISE = 0.2  # random walk of a limb's own tempo, radians per second and square root of a second
LEG_JOINTS = ("femur", "tibia", "foot", "toes")


def _limb(joint: str) -> int:
    """Return the index in `LIMBS` of the limb of a joint."""
    side, part = joint[0], joint[1:]
    if f"r{part}" not in CMU_JOINTS or f"l{part}" not in CMU_JOINTS:
        return LIMBS.index("trunk")
    kind = "leg" if part in LEG_JOINTS else "arm"
    return LIMBS.index(f"{'right' if side == 'r' else 'left'} {kind}")


def _coupled_phases(n_frames: int, generator: np.random.Generator) -> np.ndarray:
    """Return the phases of the limbs' oscillators, (frame, limb)."""
    dt = 1 / FRAME_RATE
    tempo = 2 * np.pi * generator.uniform(0.7, 1.4)
    tempos = tempo * np.exp(np.cumsum(generator.normal(0, TEMPO_NOISE * np.sqrt(dt), (n_frames, 1)), axis=0))
    own = np.cumsum(generator.normal(0, LIMB_NOISE * np.sqrt(dt), (n_frames, len(LIMBS))), axis=0)
    phase = LIMB_LAGS + generator.uniform(0, 2 * np.pi)
    phases = np.empty((n_frames, len(LIMBS)))
    for frame in range(n_frames):
        phases[frame] = phase
        relative = phase - LIMB_LAGS
        pull = np.sin(relative[None, :] - relative[:, None]).mean(axis=1)
        phase = phase + dt * (tempos[frame] + own[frame] + COUPLING * pull)
    phases[:, LIMBS.index("trunk")] *= 2
    return phases


def _trial_paths(
    directory: Path | None,
    trials: Sequence[str] | None,
    mirrors: Sequence[str],
    download_directory: Path | None,
    progress: Callable[[str], None],
) -> dict[str, Path]:
    if trials is not None and not trials:
        raise ValueError("trials is empty; expected names such as 13_29, or None for all")
    if directory is not None:
        return _find_files(Path(directory), trials)
    if download_directory is None:
        raise ValueError("mocap source 'cmu' has neither directory nor download_directory; expected one of them")
    wanted = list(CMU_TRIALS) if trials is None else trials
    unknown = unknown_trials(wanted)
    if unknown:
        raise ValueError(unknown)
    return {
        trial: fetch(
            f"{trial}.amc",
            [f"{mirror.rstrip('/')}/{trial.partition('_')[0]}" for mirror in mirrors],
            CMU_TRIALS[trial],
            Path(download_directory),
            size=CMU_SIZES[trial],
            progress=progress,
        )
        for trial in wanted
    }


def _find_files(directory: Path, trials: Sequence[str] | None) -> dict[str, Path]:
    missing = missing_motions(directory, trials)
    if missing:
        raise FileNotFoundError(missing)
    present = amc_files(directory)
    return present if trials is None else {trial: present[trial] for trial in trials}


def _read_trials(paths: Mapping[str, Path]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return joint angles (frame, channel) and sha256 of each trial. The sha256 of known trials is checked."""
    motions: dict[str, np.ndarray] = {}
    sha256s: dict[str, str] = {}
    for trial, path in paths.items():
        content = read_content(path, LARGEST_AMC)
        sha256 = hashlib.sha256(content).hexdigest()
        for other in [name for name, found in sha256s.items() if found == sha256]:
            raise ValueError(f"{paths[other]} and {path} are the same motion; expected each once: move one away")
        sha256s[trial] = sha256
        motions[trial] = parse_amc(content, path)[:, -len(ANGLE_CHANNELS) :]
        if sha256s[trial] != CMU_TRIALS.get(trial, sha256s[trial]):
            raise ValueError(
                f"{path} is not CMU's trial {trial}: found content with sha256 {sha256s[trial]}, expected "
                f"{CMU_TRIALS[trial]}"
            )
    return motions, sha256s


def _normalised(motions: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Return features (frame, feature) of each trial, names of their channels and standard deviations (feature,)."""
    deviation = np.concatenate(list(motions.values())).std(axis=0)
    moving = np.flatnonzero(deviation >= SMALLEST_DEVIATION)
    if len(moving) < N_FEATURES:
        raise ValueError(
            f"{len(moving)} of {len(deviation)} joint angles deviate by {SMALLEST_DEVIATION} degrees or more over all "
            f"frames of {', '.join(motions)}; expected at least {N_FEATURES}"
        )
    kept = moving[:N_FEATURES]
    features = {trial: (angles[:, kept] / deviation[kept]).astype(np.float32) for trial, angles in motions.items()}
    return features, np.array(ANGLE_CHANNELS)[kept], deviation[kept]


def _cut(features: Mapping[str, np.ndarray], length: int, stride: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return disjoint pieces, each as interleaved sequences of every `stride`-th frame.

    Returns:
        The sequences (piece, sequence, length, feature), and the trial and the first frame of each, (piece, sequence).
    """
    counts = [len(frames) // (length * stride) for frames in features.values()]
    if sum(counts) < VALIDATION_SHARE:
        lengths = ", ".join(f"{trial} {len(frames)}" for trial, frames in features.items())
        raise ValueError(
            f"too few frames: found {lengths}, {sum(counts)} sequences of {length * stride}; "
            f"expected at least {VALIDATION_SHARE} sequences"
        )
    pieces = [frames[: count * length * stride] for frames, count in zip(features.values(), counts, strict=True)]
    sequences = np.concatenate(pieces).reshape(sum(counts), length, stride, -1).swapaxes(1, 2)
    trial = np.repeat(np.array(list(features)), counts)[:, None].repeat(stride, axis=1)
    frame = np.concatenate([length * stride * np.arange(count) for count in counts])[:, None] + np.arange(stride)
    return sequences, trial, frame


def _split(sequences: np.ndarray, trial: np.ndarray, frame: np.ndarray, seed: int) -> dict[str, xr.Variable]:
    """Return the variables of both parts, from the results of `_cut`. The pieces are shuffled with a seed."""
    order = np.random.default_rng(seed).permutation(len(sequences))
    splits = np.split(order, [len(order) - len(order) // VALIDATION_SHARE])
    variables: dict[str, xr.Variable] = {}
    for part, index in zip(PARTS, splits, strict=True):
        variables |= _variables(part, *(np.concatenate(values[index]) for values in (sequences, trial, frame)))
    return variables


def _loss_of_repeating(variables: Mapping[str, xr.Variable]) -> xr.Variable:
    """Return the mean squared error of the last frame as prediction of the next one, on the validation part."""
    steps = variables["validation_target"].values - variables["validation_input"].values
    label = {"long_name": "mean squared error of repeating the last frame, validation part", "units": "1"}
    return xr.Variable((), np.square(steps, dtype=np.float64).mean(), label)


def _variables(part: str, sequences: np.ndarray, trial: np.ndarray, frame: np.ndarray) -> dict[str, xr.Variable]:
    def variable(dims: tuple[str, ...], values: np.ndarray, long_name: str, units: str = "1") -> xr.Variable:
        return xr.Variable(dims, values, {"long_name": long_name, "units": units})

    sample = f"{part}_sample"
    dims = (sample, "time", "feature")
    return {
        f"{part}_input": variable(dims, sequences[:, :-1], "joint angle in standard deviations of its channel"),
        f"{part}_target": variable(dims, sequences[:, 1:], "joint angle one frame later"),
        f"{part}_trial": variable((sample,), trial, "trial that the sequence is from"),
        f"{part}_frame": variable((sample,), frame, "first frame of the sequence in its trial, from 0", "frame"),
    }
