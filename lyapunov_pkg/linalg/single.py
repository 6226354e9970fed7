"""Products of Jacobians and tangent vectors for trajectories whose matrices are stored one after the other.

All trajectories process the same rows at the same time, so that their weights are read from memory once. Each thread of
a team multiplies its own columns, which are those that it orthonormalises (`one_by_one.py`).
"""

from __future__ import annotations

from lyapunov_pkg.linalg.compilation import compiled
from lyapunov_pkg.linalg.layout import ROWS
from lyapunov_pkg.linalg.tiles import WIDE, add_narrow, add_wide, multiply_narrow, multiply_wide
from lyapunov_pkg.linalg.vectors import lanes, load, multiply_add, spread, store, view

COLUMNS_BYTES = 400_000
"""Size of the columns that are multiplied while rows of a Jacobian stay in the cache; those should stay there, too."""


@compiled
def apply_to_each(workspace, plan, slopes, variant, q, new):
    """Compute new = Jacobians times q for some trajectories, in the thread's own columns.

    Some vectors of rows of a block are formed at a time. Arguments as in `grouped.apply_to_group`. Slopes are
    (sequence, slot, row), one sequence for each matrix.
    """
    shape, width = plan.shape, lanes(q)
    _gather_slopes(workspace.slopes, plan, slopes)
    team, block_width = workspace.team, workspace.orthonormalization.scratch.block_width
    at_once = max(1, COLUMNS_BYTES // (block_width * shape.stride * q.itemsize)) * team.size
    n_all = -(-shape.n_columns // block_width)
    for first in range(team.rank, n_all, at_once):
        owned = range(first, min(first + at_once, n_all), team.size)
        for p in range(len(plan.blocks)):
            i = 0
            while i + WIDE * width <= shape.padded_block_rows:
                _apply_rows(workspace, plan, plan.blocks[p], variant, i, WIDE, len(slopes), owned, q, new)
                i += WIDE * width
            while i < shape.padded_block_rows:
                _apply_rows(workspace, plan, plan.blocks[p], variant, i, 1, len(slopes), owned, q, new)
                i += width


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
def _apply_rows(workspace, plan, block, variant, i, n_vectors, n_matrices, owned, q, new):
    """Apply n_vectors vectors of rows of a block, from row i, to columns of some matrices.

    `owned` are the numbers of blocks of columns.
    """
    shape, width, block_width = plan.shape, lanes(q), workspace.orthonormalization.scratch.block_width
    origin = new if block.after else q
    end = -(-shape.n_columns // ROWS) * ROWS
    for own in range(n_matrices):
        slopes_at = (own * plan.slots.shape[0] + block.first_slot) * shape.padded_block_rows + i
        matrix = own * shape.padded_columns * shape.stride + i
        for vector in range(n_vectors if block.n_weights > 0 else 0):
            at, row = slopes_at + vector * width, i + vector * width
            _form_rows(workspace, plan, block, at, variant, row, vector, n_vectors)
        for x in owned:
            first = matrix + x * block_width * shape.stride
            n_columns = min(block_width, end - x * block_width)
            if block.n_weights > 0:
                _multiply(workspace.rows, n_vectors, block, shape, n_columns, origin, new, first, first - i)
                continue
            for vector in range(n_vectors):
                at = vector * width
                _scale_rows(workspace.slopes, slopes_at + at, block, shape, n_columns, origin, new, first + at)


@compiled
def _scale_rows(gathered, slopes_at, block, shape, n_columns, origin, new, first):
    """Apply a vector of rows of a block without weights to columns, of which the rows of block 0 begin at `first`."""
    slope = load(gathered, slopes_at)
    for d in range(1, block.n_slots):
        slope = slope + load(gathered, slopes_at + d * shape.padded_block_rows)
    for c in range(n_columns):
        column = first + c * shape.stride
        place = column + block.target * shape.padded_block_rows
        product = slope * load(origin, column + block.source * shape.padded_block_rows)
        store(new, place, load(new, place) + product if block.adds else product)


@compiled
def _form_rows(workspace, plan, block, slopes_at, variant, first, vector, n_vectors):
    """Form a vector of rows of a block, from row `first`: formed[(column * n_vectors + vector) * lanes + row]."""
    size, formed, gathered, n_weights = plan.shape.padded_block_rows, workspace.rows, workspace.slopes, block.n_weights
    width = lanes(formed)
    at, to, step = block.weight_at + (variant * size + first) * size * n_weights, vector * width, n_vectors * width
    for j in range(size):
        total = spread(formed, 0)
        for t in range(n_weights):
            weight = load(plan.weights, at + (j * n_weights + t) * width)
            total = multiply_add(load(gathered, slopes_at + t * size), weight, total)
        store(formed, to + j * step, total)
    for d in range(n_weights, block.n_slots):
        for lane in range(width):
            formed[to + (first + lane) * step + lane] += gathered[slopes_at + d * size + lane]


@compiled
def _multiply(formed, n_vectors, block, shape, n_columns, origin, new, to, column):
    """Multiply columns, of which block 0 begins at `column` of `origin`, by rows that were formed.

    Rows of the product begin at `to` in block 0 of `new`.
    """
    size, stride = shape.padded_block_rows, shape.stride
    rows = view(formed, 0, n_vectors * lanes(new))
    columns = view(origin, column + block.source * size, stride)
    out = view(new, to + block.target * size, stride)
    if n_vectors == WIDE:
        if block.adds:
            add_wide(columns, n_columns, rows, size, out)
        else:
            multiply_wide(columns, n_columns, rows, size, out)
    elif block.adds:
        add_narrow(columns, n_columns, rows, size, out)
    else:
        multiply_narrow(columns, n_columns, rows, size, out)
