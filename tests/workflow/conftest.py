from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY = 65_534


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """Return a folder that every user can access, unlike pytest's own folders."""
    folder = Path(tempfile.mkdtemp(prefix="lyapunov-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def another_user() -> Iterator[None]:
    """Run the block as another user with fewer permissions. Skips the test if the current user is not the superuser."""
    if os.geteuid() != 0:
        pytest.skip("only the superuser can become another user")
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
