"""
Gradient flossing during training
=================================

Training can push exponents away from zero again, or a network may have to start from weights as
they are. Then the exponents can be part of the loss: every few updates, the mean square of the
leading ones is added.

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


def leading_exponents(rnn, differentiable):
    """Return the 12 leading exponents under new inputs, (sequence, exponent)."""
    return lyapunov_spectrum(rnn, 2 * random_bits(8, 40) - 1, n_exponents=12, differentiable=differentiable)


def train(rnn, flosses, n_updates=500):
    """Train on the task, and return accuracy and largest exponent every 10 updates."""
    readout = torch.nn.Linear(n_units, 1)
    optimizer = torch.optim.Adam([*rnn.parameters(), *readout.parameters()], lr=2e-3)
    history = []
    for update in range(n_updates):
        bits = random_bits(32, 60)
        targets = (bits[:, delay:-delay] - bits[:, : -2 * delay]).abs()
        logits = readout(rnn(2 * bits - 1)[0])[:, 2 * delay :]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)
        if flosses and update % 5 == 0:
            loss = loss + leading_exponents(rnn, differentiable=True).square().mean()
        if update % 10 == 0:
            largest = leading_exponents(rnn, differentiable=False)["lyapunov_exponent"][:, 0].mean()
            accuracy = ((logits > 0) == targets.bool()).float().mean()
            history.append((update, float(accuracy), float(largest)))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(rnn.parameters(), 1.0)
        optimizer.step()
    return torch.tensor(history).T


plain = torch.nn.RNN(1, n_units, batch_first=True)
torch.nn.init.normal_(plain.weight_hh_l0, std=n_units**-0.5)
torch.nn.init.normal_(plain.weight_ih_l0)
flossed = copy.deepcopy(plain)

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.5), layout="constrained")
for label, rnn, color in (("plain", plain, "tab:gray"), ("flossed while it trains", flossed, "tab:blue")):
    updates, accuracy, largest = train(rnn, flosses=rnn is flossed)
    print(f"{label}: accuracy {accuracy[-5:].mean():.2f}, largest exponent {largest[-5:].mean():.2f} nats/step")
    left.plot(updates, largest, color=color, label=label)
    right.plot(updates, accuracy, color=color)
left.set(xlabel="update", ylabel="largest exponent [nats/step]")
left.legend(frameon=False)
right.set(xlabel="update", ylabel="accuracy", ylim=(0.45, 1.02))
plt.show()
