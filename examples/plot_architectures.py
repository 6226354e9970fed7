"""
Comparing architectures
=======================

This example compares the spectra of six architectures. Each has 24 networks with weights that are
uniform on [-p, p]. A ``Network`` holds many variants, and one call computes the spectra of all.
"""

import matplotlib.pyplot as plt
import torch

from lyapunov_pkg import Network, lyapunov_spectrum, maximum_exponent

labels = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM", "lem": "LEM", "cornn": "coRNN", "asrnn": "ASRNN"}
widths = torch.linspace(0.05, 1.0, 24).tolist()
inputs = torch.randn(4, 150, 3, generator=torch.Generator().manual_seed(0))

# %%
# The weights of each variant come from its own seed.

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for architecture, label in labels.items():
    generators = [torch.Generator().manual_seed(seed) for seed in range(len(widths))]
    network = Network.initialise(architecture, 3, 24, 0, widths, generators)
    exponents = lyapunov_spectrum(network, inputs, warmup=50)["lyapunov_exponent"].mean("sequence")
    largest = maximum_exponent(exponents)
    print(f"{label:5} largest exponent {largest[0]:.2f} at p = {widths[0]:.2f}, {largest[-1]:.2f} at {widths[-1]:.2f}")
    left.plot(widths, largest, label=label)
    middle = exponents.isel(variant=len(widths) // 2)
    right.plot(middle["exponent"] / middle.sizes["exponent"], middle, label=label)
left.axhline(0, color="black", linewidth=0.5)
left.set(xlabel="half-width p of the weights", ylabel="largest exponent [nats/step]")
left.legend(frameon=False)
right.axhline(0, color="black", linewidth=0.5)
right.set(xlabel="index / number of exponents", ylabel="exponent [nats/step]", ylim=(-6, 1))
right.set_title(f"spectra at p = {widths[len(widths) // 2]:.2f}", fontsize="medium")
plt.show()
