from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "gradients_through_chaos.py"


@pytest.mark.usefixtures("one_thread")
def test_gradients_through_chaos_explode(capsys):
    main = runpy.run_path(str(EXAMPLE))["main"]
    derivatives = main(["--long-run", "300", "--n-states", "8", "--n-steps", "10", "150"])
    assert abs(derivatives[10]) < 10 and abs(derivatives[150]) > 1e3
    lines = capsys.readouterr().out.splitlines()
    assert 0 < float(lines[0].removeprefix("difference of long runs: ")) < 0.5 and len(lines) == 3
