"""Where figures and tables stand."""

from __future__ import annotations

EXTRA = {
    "table_extra_correlations": 2,
    "table_extra_prednet": 3,
    "fig_extra_pruning": 3,
    "table_extra_pruning": 3,
    "fig_extra_clv_alignment": 4,
}
"""Figures and tables that the dissertation has not, by the chapter that they add to."""


def chapter_of(name: str) -> int:
    """The chapter that a figure or table stands in: that of "fig_3_5" is 3."""
    return EXTRA[name] if name in EXTRA else int(name.split("_")[1])
