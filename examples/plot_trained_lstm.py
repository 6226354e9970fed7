"""
The spectrum of a trained LSTM
==============================

An LSTM of ``torch.nn`` learns to predict the next value of a noisy sine. Its Lyapunov spectrum is
computed before and after training, with the same validation sequences.
"""

import matplotlib.pyplot as plt
import torch

from lyapunov_pkg import lyapunov_spectrum

torch.manual_seed(0)


def sequences(n_sequences, n_steps):
    """Return sines of random phase and noise, (sequence, time, 1)."""
    phase = 2 * torch.pi * torch.rand(n_sequences, 1)
    sines = torch.sin(0.2 * torch.arange(n_steps) + phase)
    return (sines + 0.1 * torch.randn(n_sequences, n_steps))[..., None]


class Model(torch.nn.Module):
    """An LSTM and a linear readout."""

    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(input_size=1, hidden_size=32, batch_first=True)
        self.readout = torch.nn.Linear(32, 1)

    def forward(self, inputs):
        """Return the predictions (sequence, time, 1)."""
        return self.readout(self.lstm(inputs)[0])


# %%
# ``lyapunov_spectrum`` needs the recurrent module and the inputs of its ``forward``. The first 100
# steps of each sequence are a warm-up, in which the state forgets its initial value.

model = Model()
validation = sequences(16, 400)
before = lyapunov_spectrum(model.lstm, validation, warmup=100)["lyapunov_exponent"]

optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
for _ in range(200):
    batch = sequences(32, 60)
    loss = torch.nn.functional.mse_loss(model(batch[:, :-1]), batch[:, 1:])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

after = lyapunov_spectrum(model.lstm, validation, warmup=100)["lyapunov_exponent"]
print(f"training loss: {loss.item():.3f}")
print(f"largest exponent: {before.mean('sequence')[0]:.3f} before, {after.mean('sequence')[0]:.3f} after training")

# %%
# A layer of 32 units has 64 exponents, because its state has 32 hidden units and 32 cell states.

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
for exponents, label in ((before, "untrained"), (after, "trained")):
    index, mean, spread = exponents["exponent"], exponents.mean("sequence"), exponents.std("sequence")
    axes.plot(index, mean, label=label)
    axes.fill_between(index, mean - spread, mean + spread, alpha=0.3)
axes.axhline(0, color="black", linewidth=0.5)
axes.set(xlabel="index", ylabel="Lyapunov exponent [nats/step]")
axes.legend(frameon=False)
plt.show()
