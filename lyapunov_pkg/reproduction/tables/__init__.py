"""The dissertation's tables, from ours: a function takes a Dataset and returns a pandas DataFrame.

`<quantity>_dissertation` is the dissertation's number, where it gives one.
"""

from __future__ import annotations

from lyapunov_pkg.reproduction.tables.chapter_2 import table_2_a1, table_2_a2, table_extra_correlations
from lyapunov_pkg.reproduction.tables.chapter_3 import (
    table_3_1,
    table_3_2,
    table_3_3,
    table_3_a1,
    table_3_b2,
    table_3_b3,
    table_3_b4,
    table_3_d5,
    table_extra_prednet,
    table_extra_pruning,
)
from lyapunov_pkg.reproduction.tables.chapter_4 import table_4_1
from lyapunov_pkg.reproduction.tables.writing import readable, write_table

__all__ = [
    "readable",
    "table_2_a1",
    "table_2_a2",
    "table_3_1",
    "table_3_2",
    "table_3_3",
    "table_3_a1",
    "table_3_b2",
    "table_3_b3",
    "table_3_b4",
    "table_3_d5",
    "table_4_1",
    "table_extra_correlations",
    "table_extra_prednet",
    "table_extra_pruning",
    "write_table",
]
