"""FORCE in compiled kernels agrees with the plain NumPy program of the benchmark."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def force(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return pytest.importorskip("force")


@pytest.mark.parametrize(("n_units", "update_every"), [(50, 2), (61, 1), (64, 3)])
def test_training_agrees_with_numpy(force: ModuleType, n_units: int, update_every: int) -> None:
    """Outputs agree to 1e-12 over 120 steps and output weights to 1e-9, before rounding errors grow."""
    for variant in force.variants(n_units, (1.2, 1.8), 2):
        found = force.agreement(variant, epochs=1, n_samples=120, update_every=update_every)
        assert found["outputs"] < 1e-12
        assert found["weights"] < 1e-9
        assert 0 < found["training error"] < 0.5


def test_single_precision_drifts(force: ModuleType) -> None:
    (variant,) = force.variants(50, (1.5,), 1)
    differences, double, single = force.drift(variant, epochs=2, n_samples=120)
    assert 1e-7 < differences[0] < 0.1
    assert double > 0
    assert single > 0


def test_it_prints_its_tables(
    force: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(force.measure, "use_cores", lambda n_cores: None)
    small = ["--units", "20", "--epochs", "1", "--samples", "60", "--networks", "1", "--threads", "1"]
    for arguments in (small, [*small, "--drift"]):
        monkeypatch.setattr(sys, "argv", ["force.py", *arguments])
        force.main()
        assert "| 1.7 |" in capsys.readouterr().out
