"""Cases of `spectrum.py`: finite-time exponents, covariant vectors, and long intervals between QR decompositions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import record as records
from cases import Case, Contest
from networks import N_FEATURES, Driven

if TYPE_CHECKING:
    import torch

NETWORKS = (
    ("asrnn", "reduced", 0.1),
    ("cornn", "reduced", 0.1),
    ("cornn", "full", 0.1),
    ("lstm", "reduced", 0.5),
    ("rnn", "reduced", 0.5),
)
"""Architecture, Jacobian and half-width of the weights of the cases of intervals."""


def all_cases(quick: bool) -> list[Case]:
    """Return all cases."""
    found = []
    for sequences, steps, k, dtype in ((128, 28, 64, "float32"), (10, 500, 64, "float32"), (10, 500, 10, "float64")):
        driven = Driven("LSTM", 64, sequences, min(steps, 50) if quick else steps, k)
        label = f"LSTM 64 × {sequences} × {driven.steps}, J 64 × 64"
        for table, contest, aims in (
            ("finite-time", finite_time, {"spectrum": 1 / 3}),
            ("covariant", covariant, {"finite_time": 0.5}),
        ):
            name = f"{table}-{sequences}x{steps}-{k}-{dtype}"
            build = lambda peers, contest=contest, driven=driven, dtype=dtype: contest(driven, dtype, peers)  # noqa: E731
            found.append(Case(name, table, label, driven.shapes, dtype, 7, build, aims))
    n_sequences, n_steps = (16 if quick else 128), 112
    for architecture, jacobian, init_param in NETWORKS:
        rows = 128 if jacobian == "full" else 64
        shapes: dict[str, int | str] = {"units": 64, "sequences": n_sequences, "steps": n_steps, "exponents": rows}
        label = f"{architecture} 64 × {n_sequences} × {n_steps}, {jacobian}"
        build = lambda peers, a=architecture, j=jacobian, p=init_param: intervals(a, j, p, n_sequences, n_steps)  # noqa: E731
        found.append(Case(f"intervals-{architecture}-{jacobian}", "intervals", label, shapes, "float32", 7, build))
    return found


def finite_time(driven: Driven, dtype: str, peers: Mapping[str, Any]) -> Contest:
    """Compare `finite_time_exponents` with and without Q, `lyapunov_spectrum` of the same call, and JAX."""
    import numpy as np

    from lyapunov_pkg import finite_time_exponents, lyapunov_spectrum

    computed, mean = _calls(driven, dtype), lambda found: found["finite_time_exponent"].mean("time").values
    calls = {
        records.OURS: computed(finite_time_exponents),
        "spectrum": computed(lyapunov_spectrum),
        "with_q": computed(finite_time_exponents, return_q=True),
    }
    if "jax_finite_time" in peers and dtype == "float32":
        module, inputs = driven.build()
        calls["jax"] = peers["jax_finite_time"](module, inputs, driven.rows, driven.columns)

    def differences(results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
        exponents = results["spectrum"]["lyapunov_exponent"].values
        means = {name: mean(results[name]) for name in (records.OURS, "with_q")}
        if "jax" in results:
            means["jax"] = results["jax"].mean(axis=1)
        return {
            name: {"mean over time": float(np.abs(-np.sort(-value, axis=-1) - exponents).max())}
            for name, value in means.items()
        }

    return Contest(calls, differences, {"mean over time": 2e-2 if dtype == "float32" else 1e-8})


def covariant(driven: Driven, dtype: str, peers: Mapping[str, Any]) -> Contest:
    """Compare `covariant_vectors` with `finite_time_exponents` of the same call, and with clvlib.

    The comparison with clvlib uses exponents and not vectors.
    """
    import numpy as np

    from lyapunov_pkg import covariant_vectors, finite_time_exponents

    computed = _calls(driven, dtype)
    calls = {records.OURS: computed(covariant_vectors), "finite_time": computed(finite_time_exponents)}
    if "clvlib_vectors" in peers:
        module, inputs = driven.build()
        calls["clvlib"] = peers["clvlib_vectors"](module, inputs, driven.rows, driven.columns, dtype)

    def differences(results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
        found = {records.OURS: {"covariance": _covariance_error(driven, results[records.OURS])}}
        if "clvlib" in results:
            exponents = -np.sort(-results["finite_time"]["finite_time_exponent"].mean("time").values, axis=-1)
            found["clvlib"] = {"exponents": float(abs(results["clvlib"] - exponents).max())}
        return found

    tolerances = (
        {"covariance": 0.1, "exponents": 2e-2} if dtype == "float32" else {"covariance": 1e-7, "exponents": 1e-8}
    )
    return Contest(calls, differences, tolerances)


def _covariance_error(driven: Driven, found: Any) -> float:
    """Return how far J_t v_t is from the direction of v_{t+1}, in the middle of the run, for the leading half."""
    import numpy as np
    import peers_torch
    import torch

    module, inputs = driven.build()
    times = found["time"].values.astype(int)
    middle = int(times[len(times) // 2])
    weights = peers_torch.Weights.read(module, inputs, torch.float64)
    jacobian = peers_torch.jacobian_after(weights, middle, driven.rows).numpy()
    vectors = found["covariant_vector"].transpose("sequence", "time", "unit", "exponent")
    leading = vectors.values[..., : max(1, driven.columns // 2)].astype(np.float64)
    pushed, following = jacobian @ leading[:, len(times) // 2], leading[:, len(times) // 2 + 1]
    pushed = pushed / np.linalg.norm(pushed, axis=-2, keepdims=True)
    signs = np.sign((pushed * following).sum(axis=-2))[..., None, :]
    return float(np.linalg.norm(pushed - signs * following, axis=-2).max())


def _calls(driven: Driven, dtype: str) -> Callable[..., Callable[[], Any]]:
    """Return a function that calls a function of the library on the network."""
    import numpy as np
    import torch

    module, inputs = driven.build()
    arguments = {
        "jacobian": driven.jacobian,
        "initial_tangents": np.eye(driven.rows, driven.columns),
        "dtype": getattr(torch, dtype),
    }
    return lambda function, **more: lambda: function(module, inputs, **arguments, **more)


def intervals(architecture: str, jacobian: str, init_param: float, n_sequences: int, n_steps: int) -> Contest:
    """Compare `orthonormalize_every="auto"` with QR at every step."""
    import torch

    from lyapunov_pkg import lyapunov_spectrum
    from lyapunov_pkg.networks import Network

    generator = torch.Generator().manual_seed(0)
    network = Network.initialise(architecture, N_FEATURES, 64, 0, [init_param], [generator])
    inputs = torch.randn(n_sequences, n_steps, N_FEATURES, generator=generator)

    def spectrum(every: str | int, dtype: torch.dtype) -> Any:
        return lyapunov_spectrum(network, inputs, jacobian=jacobian, orthonormalize_every=every, dtype=dtype)

    calls = {records.OURS: lambda: spectrum("auto", torch.float32), "every_step": lambda: spectrum(1, torch.float32)}

    def differences(results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
        # Both runs have the same states in float32. The states of a chaotic network in float64 would differ.
        auto, every_step = (results[name]["lyapunov_exponent"] for name in (records.OURS, "every_step"))
        return {records.OURS: {"all": float(abs(auto - every_step).max())}}

    def facts(results: Mapping[str, Any]) -> dict[str, Any]:
        exponents, chosen = results["every_step"]["lyapunov_exponent"], results[records.OURS].attrs
        return {
            "exponents, nats per step": f"{float(exponents.max()):.2f} to {float(exponents.min()):.2f}",
            "QRs, longest interval": "{n_orthonormalizations}, {longest_interval}".format(**chosen),
        }

    return Contest(calls, differences, {"all": 1e-4}, facts)
