"""
The recurrent layer of a whole model on text
============================================

A model with an embedding, a GRU and a readout learns to predict the characters of Python's help
texts. ``submodule_inputs`` returns the inputs that the GRU receives inside the model. They drive the
GRU when its spectrum is computed.
"""

from pydoc_data.topics import topics

import matplotlib.pyplot as plt
import torch

from lyapunov_pkg import lyapunov_spectrum, submodule_inputs

torch.manual_seed(0)
text = "".join(topics[name] for name in sorted(topics))[:200_000]
alphabet = sorted(set(text))
characters = torch.tensor([alphabet.index(character) for character in text])


class Model(torch.nn.Module):
    """Embedding, GRU and readout."""

    def __init__(self, n_characters):
        super().__init__()
        self.embedding = torch.nn.Embedding(n_characters, 16)
        self.rnn = torch.nn.GRU(16, 48, batch_first=True)
        self.readout = torch.nn.Linear(48, n_characters)

    def forward(self, tokens):
        """Return the logits (sequence, time, character) of the next character."""
        return self.readout(self.rnn(self.embedding(tokens))[0])


def excerpts(n_sequences, n_steps):
    """Return excerpts from random places, (sequence, time)."""
    starts = torch.randint(len(characters) - n_steps, (n_sequences, 1))
    return characters[starts + torch.arange(n_steps)]


def spectrum():
    """Return the spectrum of the GRU, averaged over eight excerpts."""
    inputs = submodule_inputs(model, "rnn", validation)
    return lyapunov_spectrum(model.rnn, inputs, warmup=50)["lyapunov_exponent"].mean("sequence")


model, validation = Model(len(alphabet)), excerpts(8, 300)
spectra = {"untrained": spectrum()}
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
for _ in range(300):
    batch = excerpts(16, 51)
    loss = torch.nn.functional.cross_entropy(model(batch[:, :-1]).transpose(1, 2), batch[:, 1:])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
spectra["trained"] = spectrum()
print(f"loss {loss.item():.1f} nats per character, {torch.tensor(len(alphabet)).log():.1f} by chance")

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
for label, exponents in spectra.items():
    axes.plot(exponents["exponent"], exponents, label=label)
axes.axhline(0, color="black", linewidth=0.5)
axes.set(xlabel="index", ylabel="Lyapunov exponent [nats/step]")
axes.legend(frameon=False)
plt.show()
