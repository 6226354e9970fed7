"""The Jacobian of a layered network: figure 2.1."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from lyapunov_pkg.plots import COLORS
from lyapunov_pkg.reproduction.figures.style import DOUBLE_WIDTH
from lyapunov_pkg.reproduction.records import Store, figure


@figure(
    stores={"layers": Store("results/networks/layered_jacobian.zarr.zip", ("jacobian", "layer", "previous_layer"))},
    caption=(
        "Jacobian of a layered network with random weights. Each block is a product of derivatives of layers (eq. "
        "2.6) and has the colours of these layers. No layer depends on a layer above it."
    ),
)
def fig_2_1(layers: xr.Dataset) -> Figure:
    """Draw the Jacobian of a layered network, with each block in the colours of the layers in its product.

    `layers` is the Dataset of `reproduction.untrained.layered_jacobian`. Darker entries are larger, and zeros are
    white.
    """
    jacobian, of_row, of_column = (layers[name].values for name in ("jacobian", "layer", "previous_layer"))
    n_layers, size = int(of_row.max()), np.count_nonzero(of_row == 1)
    fig = Figure(figsize=(DOUBLE_WIDTH, 4.4), layout="constrained")
    ax = fig.subplots()
    strength = np.minimum(1, np.abs(jacobian) / np.percentile(np.abs(jacobian[jacobian != 0]), 90)) ** 0.5
    # The layers between that of the column and that of the row divide a block's rows.
    row_in_block = np.arange(len(of_row)) % size
    n_shared = of_row[:, None] - of_column + 1
    layer = np.minimum(of_column + row_in_block[:, None] * n_shared // size, of_row[:, None])
    colors = np.array([to_rgb(color) for color in COLORS])[(np.maximum(layer, 1) - 1) % len(COLORS)]
    image = 1 - (np.where(jacobian == 0, 0, 0.15 + 0.85 * strength))[..., None] * (1 - colors)
    ax.imshow(image, interpolation="nearest", extent=(0, n_layers, n_layers, 0))
    for edge in range(n_layers + 1):
        ax.axhline(edge, color="black", linewidth=0.6)
        ax.axvline(edge, color="black", linewidth=0.6)
    for number in range(n_layers):
        ax.plot([], [], "s", color=COLORS[number % len(COLORS)], markersize=6, label=f"layer {number + 1}")
    ax.plot([], [], " ", label="darker: larger")
    names = [f"layer {number + 1}" for number in range(n_layers)]
    ax.set_xticks(np.arange(n_layers) + 0.5, names)
    ax.set_yticks(np.arange(n_layers) + 0.5, names)
    ax.set(xlabel="with respect to a hidden unit at step t − 1", ylabel="derivative of a hidden unit at step t")
    ax.tick_params(length=0)
    ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1), title="contains the derivative of", alignment="left")
    return fig
