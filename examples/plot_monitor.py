"""
Monitoring spectra during training
==================================

A monitor computes the Lyapunov spectrum of a network during training. It does not change the result of the training by
a single bit. Here a GRU learns to add the two marked numbers of a sequence. This task needs a memory of up to 30 steps.
"""

import matplotlib.pyplot as plt
import torch

from lyapunov_pkg import SpectrumMonitor


def batch(n_sequences: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return sequences (sequence, 30, 2) of numbers and marks, and the sums (sequence,) of the marked numbers."""
    numbers = torch.rand(n_sequences, 30, generator=generator)
    marked = torch.rand(n_sequences, 30, generator=generator).argsort(dim=1) < 2
    return torch.stack((numbers, marked.float()), dim=-1), (numbers * marked).sum(dim=1)


# %%
# Train, and call the monitor after each update
# ---------------------------------------------
# The spectra always use the same inputs, so that only changes of the weights change them.

torch.manual_seed(0)
generator = torch.Generator().manual_seed(1)
gru, readout = torch.nn.GRU(2, 24, batch_first=True), torch.nn.Linear(24, 1)
optimizer = torch.optim.Adam([*gru.parameters(), *readout.parameters()], lr=0.01)
monitor = SpectrumMonitor(gru, batch(4, generator)[0], every=25)
for _ in range(600):
    inputs, target = batch(64, generator)
    loss = (readout(gru(inputs)[0][:, -1])[:, 0] - target).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    monitor(loss)

# %%
# The collected dataset
# ---------------------

result = monitor.dataset()
print(result)

# %%
# Exponents and loss
# ------------------
# The largest exponents rise towards zero. Most of this rise comes before the loss falls far below the loss of a
# constant guess (grey line). The bands show the mean ± one standard deviation over sequences.

fig, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(7, 5), layout="constrained")
above.plot(result["update"], result["loss"], color="black")
above.axhline(1 / 6, color="0.6", linewidth=0.6)  # the variance of the sum
above.set(ylabel="loss", yscale="log")
monitor.plot(below)
plt.show()
