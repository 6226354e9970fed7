"""Messages on missing data files, before any job starts."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from lyapunov_pkg.reproduction.tasks.amc import missing_motions
from lyapunov_pkg.reproduction.tasks.idx_files import missing_idx_files

WAR_AND_PEACE_NAME = "warpeace_input.txt"


def missing_data(task: str, data: Mapping[str, Any]) -> str | None:
    """Return a message on missing local data of a task; None if all exist or none are local.

    Args:
        task: name of the task.
        data: settings of its data, `TASK.data` of the configuration.
    """
    place = data["path"] if "path" in data else data["directory"]
    if place is None or data.get("source") in ("digits", "synthetic", "python_topics"):
        return None
    path = Path(place)
    if task == "smnist":
        return missing_idx_files(path)
    if task == "mocap":
        return missing_motions(path, data["trials"])
    if task == "char_rnn":
        return missing_text(path, data["source"])
    return None if path.exists() else f"sequences: {path} does not exist{_like(path)}; expected a .npz or Zarr file"


def text_file(path: Path, source: str) -> Path | None:
    """Return the text file of CharRNN at a path (for War and Peace also in a folder), or None if it does not exist."""
    candidates = [path]
    if source == "war_and_peace" and path.is_dir():
        candidates = [path / WAR_AND_PEACE_NAME, path / f"{WAR_AND_PEACE_NAME}.gz"]
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def missing_text(path: Path, source: str) -> str | None:
    """Return a message if the text file of CharRNN does not exist at a path; None if it does."""
    if text_file(path, source):
        return None
    expected = "a text file"
    found = "is a folder" if path.is_dir() else f"does not exist{_like(path)}"
    if source == "war_and_peace":
        expected = f"a folder with {WAR_AND_PEACE_NAME}, or that file"
        found = f"has no {WAR_AND_PEACE_NAME}" if path.is_dir() else found
    return f"text of char_rnn: {path} {found}; expected {expected} (plain or .gz)"


def _like(path: Path) -> str:
    """Return a question with a file of a similar name in the same folder."""
    present = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    close = get_close_matches(path.name, present, n=1)
    return f" (did you mean {path.with_name(close[0])}?)" if close else ""
