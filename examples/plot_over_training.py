"""
Spectra over training
=====================

An RNN learns to repeat its input of eight steps ago. Every 20 updates, its spectrum is computed with
the same validation inputs.
"""

import matplotlib.pyplot as plt
import torch
import xarray as xr

from lyapunov_pkg import lyapunov_spectrum

torch.manual_seed(0)
delay = 8
rnn, readout = torch.nn.RNN(1, 32, batch_first=True), torch.nn.Linear(32, 1)
optimizer = torch.optim.Adam([*rnn.parameters(), *readout.parameters()], lr=1e-3)
validation = torch.randn(16, 150, 1)

spectra, losses = {}, []
for update in range(601):
    if update % 20 == 0:
        spectra[update] = lyapunov_spectrum(rnn, validation, warmup=50)["lyapunov_exponent"].mean("sequence")
    inputs = torch.randn(32, 40, 1)
    loss = (readout(rnn(inputs)[0])[:, delay:] - inputs[:, :-delay]).square().mean()
    losses.append(loss.item())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

exponents = xr.concat(spectra.values(), xr.DataArray(list(spectra), dims="update", name="update"))
first, last = exponents.isel(exponent=0, update=[0, -1]).values
print(f"loss {losses[0]:.2f} to {losses[-1]:.2f}, largest exponent {first:.2f} to {last:.2f} nats/step")

figure, (upper, lower) = plt.subplots(2, 1, figsize=(7, 5), layout="constrained", sharex=True, height_ratios=(2, 1))
upper.plot(exponents["update"], exponents, color="tab:blue", linewidth=0.8)
upper.axhline(0, color="black", linewidth=0.5)
upper.set(ylabel="Lyapunov exponents [nats/step]")
lower.plot(losses, color="tab:orange")
lower.set(xlabel="update", ylabel="loss", ylim=(0, None))
plt.show()
