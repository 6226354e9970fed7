"""Reference numbers of every cell, because a changed random draw or constant would change all later results.

The order of draws, fixed constants, and the order of blocks in a weight have no closed form to test against. After an
intended change, `python tests/cells/test_golden.py` prints the new table.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lyapunov_pkg.cells import make_cell
from tests.cells.cell_settings import drawn_settings

# By setting: checksums of each initial parameter, and of the state after three steps.
GOLDEN: dict[str, list[float]] = {
    "rnn": [-0.72579389, 0.85183766, 0.961629],
    "lstm": [-0.9930328, 0.40315423, 0.21600481],
    "gru": [2.2357829, -8.9128297, 0.27984539],
    "asrnn": [-0.72579389, 0.85183766, -1.5355389],
    "cornn": [-0.72579389, 0.41301737, -1.0902215],
    "lipschitz": [-0.72579389, 0.41301737, -1.4504955],
    "noisy": [-0.72579389, 0.41301737, -1.5159045],
    "lem": [-0.9930328, 0.40315423, 0.77272944],
    "rank_one": [0.11389803, 3.3377724, -0.38926823],
    "rnn xavier_normal": [1.283037, 0.84504654, -1.0550117],
    "rnn orthogonal": [1.283037, 0.48806201, 0.85063431],
    "asrnn normal": [2.1383952, 0.84504654, -1.5532568],
    "lipschitz normal": [1.0660337, -2.3477544, -1.6509645],
    "noisy normal": [1.0660337, -2.3477544, -1.5818201],
}


def checksum(values: Tensor) -> float:
    """Return a sum in which every number has a different weight."""
    flat = values.double().flatten()
    return (flat * torch.arange(len(flat), dtype=torch.float64).cos()).sum().item()


def numbers(setting: str) -> list[float]:
    architecture, hyperparameters = drawn_settings()[setting]
    cell = make_cell(architecture, 2, 6, **hyperparameters)
    params = cell.draw_params(1.2, torch.Generator().manual_seed(2023))
    drawn = [checksum(params[name]) for name in cell.parameter_shapes()]
    params = {name: value.double() for name, value in params.items()}
    state = torch.linspace(-1, 1, cell.state_size, dtype=torch.float64)[None]
    for step in range(3):
        state = cell.step(params, state, torch.tensor([[0.5, -1.0 + step]], dtype=torch.float64))
    return [*drawn, checksum(state)]


@pytest.mark.parametrize("setting", GOLDEN)
def test_draws_and_steps_match_the_reference_numbers(setting):
    assert numbers(setting) == pytest.approx(GOLDEN[setting], rel=1e-5, abs=1e-5)


if __name__ == "__main__":
    for setting in drawn_settings():
        print(f'    "{setting}": [{", ".join(f"{number:.8g}" for number in numbers(setting))}],')
