"""
Covariant vectors and their angles
==================================

At each point of the Hénon attractor, perturbations grow in one direction and shrink in another. The
covariant Lyapunov vectors are these two directions. Where they almost coincide, the attractor
folds. The system is not hyperbolic, because their angle has no lower bound above zero.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from lyapunov_pkg import covariant_vectors, vector_angles
from lyapunov_pkg.systems import Henon, trajectory

henon, n_steps = Henon(), 8000
start = torch.tensor([0.1, 0.1], dtype=torch.float64)
result = covariant_vectors(henon, n_steps=n_steps, initial_state=start, warmup=200, backward_warmup=200)
vectors = result["covariant_vector"].isel(sequence=0)
angle = vector_angles(vectors).sel(exponent=1, other=2)

# %%
# The coordinate ``time`` counts steps. It selects the states that belong to the vectors.

states = trajectory(henon, start, n_steps)[result["time"].values.astype(int)]
print("exponents:", result["covariant_exponent"].mean(("sequence", "time")).values.round(2), "nats/step")
print("5% of all angles are below", angle.quantile(0.05).values.round(2), "rad")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained", width_ratios=(2, 1))
points = left.scatter(*states.T, c=angle, s=2, cmap="viridis")
figure.colorbar(points, ax=left, label="angle [rad]")
shown = np.arange(0, len(states), 400)
for index, color in ((0, "tab:red"), (1, "tab:blue")):
    x, y = vectors[shown, :, index].values.T
    where, label = states[shown].numpy().T, ("expanding", "contracting")[index]
    style = {"headaxislength": 0, "headlength": 0, "headwidth": 0, "pivot": "mid", "scale": 12, "width": 0.005}
    left.quiver(*where, x, y, color=color, label=label, **style)
left.set(xlabel="x", ylabel="y")
left.legend(frameon=False, loc="lower center")
right.hist(angle, bins=50)
right.set(xlabel="angle [rad]", ylabel="number of states")
plt.show()
