from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SMALL = {"units": 12, "sequences": 3, "steps": 9}


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return pytest.importorskip("networks")


@pytest.fixture
def spectrum(networks: ModuleType) -> ModuleType:
    return pytest.importorskip("spectrum")


@pytest.mark.parametrize("peer", ["automatic", "analytic", "jax", "lyapax", "clvlib"])
@pytest.mark.parametrize(
    ("module", "jacobian"), [("LSTM", "reduced"), ("LSTM", "full"), ("GRU", "reduced"), ("RNN", "reduced")]
)
@pytest.mark.parametrize("n_exponents", [None, 3])
def test_all_programs_compute_the_same_exponents(
    networks: ModuleType, spectrum: ModuleType, peer: str, module: str, jacobian: str, n_exponents: int | None
) -> None:
    peers = spectrum.available([peer], n_cores=1)
    if not peers:
        pytest.skip(f"{peer} is not installed")
    driven = networks.Driven(module, **SMALL, n_exponents=n_exponents, jacobian=jacobian)
    contest = networks.spectrum_of_module(driven, peers)
    found = contest.differences({name: call() for name, call in contest.calls.items()})
    assert set(found) == {"lyapunov_pkg", peer}
    for differences in found.values():
        assert differences["leading half"] < 1e-5
        assert differences["all"] < 1e-2  # The bound is for float32 and condition numbers of 1e4 and more.


def test_a_step_function_has_the_exponents_of_its_module(networks: ModuleType) -> None:
    driven = networks.Driven("LSTM", **SMALL, n_exponents=None, jacobian="full")
    contest = networks.spectrum_of_step(driven, {})
    found = contest.differences({name: call() for name, call in contest.calls.items()})
    assert set(found) == {"lyapunov_pkg", "module", "through_torch"}
    assert all(differences["leading half"] < 1e-5 for differences in found.values())


@pytest.mark.parametrize("contest", ["finite_time", "covariant"])
def test_vectors_agree(spectrum: ModuleType, networks: ModuleType, contest: str) -> None:
    import vectors

    driven = networks.Driven("LSTM", units=8, sequences=2, steps=60, n_exponents=4)
    peers = spectrum.available(["jax", "clvlib"], n_cores=1)
    made = getattr(vectors, contest)(driven, "float64", peers)
    found = made.differences({name: call() for name, call in made.calls.items()})
    for differences in found.values():
        assert all(difference < made.tolerances[what] for what, difference in differences.items())


def test_systems_agree(spectrum: ModuleType) -> None:
    import systems

    peers = spectrum.available(["lyapax"], n_cores=1)
    if not peers:
        pytest.skip("lyapax is not installed")
    for case in systems.all_cases(quick=True):
        if case.name.startswith(("built-in", "flow")):
            contest = case.build(peers)
            (found,) = contest.differences({name: call() for name, call in contest.calls.items()}).values()
            assert found["from lyapax"] < contest.tolerances["from lyapax"]


def test_a_shortened_case_uses_a_reference_with_the_same_number_of_steps(
    networks: ModuleType, spectrum: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "SHORT_STEPS", 4)
    driven = networks.Driven("GRU", **SMALL, n_exponents=None, shortened=True)
    assert [driven.steps_of(peer) for peer in ("automatic", "analytic")] == [4, 9]
    contest = networks.spectrum_of_module(driven, spectrum.available(["automatic"], n_cores=1))
    assert contest.scales == {"automatic": 9 / 4}
    found = contest.differences({"automatic": contest.calls["automatic"]()})
    assert found["automatic"]["leading half"] < 1e-5


def test_operation_counts_are_those_of_the_product_and_of_qr(networks: ModuleType) -> None:
    driven = networks.Driven("LSTM", units=6, sequences=2, steps=5, n_exponents=None, jacobian="full")
    assert driven.operations == pytest.approx(2 * 5 * 12**3 * (2 + 8 / 3))


def test_case_names_are_unique_and_each_has_a_table(spectrum: ModuleType) -> None:
    import tables

    cases = spectrum.all_cases(quick=False)
    assert len({case.name for case in cases}) == len(cases)
    assert {case.table for case in cases} == set(tables.TITLES) - {"training", "gpu-training", "gpu-spectra"}


def test_an_unknown_case_gives_one_clear_error() -> None:
    command = [sys.executable, str(BENCHMARKS / "spectrum.py"), "--cases", "lstm-65-*"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "--cases: got lstm-65-*, expected patterns of the names that --list prints" in result.stderr
