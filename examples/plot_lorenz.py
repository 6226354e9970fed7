"""
Lorenz and its Kaplan-Yorke dimension
=====================================

A flow of your own is a function that returns its velocity. Here it is the system of Lorenz, for many values of its
parameter ρ at once: each trajectory has its own.

From the spectrum follows the Kaplan-Yorke dimension of the attractor. It is the number of dimensions in which volumes
neither grow nor shrink. The exponents at ρ = 28 are 0.9056, 0 and -14.5723, and the dimension is 2.062 (Sprott 2003).
"""

import matplotlib.pyplot as plt
import torch

from lyapunov_pkg import kaplan_yorke_dimension, lyapunov_spectrum
from lyapunov_pkg.systems import Flow


def field(state, sigma, rho, beta):
    """Return the velocity (trajectory, 3) at states (trajectory, 3)."""
    x, y, z = state.unbind(-1)
    return torch.stack((sigma * (y - x), x * (rho - z) - y, x * y - beta * z), dim=-1)


rho = torch.arange(4.0, 81.0, 1.0, dtype=torch.float64)
flow = Flow(field, step_size=0.01, parameters={"sigma": 10.0, "rho": rho, "beta": 8 / 3})
start = torch.tensor([1.0, 2.0, 20.0], dtype=torch.float64).expand(len(rho), 3)

# %%
# The first 20 time units are a warm-up of 2000 steps, in which trajectories reach the attractor.

result = lyapunov_spectrum(flow, duration=120.0, warmup=2000, initial_state=start)
exponents = result["lyapunov_exponent"]
dimension = kaplan_yorke_dimension(exponents)

chaotic = int((rho == 28).nonzero())
print("exponents at rho = 28:", exponents[chaotic].values.round(2), "nats per time unit")
print("Kaplan-Yorke dimension:", round(float(dimension[chaotic]), 2))

# %%
# Below ρ = 24.06 the trajectories settle at a fixed point, so all exponents are negative and the dimension is 0. Between
# 13.9 and 24.7 this can take longer than the warm-up.

figure, (upper, lower) = plt.subplots(2, 1, figsize=(7, 5), sharex=True)
upper.plot(rho, exponents[:, :2], ".-", label=["first", "second"])
upper.axhline(0, color="black", linewidth=0.5)
upper.set(ylabel="exponent [nats/time unit]")
upper.legend(frameon=False)
lower.plot(rho, dimension, ".-", color="tab:green")
lower.set(xlabel="ρ", ylabel="Kaplan-Yorke dimension")
plt.show()
