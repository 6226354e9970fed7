"""Products of Jacobians and tangent vectors for trajectories whose matrices are stored one after the other.

All trajectories process the same rows at the same time, so that their weights are read from memory once.
"""

from __future__ import annotations

from lyapunov_pkg.linalg.compilation import compiled
from lyapunov_pkg.linalg.layout import ROWS
from lyapunov_pkg.linalg.vectors import lanes, load, multiply_add, row_products, spread, store, view


@compiled
def apply_to_each(workspace, plan, slopes, variant, q, new):
    """Compute new = Jacobians times q for some trajectories, with one vector of rows of a block at a time.

    Arguments as in `grouped.apply_to_group`. Slopes are (sequence, slot, row), one sequence for each matrix.
    """
    size, width, n_slots = plan.shape.padded_block_rows, lanes(q), plan.slots.shape[0]
    _gather_slopes(workspace.slopes, plan, slopes)
    for p in range(len(plan.blocks)):
        block = plan.blocks[p]
        origin = new if block.after else q
        for i in range(0, size, width):
            for own in range(len(slopes)):
                slopes_at = (own * n_slots + block.first_slot) * size + i
                first = own * plan.shape.padded_columns * plan.shape.stride
                if block.n_weights == 0:
                    _scale_rows(workspace.slopes, slopes_at, block, plan.shape, origin, new, first + i)
                else:
                    _form_rows(workspace, plan, block, slopes_at, variant, i)
                    _apply_rows(workspace.rows, block, plan.shape, origin, new, first, i)


@compiled
def _gather_slopes(gathered, plan, slopes):
    """Copy the slopes of all terms into the order in which blocks read them: (trajectory, term, row)."""
    size, n_slots = plan.shape.padded_block_rows, plan.slots.shape[0]
    for own in range(len(slopes)):
        for x in range(n_slots):
            slot, times = plan.slots[x]
            for i in range(plan.shape.block_rows):
                slope = slopes[own, slot, i] if times < 0 else slopes[own, slot, i] * slopes[own, times, i]
                gathered[(own * n_slots + x) * size + i] = slope


@compiled
def _scale_rows(gathered, slopes_at, block, shape, origin, new, first):
    """Apply a vector of rows of a block without weights to the trajectory whose rows of block 0 begin at `first`."""
    slope = load(gathered, slopes_at)
    for d in range(1, block.n_slots):
        slope = slope + load(gathered, slopes_at + d * shape.padded_block_rows)
    for c in range(shape.n_columns):
        column = first + c * shape.stride
        place = column + block.target * shape.padded_block_rows
        product = slope * load(origin, column + block.source * shape.padded_block_rows)
        store(new, place, load(new, place) + product if block.adds else product)


@compiled
def _form_rows(workspace, plan, block, slopes_at, variant, first):
    """Form a vector of rows of a block, from row `first`: formed[column * lanes + row]."""
    size, formed, gathered, n_weights = plan.shape.padded_block_rows, workspace.rows, workspace.slopes, block.n_weights
    width = lanes(formed)
    at = block.weight_at + (variant * size + first) * size * n_weights
    for j in range(size):
        total = spread(formed, 0)
        for t in range(n_weights):
            weight = load(plan.weights, at + (j * n_weights + t) * width)
            total = multiply_add(load(gathered, slopes_at + t * size), weight, total)
        store(formed, j * width, total)
    for d in range(n_weights, block.n_slots):
        for lane in range(width):
            formed[(first + lane) * width + lane] += gathered[slopes_at + d * size + lane]


@compiled
def _apply_rows(formed, block, shape, origin, new, trajectory, first):
    """Multiply all columns of the trajectory that begins at `trajectory` by the formed rows, from `first` on."""
    size, width, stride = shape.padded_block_rows, lanes(new), shape.stride
    rows = view(formed, 0, width)
    for c in range(0, shape.padded_columns, ROWS):
        column = trajectory + c * stride
        columns = view(origin, column + block.source * size, stride)
        to = view(new, column + block.target * size + first, stride)
        if block.adds:
            row_products(columns, rows, size, to, 1, ROWS, 1)
        else:
            row_products(columns, rows, size, to, 0, ROWS, 1)
