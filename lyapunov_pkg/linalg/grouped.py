"""Products of Jacobians and tangent vectors for a group of trajectories, one in each lane of a vector."""

from __future__ import annotations

from lyapunov_pkg.linalg.compilation import compiled
from lyapunov_pkg.linalg.interleaved import multiply_panel
from lyapunov_pkg.linalg.layout import PANEL, ROWS
from lyapunov_pkg.linalg.vectors import lanes, load, row_products, shifted, store, view


@compiled
def apply_to_group(workspace, plan, slopes, variant, q, new):
    """Compute new = Jacobians times q for a group.

    A few rows of a block are formed and applied at a time, so that only q and `new` have to stay in the cache.

    Args:
        workspace: `FlowWorkspace`.
        plan: `Plan`.
        slopes: (sequence, slot, row), one sequence in each lane.
        variant: index of the variant, which selects the weights.
        q: the tangent vectors before the step, a frame.
        new: the tangent vectors after the step, output.
    """
    shape, width = plan.shape, lanes(q)
    _gather_slopes(workspace.slopes, plan, slopes, width)
    for p in range(len(plan.blocks)):
        block = plan.blocks[p]
        origin = new if block.after else q
        if block.n_weights == 0:
            _scale(workspace.slopes, block, shape, origin, new)
            continue
        size, stride = shape.padded_block_rows, shape.stride
        source, target = block.source * size * width, block.target * size * width
        rows = view(workspace.rows, 0, plan.row_stride)
        for i in range(0, size, PANEL):
            _form_rows(workspace, plan, block, variant, i)
            for at in range(0, shape.padded_columns * stride, PANEL * stride):
                columns = view(origin, at + source, stride)
                multiply_panel(rows, columns, size, PANEL, view(new, at + target + i * width, stride), block.adds)


@compiled
def _gather_slopes(gathered, plan, slopes, width):
    """Copy the slopes of all terms into the order in which blocks read them: (term, row, lane)."""
    size = plan.shape.padded_block_rows
    for x in range(plan.slots.shape[0]):
        slot, times = plan.slots[x]
        for lane in range(len(slopes)):
            for i in range(plan.shape.block_rows):
                slope = slopes[lane, slot, i] if times < 0 else slopes[lane, slot, i] * slopes[lane, times, i]
                gathered[(x * size + i) * width + lane] = slope


@compiled
def _form_rows(workspace, plan, block, variant, first):
    """Form `PANEL` rows of a block, from row `first`, for each lane."""
    size, n_weights, width = plan.shape.padded_block_rows, block.n_weights, lanes(workspace.rows)
    slot, weight_at = block.first_slot * size * width, block.weight_at + variant * size * size * n_weights
    for row in range(first, first + PANEL):
        to = (row - first) * plan.row_stride
        slopes = view(workspace.slopes, slot + row * width, size * width)
        weights = view(plan.weights, weight_at + row * size * n_weights, n_weights)
        formed = view(workspace.rows, to, width)
        for j in range(0, size, ROWS):
            row_products(shifted(weights, j, 0), slopes, n_weights, shifted(formed, j, 0), 0, ROWS, 1)
        for d in range(n_weights, block.n_slots):
            slope = load(workspace.slopes, slot + (d * size + row) * width)
            store(workspace.rows, to + row * width, load(workspace.rows, to + row * width) + slope)


@compiled
def _scale(gathered, block, shape, origin, new):
    """Apply a block without weights to all columns of a group."""
    size, width = shape.padded_block_rows, lanes(new)
    slot, source, target = (block.first_slot * size * width, block.source * size * width, block.target * size * width)
    for x in range(0, size * width, width):
        slope = load(gathered, slot + x)
        for d in range(1, block.n_slots):
            slope = slope + load(gathered, slot + d * size * width + x)
        for at in range(0, shape.padded_columns * shape.stride, shape.stride):
            product, place = slope * load(origin, at + source + x), at + target + x
            store(new, place, load(new, place) + product if block.adds else product)
