from __future__ import annotations

import gzip
import shutil

import numpy as np
import pytest
import xarray as xr

from lyapunov_pkg.reproduction.tasks import mocap
from lyapunov_pkg.reproduction.tasks.amc import CMU_JOINTS
from lyapunov_pkg.reproduction.tasks.mocap import (
    ANGLE_CHANNELS,
    CMU_TRIALS,
    FRAME_RATE,
    PARTS,
    load_mocap,
    synthetic_motion,
)
from lyapunov_pkg.workflow.store import open_store, save_store

STILL = ("lowerback.1", "rhand.0")


def write_amc(path, frames: np.ndarray) -> None:
    """Write frames (frame, 62) as an AMC file; this writer is independent of the reader under test."""
    lines = ["#!OML:ASF", ":FULLY-SPECIFIED", ":DEGREES"]
    for number, frame in enumerate(frames, 1):
        lines.append(str(number))
        values = iter(frame)
        for joint, count in CMU_JOINTS.items():
            lines.append(" ".join([joint, *(repr(float(next(values))) for _ in range(count))]))
    path.write_text("\r\n".join(lines) + "\r\n")


@pytest.fixture
def motions() -> dict[str, np.ndarray]:
    """Return two trials (frame, 62) of 95 and 40 frames, in which two channels are constant."""
    rng = np.random.default_rng(0)
    trials = {"90_01": 5 + 3 * rng.standard_normal((95, 62)), "90_02": rng.standard_normal((40, 62))}
    for frames in trials.values():
        for channel in STILL:
            frames[:, 3 + ANGLE_CHANNELS.index(channel)] = 7.0 + 5e-5 * rng.standard_normal(len(frames))
    return trials


@pytest.fixture
def folder(tmp_path, motions):
    for trial, frames in motions.items():
        write_amc(tmp_path / f"{trial}.amc", frames)
    return tmp_path


def sequences(dataset: xr.Dataset) -> dict[tuple[str, int], np.ndarray]:
    """Return every sequence (length, feature) by trial and first frame."""
    found = {}
    for part in PARTS:
        columns = [dataset[f"{part}_{name}"].values for name in ("trial", "frame", "input", "target")]
        for trial, frame, given, target in zip(*columns, strict=True):
            np.testing.assert_array_equal(given[1:], target[:-1])
            found[str(trial), int(frame)] = np.concatenate([given, target[-1:]])
    return found


def test_the_first_20_moving_channels_are_divided_by_their_standard_deviation(folder, motions):
    dataset = load_mocap("cmu", folder, sequence_length=10)
    angles = np.concatenate(list(motions.values()))[:, 3:]
    expected = [channel for channel in ANGLE_CHANNELS if channel not in STILL][:20]
    assert list(dataset["channel"].values) == expected
    kept = [ANGLE_CHANNELS.index(channel) for channel in expected]
    np.testing.assert_allclose(dataset["standard_deviation"], angles[:, kept].std(axis=0))
    first = motions["90_01"][20:30, 3:][:, kept] / angles[:, kept].std(axis=0)
    np.testing.assert_allclose(sequences(dataset)["90_01", 20], first, rtol=1e-5)


def test_sequences_are_disjoint_within_trials_and_split_80_20(folder):
    dataset = load_mocap("cmu", folder, sequence_length=10)
    expected = [("90_01", frame) for frame in range(0, 90, 10)] + [("90_02", frame) for frame in range(0, 40, 10)]
    assert sorted(sequences(dataset)) == expected
    assert [dataset.sizes[f"{part}_sample"] for part in PARTS] == [11, 2]
    assert dataset["train_input"].shape == (11, 9, 20) and dataset["train_input"].dtype == np.float32
    for variable in dataset.variables.values():
        assert variable.attrs["units"] and variable.attrs["long_name"]


def test_trials_can_be_chosen_and_gzip_is_read(folder):
    path = folder / "90_02.amc"
    (folder / "90_02.amc.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    dataset = load_mocap("cmu", folder, trials=["90_02"], sequence_length=8)
    assert dataset.attrs["trials"] == ["90_02"]
    assert {trial for trial, _ in sequences(dataset)} == {"90_02"}


def test_backup_partial_and_hidden_files_are_ignored(folder):
    expected = load_mocap("cmu", folder, sequence_length=10)
    other = folder / "90_01.amc"
    for name in ("90_01.amc~", "90_03.amc.orig", "b.amc.part", "._90_01.amc", ".amc", "90_01.amc.gz~", "amc", "x.asf"):
        shutil.copy(other, folder / name)
    (folder / "90_05.amc").mkdir()
    for name in (".backup", "__MACOSX/.x"):
        (folder / name).mkdir(parents=True)
        shutil.copy(other, folder / name / "90_04.amc")
    xr.testing.assert_identical(load_mocap("cmu", folder, sequence_length=10), expected)


def test_trials_are_found_in_subfolders_and_with_any_capitalisation(folder):
    expected = load_mocap("cmu", folder, sequence_length=10)
    (folder / "90").mkdir()
    (folder / "90_02.amc").rename(folder / "90/90_02.AMC")
    (folder / "90_01.amc.Gz").write_bytes(gzip.compress((folder / "90_01.amc").read_bytes()))
    (folder / "90_01.amc").unlink()
    xr.testing.assert_identical(load_mocap("cmu", folder, sequence_length=10), expected)
    assert load_mocap("cmu", folder, ["90_02"], sequence_length=8).attrs["trials"] == ["90_02"]


def test_trials_with_equal_file_names_are_named_after_their_folders(folder):
    for number, name in ((1, "ann"), (2, "bob")):
        (folder / name).mkdir()
        (folder / f"90_0{number}.amc").rename(folder / name / "walk.amc")
    assert load_mocap("cmu", folder, sequence_length=10).attrs["trials"] == ["ann/walk", "bob/walk"]
    assert load_mocap("cmu", folder, ["bob/walk"], sequence_length=8).attrs["trials"] == ["bob/walk"]


def test_two_copies_of_a_motion_are_refused(folder):
    (folder / "13").mkdir()
    shutil.copy(folder / "90_02.amc", folder / "13/walk copy.amc")
    with pytest.raises(ValueError, match=r"90_02\.amc and \S*walk copy\.amc are the same motion|walk copy\.amc and"):
        load_mocap("cmu", folder, sequence_length=10)
    (folder / "13/walk copy.amc").unlink()
    (folder / "90_02.amc.gz").write_bytes(gzip.compress((folder / "90_02.amc").read_bytes()))
    with pytest.raises(ValueError, match=r"90_02\.amc and \S*90_02\.amc\.gz are the same motion; expected each once"):
        load_mocap("cmu", folder, sequence_length=10)
    (folder / "90_02.amc").unlink()
    write_amc(folder / "90_01.AMC", np.random.default_rng(1).standard_normal((20, 62)))
    found = load_mocap("cmu", folder, sequence_length=10).attrs["trials"]
    assert found == ["90_01.AMC", "90_01.amc", "90_02"]


def test_order_depends_on_the_seed_alone(folder):
    first, again, other = (load_mocap("cmu", folder, sequence_length=10, seed=seed) for seed in (1, 1, 2))
    xr.testing.assert_identical(first, again)
    assert list(first["train_frame"].values) != list(other["train_frame"].values)


def test_store_keeps_the_dataset(folder, tmp_path):
    dataset = load_mocap("cmu", folder, sequence_length=10)
    save_store(dataset, tmp_path / "mocap.zarr.zip", {})
    xr.testing.assert_equal(open_store(tmp_path / "mocap.zarr.zip").load(), dataset)


def test_errors_in_a_malformed_file_name_frame_and_joint(folder):
    path = folder / "90_02.amc"
    lines = path.read_text().splitlines()
    at = 3 + 30 * 4 + 7  # The damage is in the fifth frame at the seventh joint.
    assert lines[at].startswith("head ")
    path.write_text("\n".join([*lines[:at], "head 1 nan 2", *lines[at + 1 :]]))
    with pytest.raises(ValueError, match=r"90_02\.amc, frame 5: joint head has the value 'nan'"):
        load_mocap("cmu", folder)


def test_an_altered_file_of_a_known_trial_is_refused(folder):
    (folder / "90_01.amc").rename(folder / "13_29.amc")
    with pytest.raises(ValueError, match=rf"13_29\.amc is not CMU's trial 13_29.*expected {CMU_TRIALS['13_29']}"):
        load_mocap("cmu", folder, sequence_length=10)


def test_missing_files(tmp_path, folder):
    with pytest.raises(FileNotFoundError, match=r"nowhere is missing; expected a folder with TRIAL\.amc files"):
        load_mocap("cmu", tmp_path / "nowhere")
    with pytest.raises(
        FileNotFoundError, match=r"lacks the trials 90_03 \(did you mean 90_0\d\?\); it has 90_01, 90_02"
    ):
        load_mocap("cmu", folder, trials=["90_01", "90_03"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"has no \.amc files"):
        load_mocap("cmu", tmp_path / "empty")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": "vicon"}, "unknown source 'vicon' of mocap; expected one of synthetic, cmu"),
        ({"source": "cmu"}, "has neither directory nor download_directory"),
        ({"source": "cmu", "trials": []}, "trials is empty"),
        ({"source": "synthetic", "sequence_length": 1}, "sequence_length is 1; expected at least 2"),
        ({"source": "synthetic", "sequence_length": 2000, "seed": 1}, None),
        ({"source": "synthetic", "sequence_length": 2401}, "too few frames: found synthetic_0 2400, .* 0 sequences of"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    if message is None:
        assert load_mocap(**arguments).sizes["train_sample"] == 8
        return
    with pytest.raises(ValueError, match=message):
        load_mocap(**arguments)


def test_motions_without_movement_are_refused(folder, motions):
    write_amc(folder / "90_01.amc", np.ones((95, 62)))
    with pytest.raises(
        ValueError, match=r"0 of 59 joint angles deviate by 0.0001 degrees or more over .* of 90_01; exp"
    ):
        load_mocap("cmu", folder, trials=["90_01"], sequence_length=10)


def test_only_known_trials_can_be_downloaded(tmp_path):
    with pytest.raises(ValueError, match="trials 07_01 cannot be downloaded, because their checksum is not known"):
        load_mocap("cmu", trials=["13_29", "07_01"], download_directory=tmp_path)


def test_downloads_are_requested_per_subject_with_the_checksum(folder, tmp_path, monkeypatch):
    """The test checks the download's arguments and the content check; test_download.py tests the download itself."""
    asked = []

    def fake_fetch(name, mirrors, sha256, directory, *, size, progress):
        asked.append((name, mirrors, sha256, directory))
        return folder / "90_01.amc"

    monkeypatch.setattr(mocap, "fetch", fake_fetch)
    with pytest.raises(ValueError, match=r"90_01\.amc is not CMU's trial 14_20"):
        load_mocap("cmu", None, ["14_20"], ["http://a/"], sequence_length=10, download_directory=tmp_path)
    assert asked == [("14_20.amc", ["http://a/14"], CMU_TRIALS["14_20"], tmp_path)]


def test_synthetic_motions_are_smooth_with_opposite_movements_of_left_and_right():
    motion = synthetic_motion(4000, np.random.default_rng(1))
    assert motion.shape == (4000, len(ANGLE_CHANNELS)) and np.isfinite(motion).all()
    speed, acceleration = np.diff(motion, axis=0), np.diff(motion, n=2, axis=0)
    assert ((acceleration**2).mean(axis=0) < 0.1 * (speed**2).mean(axis=0)).all()  # The motion is smooth.
    spectrum = np.abs(np.fft.rfft(motion - motion.mean(axis=0), axis=0)) ** 2
    frequency = np.fft.rfftfreq(len(motion), 1 / FRAME_RATE)
    share = spectrum[(frequency > 0.2) & (frequency < 8)].sum(axis=0) / spectrum.sum(axis=0)
    assert share.min() > 0.8  # The motion oscillates at gait frequency and its harmonics.
    right, left = (motion[:, ANGLE_CHANNELS.index(f"{side}tibia.0")] for side in "rl")
    assert np.corrcoef(right, left)[0, 1] < -0.2


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        (1, [[3.292338852, -7.638451437, -0.685354726], [-1.814235977, -17.82817887, 1.738622299]]),
        (2, [[11.13811361, -7.762001638, -6.365648221], [3.634022293, -7.80030404, -2.874866219]]),
    ],
)
def test_synthetic_motions_have_the_values_behind_the_published_results(seed, expected):
    motion = synthetic_motion(2400, np.random.default_rng([seed, 3]))
    np.testing.assert_allclose(motion[np.ix_([0, 120], [0, 20, 58])], expected, rtol=1e-6)


def test_synthetic_data_depend_on_the_seed_alone():
    first, again, other = (load_mocap("synthetic", seed=seed) for seed in (1, 1, 2))
    xr.testing.assert_identical(first, again)
    assert (first["standard_deviation"] != other["standard_deviation"]).all()
    assert first["train_input"].shape == (184, 100, 20)


@pytest.mark.real_data
def test_real_trials(real_data):
    dataset = load_mocap("cmu", real_data / "cmu_mocap")
    assert dataset.attrs["sha256s"] == CMU_TRIALS
    assert [dataset.sizes[f"{part}_sample"] for part in PARTS] == [152, 37]
    assert list(dataset["channel"].values[:4]) == ["root.3", "root.4", "root.5", "lowerback.0"]
    change = dataset["train_target"] - dataset["train_input"]
    # Relative to a variance of 1, the change between successive frames is small.
    assert float((change**2).mean()) < 0.01


def test_lower_frame_rates_interleave_frames_and_keep_each_piece_in_one_set() -> None:
    full, quarter = (load_mocap("synthetic", sequence_length=11, seed=4, frame_rate=rate) for rate in (120, 30))
    assert quarter.attrs["frame_rate"] == 30
    pieces = {}
    for part in ("train", "validation"):
        frames, trials = quarter[f"{part}_frame"].values, quarter[f"{part}_trial"].values
        pieces[part] = set(zip(trials, frames // 44, strict=True))
        assert len(pieces[part]) * 4 == len(frames)
    assert not pieces["train"] & pieces["validation"]
    of_full = (full[f"train_{name}"].values for name in ("trial", "frame", "input"))
    motion = {(trial, frame): x for trial, frame, x in zip(*of_full, strict=True)}
    found = 0
    for trial, frame, x in zip(*(quarter[f"train_{name}"].values for name in ("trial", "frame", "input")), strict=True):
        own = motion.get((trial, frame - frame % 11))
        if own is not None and frame % 11 < 6:
            np.testing.assert_array_equal(x[1], own[frame % 11 + 4])
            found += 1
    assert found > 10
    error = np.square(quarter["validation_target"] - quarter["validation_input"], dtype=float).mean()
    np.testing.assert_allclose(quarter["repeat_loss"], error)
    with pytest.raises(ValueError, match="frame_rate is 50; expected a divisor of 120"):
        load_mocap("synthetic", frame_rate=50)
