"""
How many sequences and steps are enough
=======================================

An exponent is a mean over time steps, so its error decreases with the number of steps. A single run
is enough to estimate this error.
"""

import matplotlib.pyplot as plt
import torch

from lyapunov_pkg import finite_time_exponents, lyapunov_spectrum, running_exponents

torch.manual_seed(0)
rnn = torch.nn.RNN(input_size=3, hidden_size=32, batch_first=True)
inputs = torch.randn(64, 1100, 3)

# %%
# First compute the running estimates for 64 sequences, after a warm-up of 100 steps. Their spread is
# the error of a single sequence.

estimate = running_exponents(finite_time_exponents(rnn, inputs, n_exponents=1, warmup=100)).isel(exponent=0)
time = estimate["time"] - 100
spread = estimate.std("sequence")

# %%
# ``lyapunov_spectrum`` estimates the same error from batches of steps of one sequence.

lengths = [100, 200, 400, 800]
runs = [lyapunov_spectrum(rnn, inputs[:, : 100 + n], n_exponents=1, warmup=100) for n in lengths]
errors = [float(run["standard_error"].mean()) for run in runs]
for length, error in zip(lengths, errors, strict=True):
    print(f"{length} steps: error of one sequence {error:.4f}, of the mean of 64 {error / 64**0.5:.4f} nats/step")

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.5), layout="constrained")
left.plot(time, estimate.T, color="tab:blue", linewidth=0.4, alpha=0.5)
left.plot(time, estimate.mean("sequence"), color="black", label="mean of 64")
left.set(xlabel="measured steps", ylabel="largest exponent [nats/step]", xscale="log")
left.legend(frameon=False)
right.loglog(time, spread, label="spread of 64 sequences")
right.loglog(lengths, errors, "o", label="standard_error")
right.loglog(time, float(spread[99]) * (100 / time) ** 0.5, "k:", label="1/√steps")
right.set(xlabel="measured steps", ylabel="error of one sequence [nats/step]")
right.legend(frameon=False)
plt.show()

# %%
# From 400 steps on, both estimates agree. In shorter runs the batches have only a few steps. Then
# ``standard_error`` is too large, here by a factor of about two.
#
# The mean of 64 sequences has an eighth of the error of a single sequence. First choose enough steps
# that the initial state no longer matters. Then choose enough sequences for the error that you need.
