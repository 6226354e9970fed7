from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lyapunov_pkg.reproduction.tasks import amc
from lyapunov_pkg.reproduction.tasks.amc import CMU_JOINTS, parse_amc

JOINTS = {"root": 6, "head": 3, "rhand": 2}
HEADER = "#!OML:ASF F:\\skeleton.ASF\n:FULLY-SPECIFIED\n:DEGREES\n"
FRAME_1 = "1\nroot 1 2 3 4 5 6\nhead -1.5 0.25 7.1e-015\nrhand 8 9\n"
FRAME_2 = "2\nroot 0 0 0 0 0 0\nhead 1 2 3\nrhand 4 5\n"


def parse(text: str) -> np.ndarray:
    """Read a file with a skeleton of three joints."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(amc, "CMU_JOINTS", JOINTS)
        return parse_amc(text.encode(), Path("walk.amc"))


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_frames_are_read_joint_by_joint(newline):
    frames = parse((HEADER + FRAME_1 + FRAME_2).replace("\n", newline))
    np.testing.assert_array_equal(frames, [[1, 2, 3, 4, 5, 6, -1.5, 0.25, 7.1e-15, 8, 9], [0] * 6 + [1, 2, 3, 4, 5]])


def test_joint_order_comments_and_the_first_frame_number_are_arbitrary():
    text = HEADER + "# a comment\n7\nrhand 4 5 # inline\n\nhead 1 2 3\nroot 0 0 0 0 0 6\n"
    np.testing.assert_array_equal(parse(text), [[0, 0, 0, 0, 0, 6, 1, 2, 3, 4, 5]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (FRAME_1, "the header has no keywords, expected also :FULLY-SPECIFIED and :DEGREES"),
        (HEADER.replace("DEGREES", "RADIANS") + FRAME_1, "has :FULLY-SPECIFIED, :RADIANS, expected also :DEGREES"),
        (HEADER, "found no frames, expected at least one"),
        (HEADER + FRAME_1[2:], "found joint root before any frame"),
        (HEADER + FRAME_1 + FRAME_2[2:].replace("root", "root"), "frame 1: joint root is given twice, expected once"),
        (HEADER + FRAME_1 + "3" + FRAME_2[1:], "found frame 3 after frame 1, expected frame 2"),
        (HEADER + FRAME_1 + FRAME_2.replace("head 1 2 3\n", ""), "frame 2: joint head missing, expected all 3 joints"),
        (HEADER + FRAME_1 + "2\nroot 0 0 0 0 0 0\n", "frame 2: joint head, rhand missing"),
        (HEADER + FRAME_1 + FRAME_2.replace("1 2 3", "1 2"), "frame 2: joint head has 2 values, expected 3"),
        (HEADER + FRAME_1.replace("rhand 8 9", "rhand"), "frame 1: joint rhand has 0 values, expected 2"),
        (HEADER + FRAME_1 + FRAME_2.replace("1 2 3", "1 NaN 3"), "frame 2: joint head has the value 'NaN', expected a"),
        (HEADER + FRAME_1.replace("8 9", "8 inf"), "frame 1: joint rhand has the value 'inf'"),
        (
            HEADER + FRAME_1.replace("8 9", "8 1_0"),
            "frame 1: joint rhand has the value '1_0', expected a finite number",
        ),
        (HEADER + FRAME_1.replace("8 9", "8 ٣"), "frame 1: joint rhand has the value '٣', expected a finite number"),
        (HEADER + "9" * 5000 + FRAME_1[1:], f"found joint {'9' * 40}... before any frame"),
        (HEADER + FRAME_1 + "\0" * 99, f"frame 1: found joint {'�' * 40}..., expected one of root"),
        (
            HEADER + FRAME_1.replace("8 9", "8 9,5"),
            "frame 1: joint rhand has the value '9,5', expected a finite number",
        ),
        (HEADER + FRAME_1.replace("rhand", "tail"), "frame 1: found joint tail, expected one of root, head, rhand"),
    ],
)
def test_errors_in_a_malformed_file_name_frame_and_joint(text, message):
    with pytest.raises(ValueError) as raised:
        parse(text)
    assert str(raised.value).startswith("walk.amc") and message in str(raised.value)


def test_the_cmu_skeleton_has_62_degrees_of_freedom_and_symmetric_sides() -> None:
    assert sum(CMU_JOINTS.values()) == 62 and len(CMU_JOINTS) == 29
    sides = [{name[1:]: n for name, n in CMU_JOINTS.items() if f"{side}{name[1:]}" == name} for side in "rl"]
    assert {name for name in sides[0] if name in sides[1]} == {
        *("clavicle", "humerus", "radius", "wrist", "hand", "fingers", "thumb", "femur", "tibia", "foot", "toes")
    }
    assert all(sides[0][name] == sides[1][name] for name in sides[0] if name in sides[1])
    assert CMU_JOINTS["root"] == 6 and {CMU_JOINTS[name] for name in ("lowerback", "thorax", "head")} == {3}


@pytest.mark.real_data
def test_real_trial(real_data):
    path = real_data / "cmu_mocap" / "13_30.amc"
    frames = parse_amc(path.read_bytes(), path)
    assert frames.shape[1] == sum(CMU_JOINTS.values()) == 62
    lines = path.read_text().splitlines()
    assert len(frames) == sum(line.strip().isdecimal() for line in lines) == (len(lines) - 3) / 30
    np.testing.assert_array_equal(frames[0, :6], [float(word) for word in lines[4].split()[1:]])
    np.testing.assert_array_equal(frames[-1, -1:], [float(word) for word in lines[-1].split()[1:]])
