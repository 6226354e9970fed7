from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from lyapunov_pkg.workflow.logs import logging_to, start_jobs_with


def test_printed_text_is_written_to_the_log(tmp_path: Path, capsys) -> None:
    with logging_to(tmp_path / "deep/job.log"):
        print("first")
        print("second", file=sys.stderr)
    assert (tmp_path / "deep/job.log").read_text() == "first\nsecond\n"
    assert capsys.readouterr() == ("", "")


def test_an_error_is_one_line_and_the_log_has_its_traceback(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    with pytest.raises(SystemExit) as exit_, logging_to(log):
        raise ValueError("sigma is -1")
    assert exit_.value.code == f"ValueError: sigma is -1 (traceback in {log})"
    assert "Traceback" in log.read_text() and "sigma is -1" in log.read_text()


def test_ctrl_c_is_not_reported_as_an_error(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    with pytest.raises(SystemExit) as exit_, logging_to(log):
        raise KeyboardInterrupt
    assert exit_.value.code == 130
    assert log.read_text() == "interrupted\n"


@pytest.mark.parametrize("others", ["", "/a", "/a:/b"])
def test_the_start_folder_of_jobs_is_first_on_the_path_and_only_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", others)
    for _ in range(2):
        start_jobs_with(tmp_path)
    assert os.environ["PYTHONPATH"] == ":".join(filter(None, [str(tmp_path.resolve()), others]))
