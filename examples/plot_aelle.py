"""
AeLLE of your own networks
==========================

AeLLE is an autoencoder of Lyapunov spectra whose latent layer also predicts the loss. Here it learns from the spectra
of 200 small recurrent networks. These differ only in the gain g of their random weights. The loss is the error with
which a linear readout recalls the input of five steps ago.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from lyapunov_pkg import AeLLE, lyapunov_spectrum

# %%
# A population of networks, with the spectrum and the loss of each
# -----------------------------------------------------------------
# The loss is the mean square error of the best readout, divided by the variance of the input.

rng = np.random.default_rng(0)
inputs = torch.from_numpy(rng.uniform(-1, 1, size=(1, 400, 1))).float()


def spectrum_and_loss(gain: float, seed: int) -> tuple[np.ndarray, float]:
    """Return the spectrum (16,) of a network of 16 units, and its loss."""
    torch.manual_seed(seed)
    rnn = torch.nn.RNN(1, 16, batch_first=True)
    torch.nn.init.normal_(rnn.weight_hh_l0, std=gain / 4)
    result = lyapunov_spectrum(rnn, inputs, warmup=100)
    states = rnn(inputs)[0][0, 100:].detach().double().numpy()
    target = inputs[0, 95:-5, 0].numpy()
    error = target - states @ np.linalg.lstsq(states, target, rcond=None)[0]
    return result["lyapunov_exponent"].values[0], float(np.mean(error**2) / np.var(target))


gains = rng.uniform(0.2, 2.0, size=200)
spectra, losses = map(np.array, zip(*map(spectrum_and_loss, gains, range(200)), strict=True))

# %%
# Fit to 150 networks, and predict the others
# -------------------------------------------
# ``AeLLE`` is a scikit-learn estimator, so you can use it in cross-validation, parameter searches and pipelines. Its
# default layers suit spectra of hundreds of exponents. Here a spectrum has 16, and the layers have 8 and 4 units.

aelle = AeLLE(layer_divisors=(2, 4), latent_size=4, random_state=0).fit(spectra[:150], losses[:150])
print(f"R² on the networks that AeLLE has not seen: {aelle.score(spectra[150:], losses[150:]):.2f}")

# %%
# The embedding, and spectra for a lower loss
# -------------------------------------------
# Along the first principal component of the latent layer, the loss falls. ``shift`` changes the predicted loss of a
# network and decodes the spectrum for this loss. With a lower loss, the leading exponents are more negative.

fig, (plane, decoded) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
points = aelle.transform(spectra)
drawn = plane.scatter(points[:, 0], points[:, 1], c=losses, s=14, cmap="viridis")
fig.colorbar(drawn, ax=plane, label="loss")
plane.set(xlabel="AeLLE PC1", ylabel="AeLLE PC2")

network = np.argsort(losses)[len(losses) // 2]  # of median loss
decoded.plot(range(1, 17), spectra[network], ".", color="0.5", label="spectrum of a network")
for delta, line in ((-0.4, "#0072B2"), (0.0, "#000000"), (0.4, "#D55E00")):
    label = f"predicted loss {delta:+.1f}" if delta else "reconstructed by the autoencoder"
    decoded.plot(range(1, 17), aelle.shift(spectra[[network]], delta)[0], color=line, label=label)
decoded.set(xlabel="index of the exponent", ylabel="Lyapunov exponent [nat/step]", xticks=range(1, 17, 3))
decoded.legend()
plt.show()
