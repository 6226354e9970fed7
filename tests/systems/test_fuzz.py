"""Many combinations of arguments: the result agrees with an independent reference, or the error names an argument."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from lyapunov_pkg.spectra.tangents import drawn_tangents
from tests.systems.reference import FEATURES, UNITS, by_lapack, exponents, own_step, random

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

N_CASES, SECONDS_AT_MOST = 2000, 60
B, T = 2, 5
Draw = np.random.Generator
WEIGHT, INPUT_WEIGHT = 1.2 * random(UNITS, UNITS), random(UNITS, FEATURES, seed=1)


KINDS = ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell", "step", "swapped", "pair", "own", "alone")


@dataclass
class Case:
    """A call and its expected result.

    Attributes:
        name: kind of the system.
        system: the system under test.
        step: step of the system on a state (S,), for the reference.
        size: S.
        takes: axes of the inputs by their first letters; "" for an autonomous system.
        state_forms: functions from a state (B, S) to the accepted forms; the last one is also for one sequence.
        starts_from_zeros: whether the system needs no initial state.
        arguments: arguments of the call.
        wrong: names of the arguments that must be refused.
    """

    name: str
    system: Any
    step: Callable[[Tensor, Tensor], Tensor]
    size: int
    takes: str
    state_forms: list[Callable[[Tensor], Any]]
    starts_from_zeros: bool = True
    arguments: dict[str, Any] = field(default_factory=dict)
    wrong: set[str] = field(default_factory=set)


def tanh(state: Tensor, x: Tensor) -> Tensor:
    return torch.tanh(state @ WEIGHT.to(state).T + x @ INPUT_WEIGHT.to(state).T)


def of_pair(state: tuple[Tensor, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    return tanh(state[0], x), 0.5 * state[1] + state[0]


def pair_of_vector(state: Tensor, x: Tensor) -> Tensor:
    return torch.cat(of_pair((state[:UNITS], state[UNITS:]), x))


def alone(state: Tensor) -> Tensor:
    return torch.tanh(state @ WEIGHT.to(state).T) + 0.1


class Own(torch.nn.Module):
    """A user-defined step that returns (output, state)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.input_weight = torch.nn.Parameter(WEIGHT.clone()), torch.nn.Parameter(INPUT_WEIGHT.clone())

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        state = torch.tanh(state @ self.weight.T + x @ self.input_weight.T)
        return state.sum(-1), state


def built_case(draw: Draw) -> Case:
    """Return a case with a system of a random kind."""
    kind = draw.choice(
        ["RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell", "step", "swapped", "pair", "own", "alone"]
    )
    torch.manual_seed(int(draw.integers(3)))
    flat = [lambda s: s, lambda s: s.numpy(), lambda s: s.tolist()]
    if kind in ("RNN", "LSTM", "GRU"):
        layers, batch_first = int(draw.integers(1, 3)), bool(draw.integers(2))
        module = getattr(torch.nn, kind)(FEATURES, UNITS, num_layers=layers, batch_first=batch_first).double()
        n_parts = 2 if kind == "LSTM" else 1

        def own_form(state: Tensor) -> Any:
            parts = state.reshape(len(state), layers, n_parts, UNITS).permute(2, 1, 0, 3)
            return tuple(parts) if n_parts == 2 else parts[0]

        size = layers * n_parts * UNITS
        return Case(kind, module, own_step(module), size, "btf" if batch_first else "tbf", [own_form, *flat])
    if kind.endswith("Cell"):
        cell = getattr(torch.nn, kind)(FEATURES, UNITS).double()
        is_lstm = kind == "LSTMCell"
        forms = [lambda s: (s[:, :UNITS], s[:, UNITS:]), *flat] if is_lstm else flat
        system = [cell, cell.forward][draw.integers(2)]
        return Case(kind, system, own_step(cell), UNITS * (1 + is_lstm), "btf", forms)
    if kind == "pair":
        forms = [lambda s: (s[:, :UNITS], s[:, UNITS:]), lambda s: (s[:, :UNITS].numpy(), s[:, UNITS:])]
        return Case(kind, of_pair, pair_of_vector, 2 * UNITS, "btf", forms, starts_from_zeros=False)
    if kind == "alone":
        return Case(kind, alone, lambda s, _: alone(s), UNITS, "", flat, starts_from_zeros=False)
    systems = {"step": tanh, "swapped": lambda x, state: tanh(state, x), "own": Own().double()}
    return Case(kind, systems[kind], tanh, UNITS, "btf", flat, starts_from_zeros=False)


def bad_numbers(values: Tensor, draw: Draw) -> Any:
    """Return numbers of a type, shape or size that every function refuses."""
    return [
        lambda: "numbers",
        lambda: {"a": 1},
        lambda: values + 0j,
        lambda: np.ma.masked_array(values.numpy(), values.numpy() > 1),
        lambda: values.to_sparse(),
        lambda: values.to("meta"),
        lambda: values * float("nan"),
        lambda: values[None, None, None],
        lambda: values.numpy().astype(object),
        lambda: [[1.0], [1.0, 2.0]],
        lambda: [torch.zeros(2), torch.zeros(3)],
        lambda: torch.nn.utils.rnn.pack_sequence([torch.ones(3, 3), torch.ones(2, 3)]),
        lambda: object(),
        lambda: values.to(torch.float8_e4m3fn),
        lambda: values[..., :0] if values.shape[-1] else "numbers",
    ][draw.integers(15)]()


def form_of_numbers(values: Tensor, draw: Draw) -> tuple[Any, Tensor]:
    """Return values in some form, and the same values in float64 after the rounding of this form."""
    form = int(draw.integers(8))
    single = values.float()
    forms = [
        values,
        values.numpy(),
        values.numpy().astype(">f8"),
        values.tolist(),
        list(values),
        single,
        single.numpy(),
    ]
    if form == 7:
        return values.bfloat16(), values.bfloat16().double()
    return forms[form], single.double() if form > 4 else values


def add_inputs(case: Case, draw: Draw) -> tuple[Tensor, bool]:
    """Add inputs in some form to a case; return them as (B, T, F) in float64, and whether they have a batch axis."""
    values, batched = random(B, T, FEATURES, seed=int(draw.integers(3))), True
    if not case.takes:
        case.arguments["n_steps"] = T
        if draw.random() < 0.15:
            case.arguments["n_steps"] = [0, -1, 2.5, "5", True, None, [5]][draw.integers(7)]
            case.wrong |= {"n_steps", "inputs"}
        return torch.zeros(B, T, 0, dtype=torch.float64), True
    if draw.random() < 0.15:
        bad = bad_numbers(values, draw)
        # A function may accept any number of features, so the error may name the system instead.
        is_of_it = isinstance(bad, Tensor) and bad.shape == (B, T, 0) and not case.starts_from_zeros
        case.arguments["inputs"], case.wrong = bad, case.wrong | ({"inputs", "system"} if is_of_it else {"inputs"})
        return values, True
    if draw.random() < 0.1:
        case.arguments["n_steps"], case.wrong = T, case.wrong | {"n_steps"}
    if draw.random() < 0.15:
        order = draw.permutation(3)
        names = np.array(["sequence", "time", "feature"])[order]
        if draw.random() < 0.3:
            names[draw.integers(3)], case.wrong = "batch", case.wrong | {"inputs"}
        case.arguments["inputs"] = xr.DataArray(values.numpy().transpose(order), dims=list(names))
        return values, True
    shaped = values.permute(1, 0, 2) if case.takes == "tbf" else values
    if case.name in ("RNN", "LSTM", "GRU") or case.name.endswith("Cell"):
        batched = draw.random() < 0.8
        shaped, values = (shaped, values) if batched else (values[0], values[:1])
    case.arguments["inputs"], found = form_of_numbers(shaped, draw)
    if not batched:
        return found[None], False
    return (found.permute(1, 0, 2) if case.takes == "tbf" else found), True


def add_state(case: Case, n_sequences: int, batched: bool, draw: Draw) -> Tensor:
    """Add an initial state in some form and return it as (B, S) in float64."""
    if draw.random() < 0.12:
        bad = bad_numbers(random(B, case.size), draw)
        # A user-defined step may have states of any shape.
        is_right = isinstance(bad, Tensor) and bad.ndim == 5 and not case.starts_from_zeros
        case.arguments["initial_state"] = "numbers" if is_right else bad
        # A user-defined step may accept any state, so the error about a wrong state names the step.
        case.wrong |= {"initial_state"} if case.starts_from_zeros else {"initial_state", "system"}
        return torch.zeros(n_sequences, case.size, dtype=torch.float64)
    if draw.random() < 0.4:
        if not case.starts_from_zeros:
            case.wrong |= {"initial_state"}
        return torch.zeros(n_sequences, case.size, dtype=torch.float64)
    state = 0.3 * random(n_sequences, case.size, seed=5)
    flat = case.state_forms[-1]
    form = case.state_forms[draw.integers(len(case.state_forms))] if batched else flat
    case.arguments["initial_state"] = form(state)
    return state


OPTIONS: dict[str, tuple[list[Any], list[Any]]] = {
    "n_exponents": ([None, 1, 2, np.int64(3)], [0, 99, True, 2.0, "2", [1], -1]),
    "warmup": ([0, 1, np.int32(2)], [T, -1, True, None, "1", 1.0, np.array([1, 2])]),
    "orthonormalize_every": ([1, 1, 2, np.int64(3)], [0, True, None, 1.5, "often", -2]),
    "dtype": ([None, torch.float64, torch.float64], [torch.float16, "float64", np.float64, torch.int64, 3]),
    "device": ([None, "cpu", torch.device("cpu")], ["gpu", "meta", 3, "cuda:77"]),
    "jacobian": (["full"], ["hidden", None, 1, ["full"]]),
    "differentiable": ([False, True], ["yes", 1, None]),
}


def add_options(case: Case, draw: Draw) -> None:
    for name, (right, wrong) in OPTIONS.items():
        chance = draw.random()
        if chance < 0.05:
            case.arguments[name] = wrong[draw.integers(len(wrong))]
            case.wrong |= {name}
        elif chance < 0.5:
            case.arguments[name] = right[draw.integers(len(right))]


def reference(case: Case, inputs: Tensor, state: Tensor) -> np.ndarray:
    k = case.arguments.get("n_exponents")
    warmup, of_each = int(case.arguments.get("warmup", 0)), list(zip(inputs, state, strict=True))
    if k is not None and k != case.size:
        tangents = drawn_tangents(case.size, int(k)).numpy()
        return np.stack([by_lapack(case.step, x, start, tangents, warmup) for x, start in of_each])
    # For all exponents of a stack of layers, the reference uses the diagonal blocks; see `reference.of_module`.
    layers = np.split(np.arange(case.size), getattr(case.system, "num_layers", 1))
    spectra = [[by_lapack(case.step, x, start, None, warmup, rows) for rows in layers] for x, start in of_each]
    return np.sort(np.stack([np.concatenate(of_layers) for of_layers in spectra]))[:, ::-1]


@contextmanager
def no_longer_than(seconds: int) -> Iterator[None]:
    def late(*_: Any) -> None:
        raise AssertionError(f"took longer than {seconds} seconds")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


@pytest.mark.parametrize("block", range(20))
def test_every_combination_is_correct_or_its_error_names_the_argument(block):
    n_right = 0
    for seed in range(block * N_CASES // 20, (block + 1) * N_CASES // 20):
        draw = np.random.default_rng(seed)
        case = built_case(draw)
        inputs, batched = add_inputs(case, draw)
        state = add_state(case, len(inputs), batched, draw)
        if not case.takes and "initial_state" in case.arguments and "initial_state" not in case.wrong:
            inputs = inputs[: len(state)]
        add_options(case, draw)
        context = f"seed {seed}: {case.name}, {case.arguments}, wrong: {case.wrong}"
        try:
            with no_longer_than(SECONDS_AT_MOST):
                found = exponents(case.system, **case.arguments)
        except (TypeError, ValueError) as error:
            named = re.match(r"(\w+)(\[.*?\])*: ", str(error))
            assert named and named.group(1) in case.wrong, f"{context}: {error}"
            continue
        except Exception as error:
            raise AssertionError(f"{context}: {type(error).__name__}: {error}") from error
        assert not case.wrong, f"{context}: not refused"
        np.testing.assert_allclose(found, reference(case, inputs, state), atol=2e-3, rtol=1e-3, err_msg=context)
        n_right += 1
    assert n_right >= 20
