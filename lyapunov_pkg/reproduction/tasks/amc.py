"""Reader of AMC files, the motions of Acclaim's ASF/AMC format for motion capture.

After a header, an AMC file has one block per frame: the frame's number, then a line per joint with the joint's name and
the values of its degrees of freedom. The joints and their numbers of values are normally defined by a skeleton file
(ASF). This module uses a table, `CMU_JOINTS`, for the files of the CMU Graphics Lab.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CMU_JOINTS: dict[str, int] = {
    "root": 6,  # position x y z, then rotations
    "lowerback": 3,
    "upperback": 3,
    "thorax": 3,
    "lowerneck": 3,
    "upperneck": 3,
    "head": 3,
    "rclavicle": 2,
    "rhumerus": 3,
    "rradius": 1,
    "rwrist": 1,
    "rhand": 2,
    "rfingers": 1,
    "rthumb": 2,
    "lclavicle": 2,
    "lhumerus": 3,
    "lradius": 1,
    "lwrist": 1,
    "lhand": 2,
    "lfingers": 1,
    "lthumb": 2,
    "rfemur": 3,
    "rtibia": 1,
    "rfoot": 2,
    "rtoes": 1,
    "lfemur": 3,
    "ltibia": 1,
    "lfoot": 2,
    "ltoes": 1,
}
"""Degrees of freedom of each joint of CMU's skeletons, in the order of their files. Rotations are in degrees."""

CMU_TRIALS = {
    "13_29": "b8ffec0ea28ea24acc46ac6f4775604378ab1120388c45477c7b436ded00c42c",
    "13_30": "dba9d6ebb34619a34d718a805d9f666e3a54ec397effc367a3f6f0cfbe75962a",
    "13_31": "4653045d26fc2dda48113a2930c7d1ed1753da98d5fe114e3a6a79f65c6a0aaf",
    "14_14": "cf353aa8a7ca94714aaf3b2ebaed303e4e9556fc6981b1c4563a62988b8246bc",
    "14_20": "77eefe68dda88fd356db77d1382cc0ea1e0499054258fe58fe464cdd84d119f8",
}
"""Known trials, {name: sha256 of the content}. A name is subject_trial."""

CMU_SIZES = {"13_29": 3_677_769, "13_30": 1_979_049, "13_31": 2_422_079, "14_14": 3_719_141, "14_20": 3_715_002}
"""Size of each of these trials in bytes."""

LARGEST_AMC = (
    100 << 20
)  # bytes, uncompressed; CMU's trials have up to 4 MB, and reading needs a multiple of the file size
NUMBER_OF_A_FRAME = re.compile("[0-9]{1,18}")
REQUIRED_KEYWORDS = (":FULLY-SPECIFIED", ":DEGREES")
MOST_TRIALS_SHOWN = 10
FILE_NAME = re.compile(r"(?P<trial>[^.].*)\.amc(\.gz)?", flags=re.IGNORECASE)


def amc_files(folder: Path) -> dict[str, Path]:
    """Return {name of the trial: file} of the AMC files in a folder and its subfolders, sorted by name.

    AMC files are `TRIAL.amc` and `TRIAL.amc.gz`, in upper or lower case. Backups, partial and hidden files are ignored.
    If several files have the same trial name, the names are their paths, as `SUBFOLDER/TRIAL`. If only the file endings
    differ, the names contain the ending.
    """
    spellings = {}
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        name = FILE_NAME.fullmatch(path.name)
        if name and path.is_file() and not any(part.startswith(".") for part in relative.parts):
            place = relative.with_name(name["trial"])
            spellings[path] = (place.name, place.as_posix(), relative.as_posix())
    counts = [Counter(column) for column in zip(*spellings.values(), strict=True)]
    named = {
        next(name for name, count in zip(names, counts, strict=True) if count[name] == 1): path
        for path, names in spellings.items()
    }
    return dict(sorted(named.items()))


def missing_motions(folder: Path, trials: Sequence[str] | None) -> str | None:
    """Return a message on a folder that is missing or lacks some of the trials; None if it has all of them."""
    if not folder.is_dir():
        return f"mocap directory {folder} is missing; expected a folder with TRIAL.amc files"
    present = amc_files(folder)
    if not present:
        return f"mocap directory {folder} has no .amc files; expected names such as 13_29.amc"
    missing = [trial for trial in trials or () if trial not in present]
    if not missing:
        return None
    asked = []
    for trial in missing:
        close = get_close_matches(trial, present, n=1)
        asked.append(trial + (f" (did you mean {close[0]}?)" if close else ""))
    shown = ", ".join([*present][:MOST_TRIALS_SHOWN])
    if len(present) > MOST_TRIALS_SHOWN:
        shown += f" and {len(present) - MOST_TRIALS_SHOWN} others"
    return f"mocap directory {folder} lacks the trials {', '.join(asked)}; it has {shown}"


def unknown_trials(trials: Iterable[str]) -> str | None:
    """Return a message on trials that cannot be downloaded, because no checksum is known; None if all can."""
    unknown = [trial for trial in trials if trial not in CMU_TRIALS]
    if not unknown:
        return None
    return (
        f"trials {', '.join(unknown)} cannot be downloaded, because their checksum is not known; known are "
        f"{', '.join(CMU_TRIALS)}. Set mocap.data.directory to a folder with the files"
    )


def parse_amc(content: bytes, path: Path) -> NDArray[np.float64]:
    """Return the frames of an AMC file of the CMU Graphics Lab.

    Args:
        content: the file's bytes.
        path: path for error messages.

    Returns:
        (frame, channel): the values of all joints in the order of `CMU_JOINTS`. The order of joints in the file does
        not matter.

    Raises:
        ValueError: the header lacks a keyword, there are no frames, or frames are not numbered consecutively. Or a
            joint is missing, unknown, given twice, or has the wrong number of values or a value that is not finite. The
            message names the file, the frame and the joint.
    """
    rows = [words for line in content.decode(errors="replace").splitlines() if (words := _words(line))]
    _check_header(path, rows)
    frames: list[list[float]] = []
    expected: int | None = None
    for number, lines in _frames(path, rows):
        if expected is not None and number != expected:
            raise ValueError(f"{path}: found frame {number} after frame {expected - 1}, expected frame {expected}")
        expected = number + 1
        frames.append(_frame(f"{path}, frame {number}", lines))
    if not frames:
        raise ValueError(f"{path}: found no frames, expected at least one")
    return np.array(frames)


def _words(line: str) -> list[str]:
    return line.partition("#")[0].split()


def _check_header(path: Path, rows: list[list[str]]) -> None:
    keywords = {_shown(words[0].upper()) for words in rows if words[0].startswith(":")}
    missing = [keyword for keyword in REQUIRED_KEYWORDS if keyword not in keywords]
    if missing:
        raise ValueError(
            f"{path}: the header has {', '.join(sorted(keywords)) or 'no keywords'}, expected also "
            f"{' and '.join(missing)}: is this a fully specified AMC file in degrees?"
        )


def _frames(path: Path, rows: list[list[str]]) -> Iterator[tuple[int, list[list[str]]]]:
    """Yield the number of each frame and the lines of its joints."""
    number: int | None = None
    lines: list[list[str]] = []
    for words in rows:
        if words[0].startswith(":"):
            continue
        if len(words) == 1 and NUMBER_OF_A_FRAME.fullmatch(words[0]):
            if number is not None:
                yield number, lines
            number, lines = int(words[0]), []
        elif number is None:
            raise ValueError(f"{path}: found joint {_shown(words[0])} before any frame, expected the number of a frame")
        else:
            lines.append(words)
    if number is not None:
        yield number, lines


def _frame(place: str, lines: list[list[str]]) -> list[float]:
    """Return the values of one frame in the order of `CMU_JOINTS`."""
    found: dict[str, list[float]] = {}
    for joint, *words in lines:
        if joint not in CMU_JOINTS:
            raise ValueError(f"{place}: found joint {_shown(joint)}, expected one of {', '.join(CMU_JOINTS)}")
        if joint in found:
            raise ValueError(f"{place}: joint {joint} is given twice, expected once")
        if len(words) != CMU_JOINTS[joint]:
            raise ValueError(f"{place}: joint {joint} has {len(words)} values, expected {CMU_JOINTS[joint]}")
        found[joint] = [_number(place, joint, word) for word in words]
    missing = [joint for joint in CMU_JOINTS if joint not in found]
    if missing:
        raise ValueError(f"{place}: joint {', '.join(missing)} missing, expected all {len(CMU_JOINTS)} joints")
    return [value for joint in CMU_JOINTS for value in found[joint]]


def _number(place: str, joint: str, word: str) -> float:
    try:
        value = float(word) if word.isascii() and "_" not in word else math.nan  # which Python also accepts as numbers
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{place}: joint {joint} has the value {_shown(word)!r}, expected a finite number")
    return value


def _shown(word: str) -> str:
    """Return the beginning of a word of the file for a message, without control characters."""
    printable = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in word)
    return printable if len(printable) <= 40 else f"{printable[:40]}..."
