"""The hyperparameters that cells contribute to designs."""

from __future__ import annotations


from lyapunov_pkg.reproduction.training.design import Hyperparameter

_STEP = Hyperparameter(above=0)
_SHARE = Hyperparameter(at_least=0, at_most=1)
_DAMPING = Hyperparameter(at_least=0)
_LIPSCHITZ = {
    "dt": _STEP,
    "beta_A": _SHARE,
    "beta_W": _SHARE,
    "gamma_A": _DAMPING,
    "gamma_W": _DAMPING,
    "alpha": Hyperparameter(),
}
CELL_HYPERPARAMETERS: dict[str, dict[str, Hyperparameter]] = {
    "rnn": {
        "nonlinearity": Hyperparameter(str, choices=("tanh", "relu")),
        "initialisation": Hyperparameter(str, choices=("uniform", "xavier_normal", "orthogonal")),
    },
    "lstm": {},
    "gru": {},
    "asrnn": {
        "eps": _STEP,
        "gamma": _DAMPING,
        "initialisation": Hyperparameter(str, choices=("uniform", "normal")),
    },
    "cornn": {"dt": _STEP, "gamma": _DAMPING, "epsilon": _DAMPING},
    "lipschitz": _LIPSCHITZ,
    "noisy": _LIPSCHITZ | {"multiplicative_noise": _DAMPING, "additive_noise": _DAMPING},
    "lem": {"dt": _STEP},
    "rank_one": {"dt": Hyperparameter(above=0, at_most=1), "density": Hyperparameter(above=0, at_most=1)},
}
"""Architecture: its cell's hyperparameters by name."""
