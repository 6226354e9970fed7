from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def real_data() -> Path:
    """The folder of real data sets: LYAPUNOV_REAL_DATA, or shared/data beside the repository; skips without it."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("LYAPUNOV_REAL_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}; set LYAPUNOV_REAL_DATA")
    return folder
