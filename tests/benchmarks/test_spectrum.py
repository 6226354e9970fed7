from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SMALL = {"units": 12, "sequences": 3, "steps": 9}


@pytest.fixture
def spectrum(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return pytest.importorskip("spectrum")


@pytest.mark.parametrize("peer", ["automatic", "analytic", "jax", "lyapax", "clvlib"])
@pytest.mark.parametrize(
    ("module", "jacobian"), [("LSTM", "reduced"), ("LSTM", "full"), ("GRU", "reduced"), ("RNN", "reduced")]
)
@pytest.mark.parametrize("n_exponents", [None, 3])
def test_every_contestant_finds_the_same_exponents(
    spectrum: ModuleType, peer: str, module: str, jacobian: str, n_exponents: int | None
) -> None:
    peers = spectrum.available([peer])
    if not peers:
        pytest.skip(f"{peer} is not installed")
    case = spectrum.Case(module, **SMALL, n_exponents=n_exponents, jacobian=jacobian)
    results = {name: call() for name, call in spectrum.contestants(case, peers, n_cores=1).items()}
    assert set(results) == {"lyapunov_pkg", peer}
    for leading, largest in spectrum.errors(case, results).values():
        assert leading < 1e-5
        assert largest < 1e-2  # float32, condition numbers of 1e4 and more


def test_a_shortened_case_compares_with_the_reference_of_as_many_steps(
    spectrum: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spectrum, "SHORT_STEPS", 4)
    case = spectrum.Case("GRU", **SMALL, n_exponents=None, shortened=True)
    assert [spectrum.steps_of(case, peer) for peer in ("automatic", "analytic")] == [4, 9]
    calls = spectrum.contestants(case, spectrum.available(["automatic"]), n_cores=1)
    leading, _ = spectrum.errors(case, {"automatic": calls["automatic"]()})["automatic"]
    assert leading < 1e-5


def test_counted_operations_are_those_of_the_product_and_of_qr(spectrum: ModuleType) -> None:
    case = spectrum.Case("LSTM", units=6, sequences=2, steps=5, n_exponents=None, jacobian="full")
    assert case.operations == pytest.approx(2 * 5 * 12**3 * (2 + 8 / 3))


def test_contestants_take_turns(spectrum: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    import measure

    order: list[str] = []
    timings = measure.interleaved({name: lambda name=name: order.append(name) for name in "ab"}, repetitions=2)
    assert "".join(order) == "ab" * 3  # the first round is not counted
    assert [len(timings[name].seconds) for name in "ab"] == [2, 2]


def test_unknown_case_is_one_clear_error() -> None:
    command = [sys.executable, str(BENCHMARKS / "spectrum.py"), "--cases", "lstm-65-*"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "--cases: got lstm-65-*, expected patterns of the names that --list prints" in result.stderr
