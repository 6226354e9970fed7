"""User-defined steps as programs: which are converted, which are refused, and agreement with PyTorch."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor

from lyapunov_pkg.linalg import straight_line
from lyapunov_pkg.linalg.program import Program
from lyapunov_pkg.linalg.stepping import SteppedFlow
from lyapunov_pkg.systems.steps import DifferentiatedStep
from lyapunov_pkg.systems.tracing import program_of

GENERATOR = torch.Generator().manual_seed(3)
MATRIX = torch.randn(4, 4, dtype=torch.float64, generator=GENERATOR)
WIDE = torch.randn(4, 10, dtype=torch.float64, generator=GENERATOR)
ROW = torch.randn(4, dtype=torch.float64, generator=GENERATOR)
STATES = torch.randn(5, 4, dtype=torch.float64, generator=GENERATOR)
INPUTS = torch.randn(5, 2, dtype=torch.float64, generator=GENERATOR)

Step = Callable[[Tensor, Tensor], Tensor]


def flows_of(program: Program, states: Tensor, tangents: Tensor) -> Iterator[SteppedFlow]:
    """Yield the flows that run a program: interpreted, and as machine code if the program is small."""
    for most_operations in (0, straight_line.MOST_OPERATIONS):
        with mock.patch.object(straight_line, "MOST_OPERATIONS", most_operations):
            flow = SteppedFlow(program, torch.zeros(1, 0), states, tangents)
        assert most_operations or flow.machine_code is None
        yield flow


def assert_agrees(step: Step, states: Tensor = STATES, inputs: Tensor = INPUTS, rounding: float = 1e-13) -> None:
    """Assert that a step is converted to a program that propagates states and tangent vectors like PyTorch."""
    program = program_of(step, step, states, inputs)
    assert program is not None
    tangents = torch.randn(*states.shape, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5)).to(states)
    after, moved = DifferentiatedStep(step).push_forward(states, inputs, tangents)
    for flow in flows_of(program, states, tangents):
        flow.drive(inputs[:, None])
        along = flow.states_along(inputs[:, None])
        flow.advance([False])
        torch.testing.assert_close(flow.states, after, rtol=rounding, atol=rounding, equal_nan=True)
        # The bits of both runs of the program agree, so PyTorch was compared with the trajectory that is actually used.
        torch.testing.assert_close(along[:, 1], flow.states, rtol=0, atol=0, equal_nan=True)
        torch.testing.assert_close(flow.tangents(), moved, rtol=rounding, atol=rounding, equal_nan=True)


def is_refused(step: Step, states: Tensor = STATES, inputs: Tensor = INPUTS) -> bool:
    """Return whether a step cannot be converted to a program."""
    return program_of(step, step, states, inputs) is None


ELEMENTWISE: dict[str, Callable[[Tensor], Tensor]] = {
    **{
        name: getattr(torch, name)
        for name in (
            *("neg", "abs", "sign", "floor", "reciprocal", "exp", "expm1", "sin", "cos", "tan", "tanh", "sinh", "cosh"),
            *("atan", "erf", "sigmoid", "relu", "square"),
        )
    },
    "silu": torch.nn.functional.silu,
    "leaky_relu": torch.nn.functional.leaky_relu,
    "hardtanh": torch.nn.functional.hardtanh,
    "gelu": torch.nn.functional.gelu,
    "gelu by tanh": lambda s: torch.nn.functional.gelu(s, approximate="tanh"),
    "elu": lambda s: torch.nn.functional.elu(s, alpha=0.7),
    "celu": torch.nn.functional.celu,  # PyTorch rounds the derivative to float32 unless alpha is 1.
    "selu": torch.nn.functional.selu,
    "softplus": lambda s: torch.nn.functional.softplus(s, beta=2, threshold=3) + torch.nn.functional.softplus(50 * s),
    "mish": lambda s: torch.nn.functional.mish(s) + torch.nn.functional.mish(800 * s),
    "relu6": torch.nn.functional.relu6,
    "glu": lambda s: torch.nn.functional.glu(torch.cat((s, s.sin()), -1)),
    "sqrt": lambda s: s.square().add(0.5).sqrt(),
    "rsqrt": lambda s: (s * s + 0.5).rsqrt(),
    "log": lambda s: torch.log(s**2 + 0.1),
    "log1p": lambda s: torch.log1p(s.abs()),
    "cube": lambda s: s**3,
    "inverse power": lambda s: s**-2,
    "odd power": lambda s: (s.abs() + 0.1) ** 1.7,
    "power of constants": lambda s: s.exp() ** ROW,
    "mod": lambda s: (2.3 * s + 0.1) % 1.0,
    "mod of a tensor": lambda s: torch.remainder(s, ROW.abs()),
    "subtracted": lambda s: 1 - s - ROW,
    "divided": lambda s: s / ROW + 2 / (s + 7),
    "alpha": lambda s: torch.add(s, s.sin(), alpha=0.3) - torch.sub(s, ROW, alpha=2),
    "clamp": lambda s: s.clamp(-0.4, 0.6),
    "clamp below": lambda s: s.clamp(min=-0.2) + s.clamp_max(0.3),
    "maximum": lambda s: torch.maximum(s, ROW) + torch.minimum(s.sin(), s.cos()),
    "where": lambda s: torch.where(s > 0, s.sin(), ROW) + torch.where(s <= 0.5, 0.0, s),
    "masks": lambda s: torch.where((s > 0) & ~(s > 1) | (s == -2), s, -s),
    "mask as factor": lambda s: s * (s > 0).to(s.dtype) + s * (s < 0.5),
    "masked fill": lambda s: s.masked_fill(s.abs() > 0.7, 0.7),
    "where beside what is not chosen": lambda s: torch.where(s > 0, torch.log(s), 0.1 * s),
    "atan2": lambda s: torch.atan2(s, s.roll(1, -1) + 0.1),
    "lerp": lambda s: torch.lerp(s, s.sin(), 0.3),
    "addcmul": lambda s: torch.addcmul(s, s.cos(), s.sin(), value=0.2),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_element_wise_functions(name: str) -> None:
    """The values and derivatives agree with PyTorch."""
    assert_agrees(lambda s, x: ELEMENTWISE[name](s))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_machine_code_propagates_any_number_of_vectors(dtype: torch.dtype) -> None:
    """It agrees with the interpreter, for one trajectory and for several. In float32 slopes round differently."""
    states, inputs = STATES.to(dtype), INPUTS.to(dtype)
    step = _small_step
    program = program_of(step, step, states, inputs)
    assert program is not None
    for n_tangents in (1, 2, 3, 4, 5, 9, 17):
        tangents = torch.randn(5, 4, n_tangents, generator=torch.Generator().manual_seed(2)).to(dtype)
        interpreted, machine = flows_of(program, states, tangents)
        assert machine.machine_code is not None
        for flow in (interpreted, machine):
            flow.drive(inputs[:, None].expand(-1, 3, -1))
            flow.advance([False] * 3)
        rounding = 100 * torch.finfo(dtype).eps
        torch.testing.assert_close(machine.states, interpreted.states, rtol=rounding, atol=rounding)
        torch.testing.assert_close(machine.tangents(), interpreted.tangents(), rtol=rounding, atol=rounding)
        alone = SteppedFlow(program, torch.zeros(1, 0), states[3:4], tangents[3:4])
        alone.drive(inputs[3:4, None].expand(-1, 3, -1))
        alone.advance([False] * 3)
        assert torch.equal(alone.states[0], machine.states[3])
        assert torch.equal(alone.tangents()[0], machine.tangents()[3])


def test_machine_code_is_shared_by_programs_with_other_constants() -> None:
    """The machine code reads the constants at run time, so programs that differ only in constants share the code."""
    found = []
    for factor in (0.5, 0.25):
        program = program_of(lambda s, x, factor=factor: factor * s, torch.tanh, STATES, INPUTS)
        assert program is not None
        flow = SteppedFlow(program, torch.zeros(1, 0), STATES, STATES[..., None])
        flow.drive(INPUTS[:, None])
        flow.advance([False])
        assert torch.equal(flow.states, factor * STATES)
        assert torch.equal(flow.tangents()[..., 0], factor * STATES)
        found.append(flow.machine_code)
    assert found[0] is not None and found[0] is found[1]


def _small_step(s: Tensor, x: Tensor) -> Tensor:
    h = s[:, :3] @ MATRIX[:3, :3].to(s.dtype) + x.sum(-1, keepdim=True)
    return torch.cat((torch.tanh(h), torch.where(s[:, 3:] > 0, s[:, 3:] / 2, h[:, :1] * s[:, 3:] - s[:, :1])), dim=-1)


@pytest.mark.parametrize(
    "name",
    [
        *("abs", "sign", "relu", "leaky_relu", "hardtanh", "clamp", "maximum", "where", "masks"),
        *("elu", "celu", "selu", "relu6"),
    ],
)
def test_derivatives_at_kinks_agree_with_pytorch(name: str) -> None:
    """The values are zeros, bounds and ties."""
    kinks = torch.tensor([[0.0, 1.0, -1.0, 0.6], [-0.4, 0.5, -2.0, 0.0]], dtype=torch.float64)
    assert_agrees(lambda s, x: ELEMENTWISE[name](s), kinks, INPUTS[:2])


def test_ties_of_a_maximum_share_the_derivative() -> None:
    """PyTorch gives each of two equal arguments half of the derivative."""
    assert_agrees(lambda s, x: torch.maximum(s, s.flip(-1)) + torch.minimum(2 * s, s + s), STATES)


def _attention(s: Tensor, x: Tensor) -> Tensor:
    tokens = s.reshape(-1, 2, 2)
    weights = torch.softmax(tokens @ tokens.mT, dim=-1)
    return (weights @ tokens).flatten(1)


def _in_place(s: Tensor, x: Tensor) -> Tensor:
    moved = s.clone()
    moved.mul_(0.5).add_(ROW)
    moved[:, :2].tanh_()
    return moved


COMBINED: list[Callable[[Tensor, Tensor], Tensor]] = [
    *(torch.add, torch.sub, torch.mul, torch.maximum, torch.minimum),
    lambda a, b: a / (1.5 + b * b),
    lambda a, b: torch.where(a > b, a, b * 0.5),
    lambda a, b: torch.atan2(a, 1 + b * b),
    lambda a, b: torch.softmax(a, -1) * b,
    lambda a, b: a @ MATRIX + b.roll(1, -1),
    lambda a, b: torch.tanh(a) - b.mean(-1, keepdim=True),
    lambda a, b: torch.cat((a[:, :2], b.abs()[:, 2:]), -1),
]


@pytest.mark.parametrize("seed", range(30))
def test_random_compositions(seed: int) -> None:
    """A step applies eight random operations to earlier results."""
    rng = np.random.default_rng(seed)
    chosen = [(rng.integers(len(COMBINED)), rng.integers(i), rng.integers(i)) for i in range(2, 10)]

    def step(s: Tensor, x: Tensor) -> Tensor:
        values = [s, s * x[:, :1]]
        for operation, first, second in chosen:
            values.append(COMBINED[operation](values[first], values[second]))
        return torch.tanh(values[-1] + values[-2]) + 0.5 * s

    assert_agrees(step, rounding=1e-9)


STEPS: dict[str, Step] = {
    "linear": lambda s, x: s @ MATRIX,
    "column vectors": lambda s, x: (MATRIX @ s.T).T,
    "linear and bias": lambda s, x: torch.nn.functional.linear(s, MATRIX, ROW),
    "driven": lambda s, x: torch.tanh(s @ MATRIX + x @ WIDE[:2, :4] + x.sum(dim=-1, keepdim=True)),
    "product by the input": lambda s, x: s * x[:, :1] - x[:, 1:],
    "two layers": lambda s, x: torch.tanh(torch.tanh(s @ WIDE) @ WIDE.T),
    "part of the state": lambda s, x: torch.cat((s[:, ::2] @ MATRIX[:2], s[:, 1:3] * 0.1), dim=-1)[:, :4],
    "constant coordinates": lambda s, x: torch.stack((s[:, 0], s[:, 1] * 0, x[:, 0], torch.full_like(x[:, 0], 2)), -1),
    "permuted": lambda s, x: s[:, [3, 0, 2, 1]],
    "index tensor": lambda s, x: s.index_select(1, torch.tensor([1, 1, 0, 2])),
    "roll and flip": lambda s, x: s.roll(1, -1) * s.flip(-1) - s.roll(-2, -1),
    "unbind and stack": lambda s, x: torch.stack([a * b for a, b in zip(s.unbind(-1), s.T, strict=True)], dim=-1),
    "quadratic form": lambda s, x: s * torch.einsum("bi,ij,bj->b", s, MATRIX, s)[:, None],
    "outer product": lambda s, x: (s[:, :, None] * s[:, None, :]).sum(dim=1),
    "bmm": lambda s, x: torch.bmm(s.reshape(-1, 2, 2), s.reshape(-1, 2, 2)).flatten(1),
    "attention": _attention,
    "softmax": lambda s, x: torch.softmax(s, -1),
    "layer norm": lambda s, x: torch.nn.functional.layer_norm(s, (4,), ROW, ROW),
    "norm": lambda s, x: s / s.norm(dim=-1, keepdim=True),
    "mean and variance": lambda s, x: (s - s.mean(-1, keepdim=True)) / (1 + s.square().mean()),
    "in place on a copy": _in_place,
    "vmap": torch.vmap(lambda s, x: torch.tanh(MATRIX @ s) + x[0]),
    "repeat": lambda s, x: s[:, :2].repeat(1, 2) + s.diagonal(dim1=0, dim2=1)[None, :1],
}


@pytest.mark.parametrize("name", [name for name in STEPS if name not in ("mean and variance", "repeat")])
def test_steps_that_combine_several_coordinates(name: str) -> None:
    """The steps contain views, joins, sums and products."""
    assert_agrees(STEPS[name])


@pytest.mark.parametrize("name", ["mean and variance", "repeat"])
def test_steps_that_mix_trajectories_agree_for_one_trajectory(name: str) -> None:
    """These steps combine trajectories, so only a single trajectory can be compared."""
    assert_agrees(STEPS[name], STATES[:1], INPUTS[:1])


def test_norm_at_zero_has_the_derivative_of_pytorch() -> None:
    """The derivative of the norm at zero is zero."""
    assert_agrees(lambda s, x: s + s.norm(dim=-1, keepdim=True), torch.zeros(1, 4).double(), INPUTS[:1])


@pytest.mark.parametrize("cell", [torch.nn.RNNCell, torch.nn.GRUCell])
def test_cells_of_torch_in_float32(cell: type) -> None:
    """In float32 sums have another order, which changes the last digits."""
    own = cell(2, 20)
    states = torch.randn(3, 20, generator=torch.Generator().manual_seed(0))
    assert_agrees(lambda s, x: own(x, s), states, INPUTS[:3].float(), rounding=3e-6)


def _multiplied(weights: Tensor, s: Tensor, x: Tensor) -> Tensor:
    return s @ weights.T


def test_wide_products() -> None:
    """The sizes cover every tile width of the kernel's product, and numbers of rows that are not multiples of four."""
    for n, n_tangents in itertools.product((5, 33), (1, 8, 17, 33, 65, 70)):
        weights = torch.randn(n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(n))
        states = torch.randn(1, n, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        program = program_of(partial(_multiplied, weights), torch.tanh, states, states[:, :0])
        assert program is not None
        tangents = torch.randn(1, n, n_tangents, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
        flow = SteppedFlow(program, torch.zeros(1, 0), states, tangents)
        flow.drive(states[:, None, :0])
        flow.advance([False])
        torch.testing.assert_close(flow.tangents(), weights @ tangents, rtol=1e-13, atol=1e-13)


def test_constants_are_read_at_each_call() -> None:
    """If the user changes a tensor between calls, the later program has the new constant."""
    scale = torch.ones(4, dtype=torch.float64)
    step = lambda s, x: s * scale  # noqa: E731
    first = program_of(step, step, STATES, INPUTS)
    scale += 1
    second = program_of(step, step, STATES, INPUTS)
    assert first is not None and second is not None
    assert not np.array_equal(first.values, second.values)


class _StraightThrough(torch.autograd.Function):
    """A function with a user-defined derivative."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return torch.tanh(x)

    @staticmethod
    def setup_context(ctx: object, inputs: object, output: object) -> None:
        pass

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return gradient

    @staticmethod
    def jvp(ctx: object, tangent: Tensor) -> Tensor:
        return tangent.clone()


def _swallows(s: Tensor, x: Tensor) -> Tensor:
    try:
        return s * 2 if s.sum() > 0 else s * 3
    except Exception:
        return s * 2


def _reads_numpy(s: Tensor, x: Tensor) -> Tensor:
    return s * torch.from_numpy(np.sin(s.detach().numpy())[:1, :1])


def _while(s: Tensor, x: Tensor) -> Tensor:
    while s.abs().sum() > 3:
        s = s / 2
    return s


CALLS = {"count": 0}


def _counts(s: Tensor, x: Tensor) -> Tensor:
    CALLS["count"] += 1
    return s * 0.5 if CALLS["count"] < 1000 else s


LOG: list[int] = []


def _appends(s: Tensor, x: Tensor) -> Tensor:
    LOG.append(1)
    return s * 0.5


COUNTER = itertools.count()


def _draws_from_counter(s: Tensor, x: Tensor) -> Tensor:
    return s * 0.5 if next(COUNTER) < 1000 else s


MUTATED = torch.zeros(1)


def _mutates(s: Tensor, x: Tensor) -> Tensor:
    MUTATED.add_(1)
    return s * 0.5


def _prints(s: Tensor, x: Tensor) -> Tensor:
    print("a step")
    return s * 0.5


REFUSED: dict[str, Step] = {
    "branch on the state": lambda s, x: s * 2 if s.sum() > 0 else s * 3,
    "branch on the input": lambda s, x: s * 2 if bool((x > 0).any()) else s * 3,
    "branch that is caught": _swallows,
    "while": _while,
    "item": lambda s, x: s * s[0, 0].item(),
    "tolist": lambda s, x: s * s.detach()[0].tolist()[0],
    "numpy": _reads_numpy,
    "detach": lambda s, x: s * s.detach(),
    "sort": lambda s, x: s.sort(dim=-1).values,
    "argmax": lambda s, x: s + s.argmax(dim=-1, keepdim=True),
    "computed index": lambda s, x: s[:, (s[0] > 0).long()],
    "computed mask": lambda s, x: s.masked_select(s > -100).reshape(s.shape),
    "largest": lambda s, x: s - s.amax(dim=-1, keepdim=True),
    "convolution": lambda s, x: torch.conv1d(s[:, None], ROW[None, None, :3], padding=1)[:, 0],
    "complex": lambda s, x: torch.view_as_real(torch.view_as_complex(s.reshape(-1, 2, 2)) * 1j).flatten(1),
    "fft": lambda s, x: torch.fft.fft(s).real,
    "inverse": lambda s, x: torch.linalg.inv(s.reshape(-1, 2, 2)).flatten(1),
    "other dtype": lambda s, x: (s.float() * 2).double(),
    "dropout": lambda s, x: torch.nn.functional.dropout(s, 0.5),
    "embedding": lambda s, x: s * torch.nn.functional.embedding((x[:, 0] > 0).long(), ROW[:, None]),
    "own derivative": lambda s, x: _StraightThrough.apply(s),
    "one constant for each trajectory": lambda s, x: s * torch.arange(1.0, 6.0, dtype=torch.float64)[:, None],
    "counts its calls": _counts,
    "appends to a list": _appends,
    "iterator": _draws_from_counter,
    "changes a tensor": _mutates,
    "prints": _prints,
    "shows its state": lambda s, x: s * (1 if "nan" in repr(s) else 2),
    "another constant each time": lambda s, x: s * torch.rand(1, dtype=torch.float64),
    "returns a constant": lambda s, x: torch.zeros(5, 4, dtype=torch.float64),
    "fails": lambda s, x: s @ ROW[:2],
}


@pytest.mark.parametrize("name", REFUSED)
def test_unsupported_steps_are_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """They have branches, other libraries, memory, user-defined derivatives, or unknown operations."""
    assert is_refused(REFUSED[name])


def test_tracing_leaves_the_random_number_state_unchanged() -> None:
    """Tracing uses no random numbers."""
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert is_refused(REFUSED["dropout"])
    assert torch.equal(torch.get_rng_state(), before)


def test_float64_constants_in_a_float32_step() -> None:
    """Zero-dimensional constants are rounded to float32.

    Other tensors would make the result float64 and are refused.
    """
    states, inputs = STATES.float(), INPUTS.float()
    factor = torch.tensor(0.3, dtype=torch.float64)
    assert_agrees(lambda s, x: 0.1 * s * factor, states, inputs, rounding=1e-6)
    assert is_refused(lambda s, x: (s * ROW).float(), states, inputs)


def test_constants_that_the_step_changes_in_place() -> None:
    """Each use has the values at the time of the use."""

    def step(s: Tensor, x: Tensor) -> Tensor:
        matrix = torch.eye(4, dtype=torch.float64)
        first = s @ matrix + matrix[0]
        matrix.mul_(3)
        return torch.tanh(first) + s @ matrix + matrix[0]

    assert_agrees(step)


def test_inputs_without_features() -> None:
    """Products with such inputs are zero."""
    assert_agrees(lambda s, x: torch.tanh(s @ MATRIX + x @ WIDE[:0, :4]), STATES, INPUTS[:, :0])


def test_a_too_large_step_is_refused() -> None:
    """A step with many intermediate numbers runs through PyTorch."""
    states = torch.zeros(1, 300, dtype=torch.float64)
    assert is_refused(lambda s, x: (s[:, :, None] * s[:, None]).sum(-1), states, states[:, :0])


def test_the_first_call_in_a_process_is_traced_like_later_ones():
    """PyTorch imports parts of itself at the first call of `torch.vmap`. They are no surroundings of the step."""
    code = """
import torch
from lyapunov_pkg.systems.tracing import program_of
step = torch.vmap(lambda state, x: torch.tanh(torch.eye(3) @ state + x))
print([program_of(step, step, torch.ones(2, 3), torch.zeros(2, 3)) is not None for _ in range(2)])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[True, True]\n"
