"""
Gradients through chaos explode
===============================

The network h ← tanh(g J h) with random weights J is chaotic at a gain g = 2. Its largest Lyapunov
exponent converges with the number of steps. The derivative of this exponent with respect to g does
not converge. It contains the derivative of the state, which grows as fast as every perturbation.
"""

import matplotlib.pyplot as plt
import torch

from lyapunov_pkg import lyapunov_spectrum

n_units, gain = 100, 2.0
generator = torch.Generator().manual_seed(0)
couplings = torch.randn(n_units, n_units, generator=generator, dtype=torch.float64) / n_units**0.5


def largest_exponent(gain, states, n_steps, **options):
    """Return the largest exponent of the network for each of the initial states."""

    def step(state):
        return torch.tanh(gain * state @ couplings.T)

    return lyapunov_spectrum(step, n_steps=n_steps, n_exponents=1, initial_state=states, **options)


states = torch.randn(8, n_units, generator=generator, dtype=torch.float64)
for _ in range(500):  # until the states are on the attractor
    states = torch.tanh(gain * states @ couplings.T)

# %%
# Long runs at two gains show how fast the exponent really changes with g.

low, high = (largest_exponent(g, states, 2000, warmup=200)["lyapunov_exponent"].mean() for g in (1.9, 2.1))
slope = float(high - low) / 0.2
exponent = float(high + low) / 2
print(f"largest exponent {exponent:.2f} nats/step, slope {slope:.2f}")

# %%
# ``differentiable=True`` gives the exact derivative for a finite number of steps.

lengths, derivatives = [10, 25, 50, 75, 100, 125, 150, 175, 200], []
for n_steps in lengths:
    g = torch.tensor(gain, dtype=torch.float64, requires_grad=True)
    largest_exponent(g, states[:1], n_steps, differentiable=True).sum().backward()
    derivatives.append(g.grad.item())
    print(f"{n_steps} steps: derivative {derivatives[-1]:.2g}")

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
axes.semilogy(lengths, [abs(derivative) for derivative in derivatives], "o-", label="exact derivative, magnitude")
growth = [torch.tensor(exponent * n_steps).exp() / n_steps for n_steps in lengths]
axes.semilogy(lengths, growth, "k:", label="exp(exponent × steps) / steps")
axes.axhline(slope, color="tab:red", label="slope of long runs")
axes.set(xlabel="steps", ylabel="derivative with respect to g [nats/step]")
axes.legend(frameon=False)
plt.show()
