"""
Lorenz and its Kaplan-Yorke dimension
=====================================

This example computes the spectra of the Lorenz flow for many values of its parameter ρ in one call.
The Kaplan-Yorke dimension of the attractor follows from the spectrum. Volumes of this dimension
neither grow nor shrink.

At ρ = 28 the exponents are 0.906, 0 and -14.572 nats per time unit, and the dimension is 2.062
(Sprott 2003).
"""

import matplotlib.pyplot as plt
import torch

from lyapunov_pkg import kaplan_yorke_dimension, lyapunov_spectrum
from lyapunov_pkg.systems import Lorenz

# %%
# Each ρ is a variant of the system. The warm-up has 5000 steps, or 50 time units. In this time, the
# trajectories reach their attractors.

rho = torch.arange(4.0, 81.0, 1.0, dtype=torch.float64)
start = torch.tensor([1.0, 2.0, 20.0], dtype=torch.float64).expand(len(rho), 1, 3)
result = lyapunov_spectrum(Lorenz(rho), n_steps=25_000, warmup=5_000, initial_state=start)
exponents = result["lyapunov_exponent"].isel(sequence=0)
dimension = kaplan_yorke_dimension(exponents)

at_28 = rho.tolist().index(28)
print("exponents at ρ = 28:", exponents[at_28].values.round(1), "nats per time unit")
print("Kaplan-Yorke dimension:", dimension[at_28].values.round(2))

# %%
# For small ρ, the trajectories end at a fixed point. All exponents are negative, and the dimension is
# 0. For larger ρ, the attractor is chaotic. One of its exponents is 0, because a shift along the
# trajectory neither grows nor shrinks.

figure, (upper, lower) = plt.subplots(2, 1, figsize=(7, 5), layout="constrained", sharex=True)
upper.plot(rho, exponents[:, :2], ".-", label=["first", "second"])
upper.axhline(0, color="black", linewidth=0.5)
upper.set(ylabel="exponent [nats/time unit]")
upper.legend(frameon=False)
lower.plot(rho, dimension, ".-", color="tab:green")
lower.set(xlabel="ρ", ylabel="Kaplan-Yorke dimension")
plt.show()

# %%
# For an equation of your own, see ``lyapunov_pkg.systems.Flow``.
