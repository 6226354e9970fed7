"""
Gradient flossing during training
=================================

Training can move exponents away from zero again. Some networks must also keep their initial
weights. In both cases, the exponents can be a part of the training loss: every few updates, the
mean square of the leading exponents is added.

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


def train(rnn, floss_every=None):
    """Train on the task, and return every tenth update with its accuracy and largest exponent."""
    readout = torch.nn.Linear(n_units, 1)
    optimizer = torch.optim.Adam([*rnn.parameters(), *readout.parameters()], lr=3e-3)
    history = []
    for update in range(n_updates):
        inputs, targets = batch(32)
        logits = readout(rnn(inputs)[0])[:, 2 * delay :]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)
        if floss_every and update % floss_every == 0:
            loss = loss + lyapunov_spectrum(rnn, inputs[:8, :25], n_exponents=8, differentiable=True).square().mean()
        if update % 10 == 0:
            largest = lyapunov_spectrum(rnn, inputs[:8], n_exponents=1)["lyapunov_exponent"].mean()
            history.append((update, ((logits > 0) == targets.bool()).float().mean().item(), float(largest)))
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
for label, rnn, color, every in (
    ("plain", plain, "tab:gray", None),
    ("flossed while it trains", flossed, "tab:blue", 10),
):
    updates, accuracy, largest = train(rnn, floss_every=every)
    print(f"{label}: accuracy {accuracy[-5:].mean():.2f}, largest exponent {largest[-5:].mean():.2f} nats/step")
    left.plot(updates, largest, color=color, label=label)
    right.plot(updates, accuracy, color=color)
left.set(xlabel="update", ylabel="largest exponent [nats/step]")
left.legend(frameon=False)
right.set(xlabel="update", ylabel="accuracy", ylim=(0.45, 1.02))
plt.show()
