"""The GPU benchmark gives correct results on the CPU, and both programs of the training benchmark train alike."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import gpu

    return gpu


@pytest.mark.parametrize("architecture", ["rnn", "lem"])
def test_spectra_from_tensor_operations_agree_with_the_kernels(gpu: ModuleType, architecture: str) -> None:
    size = gpu.Size(networks=2, units=5, batches=1, sequences=2)
    contest = gpu.spectra(architecture, size, torch.device("cpu"))
    results = {name: call() for name, call in contest.calls.items()}
    (found,) = contest.differences(results).values()
    assert found["leading half"] < 1e-5
    assert found["all"] < 1e-3
    facts = contest.facts(results)
    assert facts["synchronizations with the host"] == 2  # one per block of 28 steps
    assert facts["share"] == pytest.approx(2 * 2 / (200 * 11 * 128))


def test_it_prints_its_tables_and_writes_its_record(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    import record

    path = tmp_path / "gpu.json"
    small = ["--units", "4", "--batches", "1", "--sequences", "2", "--rounds", "1", "--architectures", "rnn"]
    monkeypatch.setattr(sys, "argv", ["gpu.py", *small, "--output", str(path)])
    assert gpu.main() == 0
    assert "| rnn 2 × 4 units × 2 × 56 | " in capsys.readouterr().out
    assert [case["name"] for case in record.read(path)["cases"]] == ["training-rnn", "spectra-rnn"]


@pytest.mark.parametrize("architecture", ["gru", "noisy"])
def test_both_programs_of_the_training_benchmark_have_the_same_losses(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, architecture: str
) -> None:
    import training

    monkeypatch.setattr(training, "N_BATCHES", 1)
    monkeypatch.setitem(training.SIZES, "digits", (3, 4, 5))
    contest = training.case(architecture, "digits", width=2, rounds=1).build({})
    results = {name: call() for name, call in contest.calls.items()}
    assert contest.differences(results)["lyapunov_pkg"]["loss"] < 1e-5
    assert contest.facts(results) == {"peer is": "torch.nn" if architecture == "gru" else "eager loop"}
