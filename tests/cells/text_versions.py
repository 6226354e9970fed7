"""Jacobians as the dissertation's text gives them, where they differ from the derivative of the map.

The command `python -m tests.cells.text_versions`, run in the root of the repository, prints the exponents in
docs/differences.md: from the text's Jacobians and from differentiation. Parameters have no leading axes here, states
are (B, S), inputs (B, F), Jacobians (B, H, H). diag(v) M is `v[..., None] * M`, and M diag(v) is `M * v[..., None, :]`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lyapunov_pkg.cells import Cell, make_cell
from lyapunov_pkg.cells.functions import sigmoid_slope, tanh_slope

Params = dict[str, Tensor]


def asrnn_eq_3_1(cell: Cell, params: Params, state: Tensor, x: Tensor) -> Tensor:
    """Eq. 3.1: diag(sech²((U - Uᵀ) h + W x)) (U - Uᵀ), without the identity and the step."""
    antisymmetric = params["recurrent_weight"] - params["recurrent_weight"].mT
    return tanh_slope(state @ antisymmetric.mT + cell.drive(params, x))[..., None] * antisymmetric


def gru_appendix(cell: Cell, params: Params, state: Tensor, x: Tensor) -> Tensor:
    """Appendix C: dn/dh without the bracket, so that sech² does not multiply r ∘ U_n."""
    u_r, u_z, u_n = params["recurrent_weight"].chunk(3)
    x_r, x_z, x_n = cell.drive(params, x).chunk(3, dim=-1)
    y_r, y_z, h_n = x_r + state @ u_r.mT, x_z + state @ u_z.mT, state @ u_n.mT
    r, z = torch.sigmoid(y_r), torch.sigmoid(y_z)
    n = torch.tanh(x_n + r * h_n)
    dn = (tanh_slope(x_n + r * h_n) * h_n * sigmoid_slope(y_r))[..., None] * u_r + r[..., None] * u_n
    dz = sigmoid_slope(y_z)[..., None] * u_z
    return (state - n)[..., None] * dz + (1 - z)[..., None] * dn + torch.diag_embed(z)


def cornn_appendix(cell: Cell, params: Params, state: Tensor, x: Tensor) -> Tensor:
    """Appendix C: (1 - dt² gamma) I + dt² W_yᵀ diag(1 - tanh²)."""
    slope = tanh_slope(state @ params["recurrent_weight"].mT + cell.drive(params, x))
    w_y = params["recurrent_weight"][:, : cell.hidden_size]
    identity = torch.eye(cell.hidden_size, dtype=state.dtype)
    return (1 - cell.dt**2 * cell.gamma) * identity + cell.dt**2 * w_y.mT * slope[..., None, :]


def lipschitz_appendix(cell: Cell, params: Params, state: Tensor, x: Tensor) -> Tensor:
    """Appendix C: I + dt alpha A + dt W diag(sech²)."""
    a, w = cell.prepare(params)["recurrent_weight"].chunk(2)
    slope = tanh_slope(state @ w.mT + cell.drive(params, x))
    return torch.eye(cell.hidden_size, dtype=state.dtype) + cell.dt * (a + w * slope[..., None, :])


def lem_appendix(cell: Cell, params: Params, state: Tensor, x: Tensor) -> Tensor:
    """Appendix C: y relaxes to W_y z + V_y u without the nonlinearity of eq. 3.9."""
    y, z = state.chunk(2, dim=-1)
    w_1, w_2, w_z, w_y = params["recurrent_weight"].chunk(4)
    x_1, x_2, x_z, x_y = cell.drive(params, x).chunk(4, dim=-1)
    a_1, a_2, a_z = x_1 + y @ w_1.mT, x_2 + y @ w_2.mT, x_z + y @ w_z.mT
    step_z, step_y = cell.dt * torch.sigmoid(a_1), cell.dt * torch.sigmoid(a_2)
    dz = (cell.dt * sigmoid_slope(a_1) * (torch.tanh(a_z) - z))[..., None] * w_1
    dz = dz + (step_z * tanh_slope(a_z))[..., None] * w_z
    z_next = z + step_z * (torch.tanh(a_z) - z)
    relaxation = (cell.dt * sigmoid_slope(a_2) * (x_y + z_next @ w_y.mT - y))[..., None] * w_2
    return torch.diag_embed(1 - step_y) + relaxation + step_y[..., None] * (w_y @ dz)


TEXT_VERSIONS: dict[str, Callable[[Cell, Params, Tensor, Tensor], Tensor]] = {
    "asrnn": asrnn_eq_3_1,
    "gru": gru_appendix,
    "cornn": cornn_appendix,
    "lipschitz": lipschitz_appendix,
    "lem": lem_appendix,
}


def random_cell(architecture: str, hidden_size: int = 32, init_param: float = 0.5) -> tuple[Cell, Params]:
    """Return a cell with 8 inputs and weights that are uniform on [-p, p], in float64."""
    cell = make_cell(architecture, 8, hidden_size)
    params = cell.draw_params(init_param, torch.Generator().manual_seed(0))
    return cell, {name: value.double() for name, value in params.items()}


def exponents(cell: Cell, params: Params, jacobian: Callable[..., Tensor], n_steps: int = 500) -> Tensor:
    """Return exponents [nats/step] from QR at every step, averaged over 8 sequences of Gaussian inputs."""
    inputs = torch.randn(n_steps, 8, cell.input_size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    state = torch.zeros(8, cell.state_size, dtype=torch.float64)
    size = jacobian(cell, params, state, inputs[0]).shape[-1]
    q, total = torch.eye(size, dtype=torch.float64), 0
    for x in inputs:
        q, r = torch.linalg.qr(jacobian(cell, params, state, x) @ q)
        total = total + r.diagonal(dim1=-2, dim2=-1).abs().log()
        state = cell.step(params, state, x)
    return (total / n_steps).mean(0)


def main() -> None:
    def derivative(cell, params, state, x):
        return cell.jacobian(params, state, x, jacobian="reduced")

    def full(cell, params, state, x):
        return cell.jacobian(params, state, x)

    for architecture in ("asrnn", "gru", "lstm", "cornn", "lipschitz", "lem"):
        cell, params = random_cell(architecture)
        versions = {"text": TEXT_VERSIONS.get(architecture), "reduced": derivative, "full": full}
        for name, jacobian in versions.items():
            if jacobian is not None:
                values = exponents(cell, params, jacobian)
                print(f"{architecture:10s} {name:8s} largest {values.max():8.4f}  mean {values.mean():8.4f}")


if __name__ == "__main__":
    main()
