"""
The transition to chaos of a random network
===========================================

The random network h ← tanh(g J h) has Gaussian weights J of variance 1/N. Its activity decays for a
gain g below 1, and is chaotic above. Mean-field theory describes large N. The activity is Gaussian,
and its variance q solves q = g² ⟨tanh²(√q z)⟩ with z standard normal. The largest exponent is
½ log(g² ⟨tanh'(√q z)²⟩).
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from lyapunov_pkg import lyapunov_spectrum

n_units, gains = 400, torch.linspace(0.6, 2.2, 17)
generator = torch.Generator().manual_seed(0)
couplings = torch.randn(n_units, n_units, generator=generator) / n_units**0.5


def step(state, gain):
    """Return the next state (network, unit). The gain (network, 1) is a constant input."""
    return torch.tanh(gain * state @ couplings.T)


# %%
# Each gain is one sequence, so that one call computes all of them.

inputs = gains[:, None, None].expand(-1, 600, 1)
start = torch.randn(len(gains), n_units, generator=generator)
result = lyapunov_spectrum(step, inputs, initial_state=start, n_exponents=1, warmup=300)
measured = result["lyapunov_exponent"].isel(exponent=0)

# %%
# The theory needs an iteration for q and a sum over a fine grid of z.

z = np.linspace(-8, 8, 2001)
weight = np.exp(-(z**2) / 2) / np.exp(-(z**2) / 2).sum()
theory = []
for gain in gains.numpy():
    q = 1.0
    for _ in range(2000):
        q = gain**2 * (weight * np.tanh(np.sqrt(q) * z) ** 2).sum()
    theory.append(0.5 * np.log(gain**2 * (weight / np.cosh(np.sqrt(q) * z) ** 4).sum()))

print(f"g = {gains[-1]:.1f}: measured {measured[-1]:.2f}, theory {theory[-1]:.2f} nats/step")

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
axes.plot(gains, theory, "k-", label="mean-field theory")
axes.errorbar(gains, measured, result["standard_error"][:, 0], fmt="o", label=f"one network of {n_units} units")
axes.axhline(0, color="black", linewidth=0.5)
axes.set(xlabel="gain g", ylabel="largest exponent [nats/step]")
axes.legend(frameon=False)
plt.show()
