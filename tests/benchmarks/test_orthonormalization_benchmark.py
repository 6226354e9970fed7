"""The benchmark of the orthonormalization interval T_ON computes correct exponents and prints its table."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark_module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    module = pytest.importorskip("orthonormalization")
    monkeypatch.setattr(module.measure, "use_cores", lambda n_cores: None)
    return module


def test_exponents_do_not_depend_on_the_interval(benchmark_module: ModuleType) -> None:
    plain = benchmark_module.programs(6, 2, 20)["PyTorch"]
    every, fifth = plain(1), plain(5)
    assert every.shape == (2, 6)
    assert (every - fifth).abs().max() < 1e-3


def test_it_prints_a_row_for_each_size_and_interval(
    benchmark_module: ModuleType, capsys: pytest.CaptureFixture
) -> None:
    benchmark_module.main(["--units", "4", "6", "--intervals", "1", "5", "--steps", "10", "--repetitions", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[:2] for line in lines[2:]] == [["| 4", "1"], ["| 4", "5"], ["| 6", "1"], ["| 6", "5"]]
    assert all(line.split(" | ")[3] == "1.00" for line in (lines[2], lines[4]))
    assert "orthonormalization" in sys.modules
