"""
Gradient flossing before training
=================================

Where exponents are far below zero, gradients vanish, and a network cannot learn what it would have
to remember for long. Exponents are differentiable here, so they can be moved towards zero first
(Engelken 2023).

The task is delayed exclusive or: the inputs are random bits, and the target is x(t - d) XOR x(t -
2d).
"""

import copy

import matplotlib.pyplot as plt
import torch

from lyapunov_pkg import lyapunov_spectrum

torch.manual_seed(0)
delay, n_units = 8, 48


def random_bits(n_sequences, n_steps):
    """Return random bits, 0 or 1, (sequence, time, 1)."""
    return torch.randint(0, 2, (n_sequences, n_steps, 1)).float()


def train(rnn, n_updates=500):
    """Train on the task, and return the accuracy of each update."""
    readout = torch.nn.Linear(n_units, 1)
    optimizer = torch.optim.Adam([*rnn.parameters(), *readout.parameters()], lr=2e-3)
    accuracies = []
    for _ in range(n_updates):
        bits = random_bits(32, 60)
        targets = (bits[:, delay:-delay] - bits[:, : -2 * delay]).abs()
        logits = readout(rnn(2 * bits - 1)[0])[:, 2 * delay :]
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(logits, targets).backward()
        torch.nn.utils.clip_grad_norm_(rnn.parameters(), 1.0)
        optimizer.step()
        accuracies.append(((logits > 0) == targets.bool()).float().mean().item())
    return torch.tensor(accuracies)


plain = torch.nn.RNN(1, n_units, batch_first=True)
torch.nn.init.normal_(plain.weight_hh_l0, std=n_units**-0.5)
torch.nn.init.normal_(plain.weight_ih_l0)
flossed = copy.deepcopy(plain)

# %%
# Flossing: 100 steps of Adam on the mean square of the 12 leading exponents.

optimizer = torch.optim.Adam(flossed.parameters(), lr=1e-3)
for _ in range(100):
    exponents = lyapunov_spectrum(flossed, 2 * random_bits(8, 40) - 1, n_exponents=12, differentiable=True)
    optimizer.zero_grad()
    exponents.square().mean().backward()
    optimizer.step()

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.5), layout="constrained")
for label, rnn, color in (("plain", plain, "tab:gray"), ("flossed", flossed, "tab:blue")):
    exponents = lyapunov_spectrum(rnn, 2 * random_bits(16, 100) - 1, warmup=20)["lyapunov_exponent"].mean("sequence")
    accuracy = train(rnn).unfold(0, 20, 20).mean(-1)
    print(f"{label}: largest exponent {exponents[0]:.2f} nats/step, accuracy {accuracy[-1]:.2f}")
    left.plot(exponents["exponent"], exponents, color=color, label=label)
    right.plot(torch.arange(20, 501, 20), accuracy, color=color)
left.set(xlabel="index", ylabel="exponent before training\n[nats/step]")
left.legend(frameon=False)
right.set(xlabel="update", ylabel="accuracy", ylim=(0.45, 1.02))
plt.show()
