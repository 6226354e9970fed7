"""The pages that are written from the definitions: the schema for editors and docs/configuration.md."""

from __future__ import annotations

from pathlib import Path

from lyapunov_pkg.cells import Hyperparameter
from lyapunov_pkg.reproduction.configuration.cells import cell_hyperparameters
from lyapunov_pkg.reproduction.configuration.whole import Configuration
from lyapunov_pkg.reproduction.training.design import COMMON, Numbers
from lyapunov_pkg.workflow.settings_reference import reference_tables, schema_for_editors
from lyapunov_pkg.workflow.strict_yaml import read_configuration

INTRODUCTION = """# Configuration

`make schema` writes this page from `lyapunov_pkg/reproduction/configuration/`, where every setting is defined once.

`config.yaml` has the default values. Replace some of them in a file of your own and pass it with `--configfile`.
Mappings are merged, all other values are replaced. Before any job starts, the workflow refuses misspelt keys, wrong
types and values out of range, and names all of them at once. Every key is text and is given once in a mapping.

The column *unit* has 1 for numbers without a unit. The column *dissertation* has the value of the dissertation, where
it states one, with the study in brackets where studies differ.

"""
HYPERPARAMETERS = """## Hyperparameters of designs

`studies.NAME.hyperparameters` has the hyperparameters of the whole study, `studies.NAME.design.ENTRY` those of one
entry. Each is a value, or has one of these forms:

| form | meaning |
| --- | --- |
| `{grid: [...]}` | each of the values, with each of other grids |
| `{uniform: [low, high]}` | drawn at random between two numbers |
| `{log_uniform: [low, high]}` | drawn at random between two numbers, uniform in the logarithm |
| `null` in an overlay | removes the hyperparameter, entry, form or whole study |

All values of every form must be in the range. Names of studies and entries become names of files: they have lower-case
letters, digits, `_` and `-`, and begin with a letter.

Every network has these:

| hyperparameter | allowed | default |
| --- | --- | --- |
"""
CELLS_OF_DESIGNS = """
The cells have additional hyperparameters. A cell declares them in its file in `lyapunov_pkg/cells/`.

| cell | hyperparameter | meaning | unit | allowed | default | source of the default |
| --- | --- | --- | --- | --- | --- | --- |
"""


def pages(root: Path) -> dict[Path, str]:
    """Return {path below `root`: content} of the pages that are written from the definitions."""
    defaults = read_configuration(root / "config.yaml")
    return {
        root / "schemas" / "config.schema.yaml": schema_for_editors(Configuration, "Configuration of the workflow"),
        root / "docs" / "configuration.md": INTRODUCTION
        + reference_tables(Configuration, defaults)
        + "\n"
        + HYPERPARAMETERS
        + "".join(_common_row(name, numbers) for name, numbers in COMMON.items())
        + CELLS_OF_DESIGNS
        + "".join(_row(cell, own) for cell, of_cell in cell_hyperparameters().items() for own in of_cell.values()),
    }


def _common_row(name: str, numbers: Numbers) -> str:
    default = "must be given" if numbers.default is None else f"`{numbers.default}`"
    return f"| `{name}` | {numbers.expected} | {default} |\n"


def _row(cell: str, own: Hyperparameter) -> str:
    columns = (cell, f"`{own.name}`", own.meaning, own.unit, own.expected, f"`{own.default}`", own.source)
    return f"| {' | '.join(columns)} |\n"
