"""
A module of your own: a gated linear recurrent unit
===================================================

Many modern recurrent blocks are linear in their state, with gates that depend only on the input.
For each unit, the next state is ``f(x) h + (1 - f(x)) W x``. You can pass any module that maps
(x, state) to the next state.

The Jacobian of this block is diagonal. The exact exponents are therefore the means of log f over
time, and the example compares with them.
"""

import matplotlib.pyplot as plt
import torch

from lyapunov_pkg import lyapunov_spectrum

torch.manual_seed(0)


class GatedLinearUnit(torch.nn.Module):
    """One step of the recurrence."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.forget = torch.nn.Linear(input_size, hidden_size)
        self.candidate = torch.nn.Linear(input_size, hidden_size)
        with torch.no_grad():  # units with memories of 1 to 100 steps
            self.forget.bias.copy_(torch.logit(1 - 1 / torch.logspace(0.1, 2, hidden_size)))

    def forward(self, x, state):
        """Return the next state (sequence, unit)."""
        gate = torch.sigmoid(self.forget(x))
        return gate * state + (1 - gate) * self.candidate(x)


unit = GatedLinearUnit(4, 32)
inputs = torch.randn(4, 300, 4)
exponents = lyapunov_spectrum(unit, inputs, initial_state=torch.zeros(32), warmup=50)["lyapunov_exponent"]

# %%
# The exact exponents are means over the steps after the warm-up.

with torch.no_grad():
    expected = torch.nn.functional.logsigmoid(unit.forget(inputs[:, 50:])).mean(1).sort(descending=True).values
print(f"largest difference: {abs(exponents.values - expected.numpy()).max():.0e} nats/step")

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.5), layout="constrained")
left.plot(exponents["exponent"], exponents.mean("sequence"), "o", markerfacecolor="none", label="lyapunov_spectrum")
left.plot(exponents["exponent"], expected.mean(0), "k-", linewidth=1, label="mean of log f")
left.set(xlabel="index", ylabel="Lyapunov exponent [nats/step]")
left.legend(frameon=False)
right.semilogy(exponents["exponent"], -1 / exponents.mean("sequence"), "o-")
right.set(xlabel="index", ylabel="memory, -1/exponent [steps]")
plt.show()
