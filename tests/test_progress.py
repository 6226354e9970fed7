from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
import torch

from lyapunov_pkg import finite_time_exponents, lyapunov_spectrum
from lyapunov_pkg.progress import steps_bar
from lyapunov_pkg.systems import Henon


class Terminal:
    """A standard error stream that claims to be a terminal."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("function", [lyapunov_spectrum, finite_time_exponents])
def test_a_log_has_a_progress_bar_only_on_request(function, capsys):
    function(Henon(), n_steps=5)
    function(Henon(), n_steps=5, progress=False)
    assert capsys.readouterr().err == ""
    function(Henon(), n_steps=5, progress=True)
    assert "5/5" in capsys.readouterr().err


@pytest.mark.parametrize(("seconds", "show", "appears"), [(0.0, None, False), (2.3, None, True), (2.3, False, False)])
def test_a_terminal_has_a_progress_bar_after_two_seconds(seconds, show, appears, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with steps_bar(10, "exponents", show) as advanced:
        advanced(1)
        time.sleep(seconds)
        advanced(1)
        advanced(1)
    assert ("exponents" in terminal.text) == appears


INTERRUPTED = """
import time, torch
from lyapunov_pkg import lyapunov_spectrum
torch.manual_seed(0)
{system}
lyapunov_spectrum(system, inputs[:, :20], **settings)  # the kernels are compiled
print("ready", flush=True)
try:
    lyapunov_spectrum(system, inputs, **settings)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""

LONG_WORK = {
    "kernels": "system, inputs, settings = torch.nn.LSTM(3, 96), torch.randn(2, 200_000, 3), {}",
    "one large matrix": "system, inputs, settings = torch.nn.RNN(3, 320), torch.randn(1, 200_000, 3), {}",
    "automatic intervals": (
        "system, inputs = torch.nn.LSTM(3, 96), torch.randn(2, 200_000, 3); settings = {'orthonormalize_every': 'auto'}"
    ),
    "a step function": (
        "system, inputs = lambda state, x: state.tanh(), torch.zeros(2, 1_000_000, 1)\n"
        "settings = {'initial_state': torch.ones(2, 3)}"
    ),
}


@pytest.mark.parametrize("work", LONG_WORK)
@pytest.mark.parametrize("n_threads", [1, 2])
def test_an_interrupt_stops_the_computation_immediately(work, n_threads):
    """The computation would take minutes, and a single kernel call for all steps about 20 seconds.

    Two threads share one large matrix.
    """
    program = f"import torch; torch.set_num_threads({n_threads})" + INTERRUPTED.format(system=LONG_WORK[work])
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(1.0)
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            sent = time.monotonic()
            assert process.stdout.readline() == "interrupted\n"
            # It takes about a quarter of a second on one core; the limit is higher because other tests run at the same
            # time.
            assert time.monotonic() - sent < 5.0
        finally:
            process.kill()


def test_automatic_mixed_precision_changes_nothing():
    torch.manual_seed(0)
    rnn, inputs = torch.nn.RNN(3, 32), torch.randn(4, 60, 3)

    def results() -> list[torch.Tensor]:
        spectrum = lyapunov_spectrum(rnn, inputs, n_exponents=8)["lyapunov_exponent"].values
        local = finite_time_exponents(rnn, inputs, n_exponents=8)["finite_time_exponent"].values
        return [
            torch.tensor(spectrum),
            torch.tensor(local),
            lyapunov_spectrum(rnn, inputs, differentiable=True).detach(),
        ]

    plain = results()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = results()
    for one, other in zip(plain, cast, strict=True):
        assert torch.equal(one, other)
