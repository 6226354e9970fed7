"""
Gradient flossing before training
=================================

If the Lyapunov exponents of a network are far below zero, its gradients vanish. The network then
cannot learn a task that needs a long memory. Gradient flossing moves the leading exponents towards
zero before training (Engelken 2023). This is possible because the exponents are differentiable.

The task is a delayed exclusive or of random bits: the target is x(t - d) XOR x(t - 2d).
"""

import copy

import matplotlib.pyplot as plt
import torch

from lyapunov_pkg import lyapunov_spectrum

torch.manual_seed(0)
delay, n_steps, n_units, n_updates = 7, 42, 32, 400


def batch(n_sequences):
    """Return inputs of -1 and 1 (sequence, time, 1), and the targets from step 2d on."""
    bits = torch.randint(0, 2, (n_sequences, n_steps, 1)).float()
    return 2 * bits - 1, (bits[:, delay:-delay] - bits[:, : -2 * delay]).abs()


def train(rnn):
    """Train on the task, and return the accuracy of each update."""
    readout = torch.nn.Linear(n_units, 1)
    optimizer = torch.optim.Adam([*rnn.parameters(), *readout.parameters()], lr=3e-3)
    accuracies = []
    for _ in range(n_updates):
        inputs, targets = batch(32)
        logits = readout(rnn(inputs)[0])[:, 2 * delay :]
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(logits, targets).backward()
        torch.nn.utils.clip_grad_norm_(rnn.parameters(), 1.0)
        optimizer.step()
        accuracies.append(((logits > 0) == targets.bool()).float().mean())
    return torch.stack(accuracies)


plain = torch.nn.RNN(1, n_units, batch_first=True)
torch.nn.init.normal_(plain.weight_hh_l0, std=n_units**-0.5)
torch.nn.init.normal_(plain.weight_ih_l0)
flossed = copy.deepcopy(plain)

# %%
# Flossing: 60 updates minimise the mean square of the eight leading exponents.

optimizer = torch.optim.Adam(flossed.parameters(), lr=3e-3)
for _ in range(60):
    exponents = lyapunov_spectrum(flossed, batch(8)[0][:, :25], n_exponents=8, differentiable=True)
    optimizer.zero_grad()
    exponents.square().mean().backward()
    optimizer.step()

# %%
# The flossed network learns the task much faster.

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.5), layout="constrained")
for label, rnn, color in (("plain", plain, "tab:gray"), ("flossed", flossed, "tab:blue")):
    exponents = lyapunov_spectrum(rnn, batch(16)[0], warmup=20)["lyapunov_exponent"].mean("sequence")
    accuracy = train(rnn).unfold(0, 20, 20).mean(-1)
    print(f"{label}: largest exponent {exponents[0]:.2f} nats/step, accuracy {accuracy[-1]:.2f}")
    left.plot(exponents["exponent"], exponents, color=color, label=label)
    right.plot(torch.arange(20, n_updates + 1, 20), accuracy, color=color)
left.set(xlabel="index", ylabel="exponent before training\n[nats/step]")
left.legend(frameon=False)
right.set(xlabel="update", ylabel="accuracy", ylim=(0.45, 1.02))
plt.show()
