from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from lyapunov_pkg import SpectrumMonitor, lyapunov_spectrum, submodule_inputs

N_UPDATES = 6


class Model(torch.nn.Module):
    """A recurrent layer between other layers whose state a monitor could change."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(7, 4)
        self.norm = torch.nn.BatchNorm1d(4)
        self.rnn = getattr(torch.nn, kind)(4, 6, 2, batch_first=True, dropout=0.3)
        self.readout = torch.nn.Linear(6, 7)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.embedding(tokens).transpose(1, 2)).transpose(1, 2)
        return self.readout(torch.nn.functional.dropout(self.rnn(x)[0], 0.2, self.training))


def trained(
    kind: str, watch: Callable[[Model], SpectrumMonitor] | None
) -> tuple[Model, list[Any], SpectrumMonitor | None]:
    """Return a model after some updates with random batches, and all that a monitor must not change."""
    torch.manual_seed(0)
    model = Model(kind).train()
    model.embedding.weight.requires_grad_(False)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    monitor = watch(model) if watch is not None else None
    losses = []
    for update in range(N_UPDATES):
        tokens = torch.randint(0, 7, (5, 12))
        loss = torch.nn.functional.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
        if monitor is not None:
            monitor(loss, epoch=update / 3)
    gradients = [parameter.grad for parameter in model.parameters()]
    flags = [parameter.requires_grad for parameter in model.parameters()]
    modes = [part.training for part in model.modules()]
    state = copy.deepcopy(model.state_dict())
    return model, [losses, gradients, flags, modes, state, torch.get_rng_state()], monitor


def of_embedded(model: Model, **options: Any) -> SpectrumMonitor:
    """Return a monitor of the recurrent layer, whose inputs come from fixed tokens through the previous layers."""
    tokens = torch.arange(40).reshape(2, 20) % 7
    return SpectrumMonitor(
        model.rnn, lambda: submodule_inputs(model, "rnn", tokens), every=2, n_exponents=5, warmup=3, **options
    )


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(np.array_equal(one, other))


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_training_with_a_monitor_gives_the_same_bits(kind: str) -> None:
    _, without, _ = trained(kind, None)
    _, beside, _ = trained(kind, of_embedded)
    assert equal(without, beside)


def test_spectra_agree_with_lyapunov_spectrum_at_the_same_update() -> None:
    model, (losses, *_), monitor = trained("LSTM", of_embedded)
    result = monitor.dataset()
    assert result["update"].values.tolist() == [0, 2, 4, 6]
    np.testing.assert_allclose(result["epoch"], [np.nan, 1 / 3, 1, 5 / 3])
    np.testing.assert_array_equal(result["loss"], [np.nan, *(losses[update].item() for update in (1, 3, 5))])
    assert not result["diverged"].any()
    inputs = submodule_inputs(model, "rnn", torch.arange(40).reshape(2, 20) % 7)
    last = lyapunov_spectrum(model.rnn, inputs, n_exponents=5, warmup=3)
    found = result["lyapunov_exponent"].isel(update=-1)
    np.testing.assert_array_equal(found, last["lyapunov_exponent"])
    assert found.dims == ("sequence", "exponent") and found.attrs["units"] == "nat/step"
    assert all({"units", "long_name"} <= set(result[name].attrs) for name in result.variables)
    assert (result["lyapunov_exponent"][0] != result["lyapunov_exponent"][-1]).all()


def test_loss_and_epoch_are_optional() -> None:
    module, inputs = torch.nn.GRU(2, 3), torch.randn(10, 1, 2)
    monitor = SpectrumMonitor(module, inputs, every=1)
    monitor()
    result = monitor.dataset()
    assert np.isnan(result["loss"]).all() and "epoch" not in result.coords


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_weights_give_nan_and_a_flag(value: float) -> None:
    module, inputs = torch.nn.LSTM(2, 3), torch.randn(10, 1, 2)
    monitor = SpectrumMonitor(module, inputs, every=1)
    monitor(1.0)
    torch.nn.init.constant_(module.weight_hh_l0, value)
    monitor(value)
    result = monitor.dataset()
    assert result["diverged"].values.tolist() == [False, False, True]
    assert np.isnan(result["lyapunov_exponent"][-1]).all() and np.isfinite(result["lyapunov_exponent"][:-1]).all()


class Own(torch.nn.Module):
    """A step (x, state) -> state that grows without bounds."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(3, 3))

    def forward(self, x: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        return torch.relu(state @ self.weight + x)


class Autonomous(Own):
    """A bounded step (state) -> state without inputs."""

    def forward(self, state: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return torch.tanh(state @ self.weight)


@pytest.mark.parametrize("size", [1e10, 1e38])
def test_huge_weights_of_a_user_defined_module_give_a_flag(size: float) -> None:
    module = Own()
    monitor = SpectrumMonitor(module, torch.randn(2, 30, 3), every=1, initial_state=torch.ones(2, 3))
    torch.nn.init.constant_(module.weight, size)
    monitor(1.0)
    assert monitor.dataset()["diverged"].values.tolist() == [False, True]


def test_an_autonomous_module_needs_no_inputs() -> None:
    module = Autonomous()
    monitor = SpectrumMonitor(module, every=1, n_steps=50, initial_state=torch.ones(1, 3))
    monitor()
    exponents = monitor.dataset()["lyapunov_exponent"]
    np.testing.assert_array_equal(exponents[0], exponents[1])


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("size", [1e10, 1e38])
def test_huge_weights_raise_no_error(kind: str, size: float) -> None:
    options = {"nonlinearity": "relu"} if kind == "RNN" else {}
    module, inputs = getattr(torch.nn, kind)(2, 3, **options), torch.randn(10, 1, 2)
    monitor = SpectrumMonitor(module, inputs, every=1)
    for parameter in module.parameters():
        torch.nn.init.constant_(parameter, size)
    monitor(1.0)
    assert monitor.dataset().sizes["update"] == 2


def test_non_finite_inputs_give_nan_and_a_flag() -> None:
    embedding = torch.nn.Embedding(3, 2)
    monitor = SpectrumMonitor(torch.nn.RNN(2, 3), lambda: embedding(torch.arange(3)[:, None]), every=1)
    torch.nn.init.constant_(embedding.weight, float("nan"))
    monitor(1.0)
    assert monitor.dataset()["diverged"].values.tolist() == [False, True]


def test_inputs_may_be_created_with_random_numbers() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    SpectrumMonitor(torch.nn.RNN(2, 3), lambda: torch.randn(5, 1, 2), every=1)
    torch.manual_seed(0)
    torch.nn.RNN(2, 3)
    after_module = torch.get_rng_state()
    torch.set_rng_state(before)
    SpectrumMonitor(torch.nn.RNN(2, 3), lambda: torch.randn(5, 1, 2), every=1)
    assert torch.equal(torch.get_rng_state(), after_module)


class RecordingWriter:
    """The methods of a SummaryWriter that a monitor uses."""

    def __init__(self) -> None:
        self.scalars: list[tuple[str, float, int]] = []
        self.histograms: list[tuple[str, np.ndarray, int]] = []

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        self.scalars.append((tag, scalar_value, global_step))

    def add_histogram(self, tag: str, values: np.ndarray, global_step: int) -> None:
        assert np.isfinite(values).all()  # TensorBoard accepts no other types.
        self.histograms.append((tag, values, global_step))


def test_means_over_sequences_are_written_to_tensorboard() -> None:
    writer = RecordingWriter()
    module, inputs = torch.nn.GRU(2, 3), torch.randn(10, 4, 2)
    monitor = SpectrumMonitor(module, inputs, every=1, writer=writer)
    torch.nn.init.constant_(module.weight_hh_l0, float("nan"))
    monitor(1.0)
    first = monitor.dataset()["lyapunov_exponent"][0].mean("sequence").values
    assert [(tag, step) for tag, _, step in writer.scalars] == [
        (f"lyapunov/{name}_exponent", step) for step in (0, 1) for name in ("maximum", "mean")
    ]
    np.testing.assert_allclose([value for _, value, _ in writer.scalars], [first[0], first.mean(), np.nan, np.nan])
    ((tag, values, step),) = writer.histograms
    assert (tag, step) == ("lyapunov/exponents", 0)
    np.testing.assert_allclose(values, first)


def test_tensorboard_accepts_the_values(tmp_path) -> None:
    tensorboard = pytest.importorskip("torch.utils.tensorboard", reason="tensorboard is not installed")
    with tensorboard.SummaryWriter(tmp_path) as writer:
        SpectrumMonitor(torch.nn.GRU(2, 3), torch.randn(10, 4, 2), every=1, writer=writer)
    assert any(tmp_path.iterdir())


def test_the_monitor_can_plot_its_spectra() -> None:
    ax = Figure().subplots()
    _, _, monitor = trained("GRU", of_embedded)
    assert monitor.plot(ax) is ax
    means = monitor.dataset()["lyapunov_exponent"].mean("sequence")
    np.testing.assert_allclose(ax.lines[1].get_ydata(), means.sel(exponent=2), rtol=1e-6)


def test_wrong_arguments_are_found_before_training() -> None:
    module, inputs = torch.nn.GRU(2, 3), torch.randn(10, 4, 2)
    with pytest.raises(TypeError, match=r"module: got function, expected a torch.nn.Module"):
        SpectrumMonitor(lambda state, x: state, inputs, every=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="every: got 0, expected a number of updates"):
        SpectrumMonitor(module, inputs, every=0)
    with pytest.raises(TypeError, match="differentiable: a monitor does not accept"):
        SpectrumMonitor(module, inputs, every=1, differentiable=True)
    with pytest.raises(ValueError, match="n_exponents"):
        SpectrumMonitor(module, inputs, every=1, n_exponents=9)
    with pytest.raises(ValueError, match="inputs"):
        SpectrumMonitor(module, torch.randn(10, 4, 5), every=1)
