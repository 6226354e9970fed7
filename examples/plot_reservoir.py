"""
A reservoir in closed loop against the true system
==================================================

The Lorenz system drives a reservoir of 300 random units, and a linear readout learns to predict the
next state. When the reservoir receives its own predictions as input, it is an autonomous system. Its
leading exponents show whether it has the dynamics of the Lorenz system.
"""

import matplotlib.pyplot as plt
import torch

from lyapunov_pkg import lyapunov_spectrum
from lyapunov_pkg.systems import Lorenz, trajectory

torch.manual_seed(1)
n_units, step_size = 300, 0.02
lorenz = Lorenz(step_size=step_size)
states = trajectory(lorenz, torch.tensor([1.0, 2.0, 20.0], dtype=torch.float64), 8000)[500:]
signal = (states - states.mean(0)) / states.std(0)

# %%
# The weights of the reservoir are scaled to a spectral radius of 0.6. The biases are needed, because
# without them the reservoir would be an odd function of its inputs.

recurrent = torch.randn(n_units, n_units, dtype=torch.float64)
recurrent *= 0.6 / torch.linalg.eigvals(recurrent).abs().max()
input_weight = 0.3 * torch.randn(n_units, 3, dtype=torch.float64)
bias = torch.randn(n_units, dtype=torch.float64)
hidden, collected = torch.zeros(n_units, dtype=torch.float64), []
for x in signal[:-1]:
    hidden = torch.tanh(recurrent @ hidden + input_weight @ x + bias)
    collected.append(hidden)
features, targets = torch.stack(collected)[200:], signal[201:]
ridge = 1e-8 * len(features) * torch.eye(n_units, dtype=torch.float64)
readout = torch.linalg.solve(features.T @ features + ridge, features.T @ targets)
error = (features @ readout - targets).square().mean().sqrt()
print(f"error of one step: {error:.0e} standard deviations")


def closed_loop(state):
    """Return the next states (trajectory, unit) of the reservoir with its own predictions as input."""
    return torch.tanh(state @ recurrent.T + state @ readout @ input_weight.T + bias)


# %%
# Exponents per step, divided by the length of a step, are exponents per time unit. The first two
# agree. The third belongs to a direction in which the attractor is very thin, so that the reservoir
# could hardly learn it. The Lorenz system has no counterpart of the others.

run = lyapunov_spectrum(closed_loop, n_steps=2500, warmup=300, n_exponents=6, initial_state=hidden[None])
learned = run["lyapunov_exponent"][0] / step_size
true = lyapunov_spectrum(lorenz, n_steps=20_000, warmup=1000)["lyapunov_exponent"][0]
print("reservoir:", learned[:3].values.round(1), " Lorenz:", true.values.round(1), "nats per time unit")

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
axes.plot(true["exponent"], true, "k_", markersize=24, markeredgewidth=2, label="Lorenz")
axes.plot(learned["exponent"], learned, "o", label="reservoir in closed loop")
axes.axhline(0, color="black", linewidth=0.5)
axes.set(xlabel="index", ylabel="Lyapunov exponent [nats/time unit]")
axes.legend(frameon=False)
plt.show()
