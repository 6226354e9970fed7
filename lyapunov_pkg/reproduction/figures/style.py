"""Style of all figures: sizes and fonts for a paper, the look of every architecture, and saving."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from lyapunov_pkg.cells.entries import look_of
from lyapunov_pkg.plots import COLORS
from lyapunov_pkg.reproduction.figures.presentation import ARCHITECTURE_LABELS, SERIES_NAMES

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

Keywords = dict[str, Any]
"""Keyword arguments of a function of Matplotlib."""

DOUBLE_WIDTH = 7.2  # inches, both columns

PAPER_STYLE: dict[RcKeyType, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.titlepad": 9,  # space for the note on points outside
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "legend.columnspacing": 1.2,
    "legend.handletextpad": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "hatch.linewidth": 0.5,
    "figure.dpi": 150,
    "pdf.fonttype": 42,  # text stays text in the PDF
}


@dataclass(frozen=True)
class ArchitectureStyle:
    """Name, colour, marker and line of an architecture, the same in every figure."""

    label: str
    color: str
    marker: str
    marker_scale: float
    linestyle: str | tuple[int, tuple[float, ...]]


# Colours of series without their own look: those of cells (Okabe and Ito), with the dissertation's names and order.
SERIES_COLORS = dict(zip(SERIES_NAMES, COLORS, strict=True))
SERIES_MARKERS = ("o", "s", "D", "^", "v", "P")

LOW_ERROR_COLOR = "#2B5C9E"
HIGH_ERROR_COLOR = "#F2A15F"
LOW_ERROR_MARKER = "o"
HIGH_ERROR_MARKER = "X"


def architecture_style(architecture: str) -> ArchitectureStyle:
    """Return the style of `architecture` from its entry. A name that is not a cell gets a default look."""
    look = look_of(architecture)
    label = ARCHITECTURE_LABELS.get(architecture, architecture)
    return ArchitectureStyle(label, look.color, look.marker, look.marker_scale, look.linestyle)


def save_figure(fig: Figure, pdf_path: Path | str, png_path: Path | str) -> None:
    """Save `fig` as PDF and as PNG with 300 dots per inch. The same figure gives the same bytes (without dates)."""
    with rc_context(PAPER_STYLE):
        fig.savefig(pdf_path, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
        fig.set_layout_engine(None)  # The PNG has the layout of the PDF; "none" would draw it once more in vain.
        fig.savefig(png_path, format="png", dpi=300, metadata={"Software": None})
