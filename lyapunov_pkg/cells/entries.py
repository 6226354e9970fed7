"""Which cells there are, how they are called, and how figures draw them.

A new cell is a file of this folder and its entry in `CELLS`, whose key is the name of the file and of the cell.
"""

from __future__ import annotations

from dataclasses import dataclass

LineStyle = str | tuple[int, tuple[float, ...]]


@dataclass(frozen=True)
class Look:
    """How a figure draws the networks of a cell, in Matplotlib's terms.

    Attributes:
        color: of points and lines.
        marker: of points.
        marker_scale: size of the marker beside a circle, so that all look alike large.
        linestyle: of lines.
    """

    color: str
    marker: str
    marker_scale: float = 1.1
    linestyle: LineStyle = "-"


@dataclass(frozen=True)
class CellEntry:
    """A cell in the list of all cells.

    Attributes:
        class_name: its class, in the module of the architecture's name.
        label: its name in figures and tables.
        look: how figures draw it; None: one of `DEFAULT_LOOKS`, by its position among the cells that have no own.
    """

    class_name: str
    label: str
    look: Look | None = None


# Colours: Okabe and Ito's palette for colour-blind readers; its yellow, too pale on white paper, is replaced by a dark
# brown. Figures and tables list cells in this order.
CELLS: dict[str, CellEntry] = {
    "rnn": CellEntry("RNN", "RNN", Look("#000000", "o", 1.0, "-")),
    "lstm": CellEntry("LSTM", "LSTM", Look("#0072B2", "s", 0.9, "-")),
    "gru": CellEntry("GRU", "GRU", Look("#56B4E9", "D", 0.8, "--")),
    "asrnn": CellEntry("ASRNN", "ASRNN", Look("#E69F00", "^", 1.1, "-")),
    "cornn": CellEntry("CoRNN", "coRNN", Look("#D55E00", "v", 1.1, "--")),
    "lipschitz": CellEntry("LipschitzRNN", "Lipschitz RNN", Look("#009E73", "P", 1.3, "-.")),
    "noisy": CellEntry("NoisyRNN", "Noisy RNN", Look("#CC79A7", "<", 1.1, ":")),
    "lem": CellEntry("LEM", "LEM", Look("#6B3E1E", "*", 1.5, (0, (5, 1, 1, 1, 1, 1)))),
    "rank_one": CellEntry("RankOneRNN", "rank-1 RNN", Look("#777777", "h", 1.1, "-")),
}
"""The entry of each architecture."""

# For cells whose look is not given: three more colours that colour-blind readers tell apart from those above, twice.
DEFAULT_LOOKS = (
    Look("#332288", ">", 1.1, "--"),
    Look("#DDCC77", "p", 1.2, "-."),
    Look("#882255", "d", 1.1, ":"),
    Look("#332288", "H", 1.2, ":"),
    Look("#DDCC77", "8", 1.1, "-"),
    Look("#882255", "X", 1.2, "--"),
)


def look_of(architecture: str) -> Look:
    """Return how figures draw a cell: as its entry says, else by a default of its own.

    Cells without a look take `DEFAULT_LOOKS` in the order of `CELLS`, and from the beginning again when there are more.
    A name that is no cell's takes the default after theirs.

    Example:
        >>> look_of("gru").color
        '#56B4E9'
    """
    entry = CELLS.get(architecture)
    if entry is not None and entry.look is not None:
        return entry.look
    without = [name for name, other in CELLS.items() if other.look is None]
    position = without.index(architecture) if architecture in without else len(without)
    return DEFAULT_LOOKS[position % len(DEFAULT_LOOKS)]
