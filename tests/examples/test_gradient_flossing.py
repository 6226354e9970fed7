from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "gradient_flossing.py"
pytest.importorskip("matplotlib")


@pytest.mark.usefixtures("one_thread")
def test_flossing_brings_exponents_closer_to_zero_and_the_comparison_runs(tmp_path, capsys):
    main = runpy.run_path(str(EXAMPLE))["main"]
    sizes = "--hidden-size 12 --n-exponents 3 --delay 2 --n-steps 20 --flossing-time 20"
    steps = "--seeds 2 --training-steps 10 --flossing-steps 20 --learning-rate 0.01"
    runs = main([*sizes.split(), *steps.split(), "--figure", str(tmp_path / "figure.png")])
    for pair in runs:
        assert len(pair["plain"].accuracies) == 20 and len(pair["flossed"].accuracies) == 10
        plain, flossed = (pair[arm].exponents[:3].square().mean() for arm in ("plain", "flossed"))
        assert flossed < 0.5 * plain
    assert (tmp_path / "figure.png").stat().st_size > 1000
    assert len(capsys.readouterr().out.splitlines()) == 3
