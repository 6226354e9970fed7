"""The hyperparameters that cells contribute to designs."""

from __future__ import annotations

from typing import NamedTuple

from lyapunov_pkg.reproduction.training.design import Hyperparameter, is_number


class _Limits(NamedTuple):
    """What the values of one hyperparameter may be: numbers within limits, or one of some words."""

    above: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        """What is allowed, in words."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        limits = [
            f"{words} {limit:g}"
            for words, limit in (("above", self.above), ("at least", self.minimum), ("at most", self.maximum))
            if limit is not None
        ]
        return " ".join(["a finite number", " and ".join(limits)]).strip()

    def allows(self, value: object) -> bool:
        """Whether a hyperparameter may have this value."""
        if self.choices:
            return value in self.choices
        return (
            is_number(value)
            and (self.above is None or value > self.above)
            and (self.minimum is None or value >= self.minimum)
            and (self.maximum is None or value <= self.maximum)
        )


_STEP, _SHARE, _NOT_NEGATIVE = _Limits(above=0), _Limits(minimum=0, maximum=1), _Limits(minimum=0)
_LIPSCHITZ: dict[str, Hyperparameter] = {
    "dt": _STEP,
    "beta_A": _SHARE,
    "beta_W": _SHARE,
    "gamma_A": _NOT_NEGATIVE,
    "gamma_W": _NOT_NEGATIVE,
    "alpha": _Limits(),
}
_HYPERPARAMETERS: dict[str, dict[str, Hyperparameter]] = {
    "rnn": {
        "nonlinearity": _Limits(choices=("tanh", "relu")),
        "initialisation": _Limits(choices=("uniform", "xavier_normal", "orthogonal")),
    },
    "lstm": {},
    "gru": {},
    "asrnn": {"eps": _STEP, "gamma": _NOT_NEGATIVE, "initialisation": _Limits(choices=("uniform", "normal"))},
    "cornn": {"dt": _STEP, "gamma": _NOT_NEGATIVE, "epsilon": _NOT_NEGATIVE},
    "lipschitz": _LIPSCHITZ,
    "noisy": _LIPSCHITZ | {"multiplicative_noise": _SHARE, "additive_noise": _NOT_NEGATIVE},
    "lem": {"dt": _STEP},
    "rank_one": {"dt": _Limits(above=0, maximum=1), "density": _Limits(above=0, maximum=1)},
}


def cell_hyperparameters() -> dict[str, dict[str, Hyperparameter]]:
    """Return what the hyperparameters of each architecture's cell may be, by name; PyTorch is not loaded."""
    return _HYPERPARAMETERS
