"""The list of all cells, with their labels and their look in figures.

To add a cell, add a file in this folder and an entry in `CELLS`. The key is the name of the file and of the cell.
"""

from __future__ import annotations

from dataclasses import dataclass

LineStyle = str | tuple[int, tuple[float, ...]]


@dataclass(frozen=True)
class Look:
    """Colours, markers and lines for the networks of a cell in figures, in Matplotlib's terms.

    Attributes:
        color: colour of points and lines.
        marker: marker of points.
        marker_scale: size of the marker relative to a circle, so that all markers appear equally large.
        linestyle: style of lines.
    """

    color: str
    marker: str
    marker_scale: float = 1.1
    linestyle: LineStyle = "-"


@dataclass(frozen=True)
class CellEntry:
    """The entry of a cell in the list of all cells.

    Attributes:
        class_name: name of its class, in the module with the architecture's name.
        label: its name in figures and tables.
        look: its look in figures; None: one of `DEFAULT_LOOKS`, by its position among the cells without a look.
    """

    class_name: str
    label: str
    look: Look | None = None


# Colours are Okabe and Ito's palette for colour-blind readers. A dark brown replaces its yellow, which is too pale on
# white paper. Figures and tables list cells in this order.
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

# Looks of cells without their own: three more colours that colour-blind readers can tell apart, each used twice.
DEFAULT_LOOKS = (
    Look("#332288", ">", 1.1, "--"),
    Look("#DDCC77", "p", 1.2, "-."),
    Look("#882255", "d", 1.1, ":"),
    Look("#332288", "H", 1.2, ":"),
    Look("#DDCC77", "8", 1.1, "-"),
    Look("#882255", "X", 1.2, "--"),
)


def look_of(architecture: str) -> Look:
    """Return the look of a cell in figures: that of its entry, or a default.

    Cells without a look get `DEFAULT_LOOKS` in the order of `CELLS`, cyclically. A name that is not a cell gets the
    default after theirs.

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
