"""Settings of the reference systems: the Lorenz system (chapter 1) and untrained networks (chapter 2)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Len

from lyapunov_pkg.workflow.settings import Count, Many, Natural, NonNegative, Positive, Section, Text


class LorenzRun(Section):
    """An estimate of the exponents of a Lorenz system."""

    step_size: Annotated[float, Gt(0), Le(0.05)]
    """Step of the integration. Unit: time units of the equations. Dissertation: 0.001."""
    transient: NonNegative
    """Time before exponents are measured. Unit: time units. Dissertation: 10."""
    duration: Annotated[float, Ge(0.1)]
    """Time over which exponents are measured. Unit: time units. Dissertation: 40 (40,000 steps)."""
    orthonormalize_every: Count
    """Steps between orthonormalizations. Over 4 time units the result agrees with that of 1 step to 1e-13. Unit: steps.
    Dissertation: 1."""

    @property
    def transient_steps(self) -> int:
        """Return the number of steps of the transient."""
        return round(self.transient / self.step_size)

    @property
    def measured_steps(self) -> int:
        """Return the number of measured steps, at least one."""
        return max(1, round(self.duration / self.step_size))


class ShortRun(LorenzRun):
    """The dissertation's estimate from one trajectory, if its T_init is in time units."""

    n_trajectories: ClassVar[int] = 1


class LongRun(LorenzRun):
    """The limit of the estimate: the mean over many trajectories."""

    n_trajectories: Annotated[int, Ge(2)]
    """Number of trajectories, from random initial states around `initial_state`. Unit: trajectories."""


class StepsRun(LorenzRun):
    """The other reading of the text: T_init is "a number of time steps", and the duration is "t = 4"."""

    method: Literal["euler", "midpoint", "rk4"]
    """Integrator. Dissertation: not stated."""
    initial_std: NonNegative
    """Standard deviation of initial x, y and z, which are normal with mean 0. Unit: 1. Dissertation: not stated."""
    n_trajectories: Count
    """Number of runs, each from its own initial state. Unit: trajectories. Dissertation: 1."""


class Lorenz(Section):
    """The Lorenz system (chapter 1)."""

    rho: Annotated[Many[Annotated[float, Ge(0), Le(100)]], Len(1, 6)]
    """Parameters rho, one for each system. Unit: 1. Dissertation: 28, 16, 5, 1."""
    sigma: Annotated[float, Gt(0), Le(100)]
    """Parameter sigma. Unit: 1. Dissertation: 10."""
    beta: Annotated[float, Gt(0), Le(100)]
    """Parameter beta. Unit: 1. Dissertation: 8/3."""
    initial_state: Annotated[Many[float], Len(3, 3)]
    """Initial x, y and z. Unit: 1. Dissertation: not stated."""
    short_run: ShortRun
    """The dissertation's estimate."""
    steps_run: StepsRun
    """The dissertation's estimate, if its T_init is in steps."""
    long_run: LongRun
    """The limit of the estimate."""


class LayeredJacobian(Section):
    """The Jacobian of a network of layers with random weights (figure 2.1)."""

    architecture: Text
    """Cell of every layer. All cells but `rank_one` are allowed."""
    n_layers: Annotated[int, Ge(1), Le(6)]
    """Number of layers. Unit: layers."""
    hidden_size: Annotated[int, Ge(1), Le(256)]
    """Number of hidden units per layer. Unit: units."""
    init_param: Positive
    """Half-width p: weights are uniform on [-p, p]. Unit: 1."""
    n_steps: Count
    """Number of steps under standard normal inputs. The Jacobian is that of the last step. Unit: steps."""


class Gains(Section):
    """The gains g of the three regimes. The dissertation states variances of the recurrent weights of 1/500, 100 and
    500 instead. These do not agree with an orthogonal matrix."""

    stable: Positive
    """Gain of the stable network, whose largest exponent is -1.01 nats/step. Unit: 1. Dissertation: a variance of
    1/500."""
    marginal: Positive
    """Gain of the network at the edge, whose largest exponent is 0.00. Unit: 1. Dissertation: a variance of 100."""
    chaotic: Positive
    """Gain of the chaotic network, whose largest exponent is 0.27. Unit: 1. Dissertation: a variance of 500."""


class StabilityRegimes(Section):
    """An untrained tanh RNN, h <- tanh(g Q h + x), with Q orthogonal (figure 2.3)."""

    gains: Gains
    """Gains g."""
    hidden_size: Annotated[int, Ge(2), Le(4096)]
    """Number of hidden units. Unit: units. Dissertation: not stated."""
    input_variance: NonNegative
    """Variance of the inputs. Unit: 1. Dissertation: 0.6."""
    initial_variance: NonNegative
    """Variance of the initial states. Unit: 1. Dissertation: 1."""
    n_inputs: Annotated[int, Ge(1), Le(2)]
    """Number of realisations of the inputs. Unit: realisations. Dissertation: 2."""
    n_initial_states: Count
    """Number of initial states for each realisation. Unit: states. Dissertation: 10."""
    warmup: Natural
    """Number of steps before exponents are measured. Unit: steps."""
    n_steps: Count
    """Number of steps over which exponents are measured. Unit: steps."""
