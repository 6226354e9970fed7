"""Flows of ordinary differential equations. Exponents are those of the map that one integration step defines.

Exponents are in nats per time unit. They are exactly those of the integrator's map. The step must be short enough for
them to agree with those of the flow.

Values attributed to Sprott are from Sprott, J. C.: Chaos and Time-Series Analysis. Oxford University Press (2003),
appendix A.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from lyapunov_pkg.systems.maps import AutonomousMap
from lyapunov_pkg.systems.traceable import Traceable

MATRICES_UP_TO = 16
"""Largest state size for which the Jacobian is formed even if there are few tangent vectors."""


class Tableau(NamedTuple):
    """An explicit Runge-Kutta method: k_i = f(y + h sum_j stages[i][j] k_j), and y' = y + h sum_i weights[i] k_i."""

    stages: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]


METHODS = {
    "euler": Tableau(((),), (1.0,)),
    "midpoint": Tableau(((), (0.5,)), (0.0, 1.0)),
    "rk4": Tableau(((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6)),
}
"""Euler's method, the midpoint method and the classical Runge-Kutta method: of order 1, 2 and 4."""


class Flow(Traceable):
    """The map defined by one integration step of the ordinary differential equation dx/dt = field(x).

    The field is differentiated automatically, in forward mode. It must consist of PyTorch operations, without branches
    on values, and treat trajectories independently. An explicit dependence on time is not supported. Use time as an
    additional coordinate of the state, or as an input.

    Args:
        field: function that returns the velocity (sequence, S) at states (sequence, S). It is called as
            `field(state, **parameters)`, or with `input_size` as `field(state, u, **parameters)`. The input u
            (sequence, input_size) is constant during a step.
        step_size: time units of a step.
        method: "rk4", "midpoint" or "euler".
        parameters: parameters of the field by name. Each is a number, or a tensor whose first axis is that of the
            trajectories, e.g. (sequence,).
        input_size: number of features of the inputs; 0 for an autonomous equation.
        initial_state: (S,), the default initial state of trajectories.

    Raises:
        TypeError: `field` is not callable.
        ValueError: `step_size` is not positive, or `method` is unknown.

    Example:
        The Kaplan-Yorke dimension of the Rössler attractor, from its field:

        >>> import torch
        >>> from lyapunov_pkg import kaplan_yorke_dimension, lyapunov_spectrum
        >>> from lyapunov_pkg.systems import Flow
        >>> def field(state, a, b, c):
        ...     x, y, z = state.unbind(-1)
        ...     return torch.stack((-y - z, x + a * y, b + z * (x - c)), dim=-1)
        >>> flow = Flow(field, step_size=0.05, parameters={"a": 0.2, "b": 0.2, "c": 5.7}, initial_state=[1.0, 1.0, 0.0])
        >>> spectrum = lyapunov_spectrum(flow, duration=400.0, warmup=1000)["lyapunov_exponent"]
        >>> round(kaplan_yorke_dimension(spectrum).item(), 1)
        2.0
    """

    def __init__(
        self,
        field: Callable[..., Tensor],
        step_size: float,
        method: str = "rk4",
        *,
        parameters: Mapping[str, ArrayLike] | None = None,
        input_size: int = 0,
        initial_state: ArrayLike | None = None,
    ) -> None:
        if not callable(field):
            raise TypeError(f"field: got {type(field).__name__}, expected a function of the state")
        if not step_size > 0:
            raise ValueError(f"step_size: got {step_size}, expected more than 0 time units")
        if method not in METHODS:
            raise ValueError(f"method: got {method!r}, expected one of {list(METHODS)}")
        self.field = field
        self.step_size = self.time_per_step = float(step_size)
        self.method = method
        self.parameters = {name: _number(value) for name, value in (parameters or {}).items()}
        self.input_size = input_size
        if initial_state is not None:
            start = torch.as_tensor(initial_state, dtype=torch.float64)
            self.state_size = start.shape[-1]
            self.initial_state = lambda n_sequences: start.repeat(n_sequences, 1)

    def written(self) -> Callable[..., Tensor]:
        """Return the field; see `Traceable.written`."""
        return self.field

    def step(self, state: Tensor, x: Tensor | None = None) -> Tensor:
        """Return the state (..., S) `step_size` time units later, under the input x (..., input_size)."""
        return self._advance(state, x)[0]

    def push_forward(self, state: Tensor, x: Tensor | None, tangents: Tensor) -> tuple[Tensor, Tensor]:
        """Return the state and the tangent vectors (..., S, k) `step_size` time units later.

        Raises:
            ValueError: the field cannot be differentiated.
        """
        after, stages = self._advance(state, x)
        size, k = tangents.shape[-2:]
        if size <= max(MATRICES_UP_TO, 2 * k):
            slopes = self._field_jacobians(torch.stack(stages), x).unbind(0)
            return after, self._combine(tangents, lambda i, vectors: slopes[i] @ vectors)
        return after, self._combine(tangents, lambda i, vectors: self._along(stages[i], x, vectors))

    def jacobians(self, states: Tensor, inputs: Tensor) -> Tensor:
        """Return the Jacobians of many steps at once, (step, ..., S, S).

        Args:
            states: the state before each step, (step, ..., S).
            inputs: the input of each step, (step, ..., input_size).

        Raises:
            ValueError: the field cannot be differentiated.
        """
        _, stages = torch.func.vmap(self._advance)(states, inputs)
        slopes = torch.func.vmap(self._field_jacobians, in_dims=(1, 0), out_dims=1)(torch.stack(stages), inputs)
        identity = torch.eye(states.shape[-1]).to(states).expand_as(slopes[0])
        return self._combine(identity, lambda i, vectors: slopes[i] @ vectors)

    def _advance(self, state: Tensor, x: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """Return the next state, and the states at which the method evaluates the field."""
        tableau = METHODS[self.method]
        stages: list[Tensor] = []
        velocities: list[Tensor] = []
        for coefficients in tableau.stages:
            stages.append(self._shifted(state, coefficients, velocities))
            velocities.append(self._velocity(stages[-1], x))
        return self._shifted(state, tableau.weights, velocities), stages

    def _combine(self, tangents: Tensor, apply: Callable[[int, Tensor], Tensor]) -> Tensor:
        """Return the tangent vectors after a step; `apply` multiplies them by the field's Jacobian at a stage."""
        tableau = METHODS[self.method]
        velocities: list[Tensor] = []
        for i, coefficients in enumerate(tableau.stages):
            velocities.append(apply(i, self._shifted(tangents, coefficients, velocities)))
        return self._shifted(tangents, tableau.weights, velocities)

    def _shifted(self, start: Tensor, coefficients: tuple[float, ...], velocities: list[Tensor]) -> Tensor:
        for coefficient, velocity in zip(coefficients, velocities, strict=True):
            if coefficient:
                start = torch.add(start, velocity, alpha=coefficient * self.step_size)
        return start

    def _velocity(self, state: Tensor, x: Tensor | None) -> Tensor:
        parameters = {name: value.to(state) for name, value in self.parameters.items()}
        given = (state, x) if self.input_size else (state,)
        velocity = self.field(*given, **parameters)
        if velocity.shape != state.shape:
            raise ValueError(
                f"field: got a result of shape {tuple(velocity.shape)} for a state of shape {tuple(state.shape)}, "
                "expected the same shape"
            )
        return velocity

    def _along(self, state: Tensor, x: Tensor | None, vectors: Tensor) -> Tensor:
        """Return the field's Jacobian at a state (..., S) times vectors (..., S, k)."""

        def along(vector: Tensor) -> Tensor:
            derivative: Tensor = torch.func.jvp(lambda point: self._velocity(point, x), (state,), (vector,))[1]
            return derivative

        try:
            return torch.func.vmap(along, in_dims=-1, out_dims=-1)(vectors)
        except RuntimeError as error:
            raise ValueError(
                "field: got a function that cannot be differentiated in forward mode under torch.vmap, expected "
                f"PyTorch operations without branches on values: {error}"
            ) from error

    def _field_jacobians(self, stages: Tensor, x: Tensor | None) -> Tensor:
        """Return the field's Jacobians at the stages of one step, (stage, ..., S) to (stage, ..., S, S)."""

        def at_stage(state: Tensor) -> Tensor:
            identity = torch.eye(state.shape[-1]).to(state).expand(*state.shape, -1)
            return self._along(state, x, identity)

        return torch.func.vmap(at_stage)(stages)


def _number(value: ArrayLike) -> Tensor:
    return value if isinstance(value, Tensor) else torch.as_tensor(value, dtype=torch.float64)


class Rossler(Flow):
    """Rössler's flow: dx/dt = -y - z, dy/dt = x + a y, dz/dt = b + z (x - c).

    At a = b = 0.2 and c = 5.7 the exponents are 0.0714, 0 and -5.3943 nats per time unit (Sprott 2003).

    Args:
        a: a number, or one for each trajectory (sequence,).
        b: as `a`.
        c: as `a`.
        step_size: time units of a Runge-Kutta step.

    References:
        Rössler, O. E.: An equation for continuous chaos. Physics Letters A 57, 397-398 (1976).
    """

    def __init__(self, a: ArrayLike = 0.2, b: ArrayLike = 0.2, c: ArrayLike = 5.7, *, step_size: float = 0.05) -> None:
        super().__init__(_rossler, step_size, parameters={"a": a, "b": b, "c": c}, initial_state=[1.0, 1.0, 0.0])


def _rossler(state: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    x, y, z = state.unbind(-1)
    return torch.stack((-y - z, x + a * y, b + z * (x - c)), dim=-1)


class Lorenz96(Flow):
    """Lorenz's model of n sites on a circle: dx_i/dt = (x_{i+1} - x_{i-2}) x_{i-1} - x_i + F.

    The sum of the exponents is -n for every trajectory, because the divergence of the field is -n. With 40 sites and F
    = 8 the largest exponent is 1.67 to 1.69 nats per time unit, 13 exponents are positive, and the Kaplan-Yorke
    dimension is 27.1 (Lorenz and Emanuel 1998; Karimi and Paul 2010).

    Args:
        n: number of sites, at least 4.
        forcing: F, a number, or one for each trajectory (sequence,).
        step_size: time units of a Runge-Kutta step.

    Raises:
        ValueError: `n` is below 4.

    References:
        Lorenz, E. N., Emanuel, K. A.: Optimal sites for supplementary weather observations: simulation with a small
        model. Journal of the Atmospheric Sciences 55, 399-414 (1998).
        Karimi, A., Paul, M. R.: Extensive chaos in the Lorenz-96 model. Chaos 20, 043105 (2010).
    """

    def __init__(self, n: int = 40, forcing: ArrayLike = 8.0, *, step_size: float = 0.05) -> None:
        if n < 4:
            raise ValueError(f"n: got {n} sites, expected at least 4")
        start = torch.full((n,), 8.0, dtype=torch.float64)
        start[0] += 0.01
        super().__init__(_lorenz_96, step_size, parameters={"forcing": forcing}, initial_state=start)


def _lorenz_96(state: Tensor, forcing: Tensor) -> Tensor:
    advected = (state.roll(-1, -1) - state.roll(2, -1)) * state.roll(1, -1)
    return advected - state + forcing[..., None]


class DampedOscillator(Flow):
    """The harmonic oscillator d^2x/dt^2 = -omega^2 x - 2 gamma dx/dt; states are (x, dx/dt).

    Its exponents are the real parts of -gamma +- sqrt(gamma^2 - omega^2). If the damping is weak, both are -gamma.

    Args:
        omega: angular frequency without damping, radians per time unit; a number, or one for each trajectory.
        gamma: rate of damping, per time unit; a number, or one for each trajectory.
        step_size: time units of a Runge-Kutta step.
    """

    def __init__(self, omega: ArrayLike = 1.0, gamma: ArrayLike = 0.1, *, step_size: float = 0.05) -> None:
        parameters = {"omega": omega, "gamma": gamma}
        super().__init__(_oscillator, step_size, parameters=parameters, initial_state=[1.0, 0.0])


def _oscillator(state: Tensor, omega: Tensor, gamma: Tensor) -> Tensor:
    position, velocity = state.unbind(-1)
    return torch.stack((velocity, -(omega**2) * position - 2 * gamma * velocity), dim=-1)


class HenonHeiles(Flow):
    """The flow of the Hamiltonian H = (p_x^2 + p_y^2 + x^2 + y^2) / 2 + x^2 y - y^3 / 3; states are (x, y, p_x, p_y).

    The exponents form pairs of opposite sign, and two are zero. The default initial state has the energy 0.125, for
    which most orbits are chaotic.

    Args:
        step_size: time units of a Runge-Kutta step.

    References:
        Hénon, M., Heiles, C.: The applicability of the third integral of motion: some numerical experiments.
        Astronomical Journal 69, 73-79 (1964).
    """

    def __init__(self, *, step_size: float = 0.05) -> None:
        super().__init__(_henon_heiles, step_size, initial_state=[0.0, -0.25, 0.42, 0.0])


def _henon_heiles(state: Tensor) -> Tensor:
    x, y, p_x, p_y = state.unbind(-1)
    return torch.stack((p_x, p_y, -x - 2 * x * y, -y - x**2 + y**2), dim=-1)


class Lorenz(AutonomousMap):
    """One step of the Lorenz flow and of its tangent equations (eq. 1.13, 1.14), by the classical Runge-Kutta method.

    dx/dt = sigma (y - x), dy/dt = rho x - y - x z, dz/dt = x y - beta z. The tangent vectors take the same Runge-Kutta
    step as the state, so that their map is the exact derivative of the step. The error is of fourth order in
    `step_size`. At 0.01 the sum of the exponents is that of the flow, -(1 + sigma + beta), to 1e-4.

    At sigma = 10, beta = 8/3 and rho = 28 the exponents are 0.906, 0 and -14.572 nats per time unit (Sprott 2003,
    appendix A). If the trajectory converges to a fixed point, they are the real parts of the eigenvalues there,
    `fixed_point_exponents`.

    Args:
        rho: Rayleigh number: one number, or several (V,) for a stack of systems with states (V, sequence, 3).
        sigma: Prandtl number.
        beta: aspect ratio of the convection cells.
        step_size: time units of a step. Exponents need |eigenvalues| * step_size well below 2.8, where the method
            becomes unstable. For the parameters above, 0.01 is small enough.

    Raises:
        ValueError: `rho` has more than one axis, or `step_size` is not positive.
    """

    state_size = 3

    def __init__(
        self, rho: ArrayLike = 28.0, sigma: float = 10.0, beta: float = 8 / 3, *, step_size: float = 0.01
    ) -> None:
        self.rho = torch.as_tensor(rho, dtype=torch.float64)
        if self.rho.ndim > 1:
            raise ValueError(f"rho: got shape {tuple(self.rho.shape)}, expected a number, or several numbers (V,)")
        if not step_size > 0:
            raise ValueError(f"step_size: got {step_size}, expected more than 0 time units")
        self.beta = beta
        self.step_size = self.time_per_step = step_size
        # The field is A u + x B u. A is stacked on B, so that one product computes both terms.
        matrix = torch.zeros(*self.rho.shape, 6, 3, dtype=torch.float64)
        matrix[..., 0, 0], matrix[..., 0, 1] = -sigma, sigma
        matrix[..., 1, 0], matrix[..., 1, 1] = self.rho, -1
        matrix[..., 2, 2] = -beta
        matrix[..., 4, 2], matrix[..., 5, 1] = -1, 1
        self.matrix = matrix[:, None] if self.rho.ndim else matrix

    def initial_state(self, n_sequences: int) -> Tensor:
        """Return (1, 1, 1), because the origin is a fixed point: (n_sequences, 3), or (V, n_sequences, 3)."""
        return torch.ones(*self.rho.shape, n_sequences, 3, dtype=torch.float64)

    def step(self, state: Tensor, x: Tensor | None = None) -> Tensor:
        """Return the state `step_size` time units later."""
        return self._advance(state[..., None])[..., 0]

    def jacobian(self, state: Tensor, x: Tensor | None = None) -> Tensor:
        """Return the derivative of the step, (..., 3, 3)."""
        return self.push_forward(state, x, torch.eye(3).to(state).expand(*state.shape, 3))[1]

    def push_forward(self, state: Tensor, x: Tensor | None, tangents: Tensor) -> tuple[Tensor, Tensor]:
        """Return the state and the tangent vectors (..., 3, k) `step_size` time units later."""
        columns = self._advance(torch.cat((state[..., None], tangents), dim=-1))
        return columns[..., 0], columns[..., 1:]

    def field_jacobian(self, state: Tensor) -> Tensor:
        """Return the matrix of the tangent equations (eq. 1.14), per time unit: (..., 3, 3)."""
        identity = torch.eye(3).to(state).expand(*state.shape, 3)
        columns = torch.cat((state[..., None], identity), dim=-1)
        return self._field(columns, self.matrix.to(state))[..., 1:]

    def fixed_point(self) -> Tensor:
        """Return a fixed point of the flow: (3,), or (V, 3) for a stack.

        For rho up to 1 it is the origin. Above 1 it is C+ = (r, r, rho - 1) with r^2 = beta (rho - 1).

        C+ and its mirror image (-r, -r, rho - 1) have the same eigenvalues.
        """
        height = (self.rho - 1).clamp(min=0)
        radius = (self.beta * height).sqrt()
        return torch.stack((radius, radius, height), dim=-1)

    def fixed_point_exponents(self) -> Tensor:
        """Return the real parts of the eigenvalues at `fixed_point`, decreasing, (3,), or (V, 3) for a stack.

        They are the Lyapunov exponents, in nats per time unit, of all trajectories that converge to the fixed point.
        """
        # One sequence, because a stack has an axis of sequences.
        jacobian = self.field_jacobian(self.fixed_point().unsqueeze(-2)).squeeze(-3)
        exponents: Tensor = torch.linalg.eigvals(jacobian).real.sort(dim=-1, descending=True).values
        return exponents

    def _advance(self, columns: Tensor) -> Tensor:
        """Return columns (..., 3, 1 + k) after a Runge-Kutta step: the state, then the tangent vectors."""
        matrix, step_size = self.matrix.to(columns), self.step_size
        first = self._field(columns, matrix)
        second = self._field(torch.add(columns, first, alpha=step_size / 2), matrix)
        third = self._field(torch.add(columns, second, alpha=step_size / 2), matrix)
        fourth = self._field(torch.add(columns, third, alpha=step_size), matrix)
        return torch.add(columns, first + 2 * (second + third) + fourth, alpha=step_size / 6)

    @staticmethod
    def _field(columns: Tensor, matrix: Tensor) -> Tensor:
        """Return the velocity of the state u, A u + x B u, and of each tangent vector e, A e + x B e + e_x B u."""
        linear, by_x = (matrix @ columns).chunk(2, dim=-2)
        velocity = linear + columns[..., :1, :1] * by_x
        velocity[..., 1:] += columns[..., :1, 1:] * by_x[..., :1]
        return velocity
