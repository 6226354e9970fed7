"""The records of all figures and tables, found without importing the code that draws them.

A record is a decorator. Its arguments are constants of its module, or of modules that import only constants. It is read
from the syntax tree, so that a plan of the workflow does not wait for matplotlib and pandas.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from lyapunov_pkg.reproduction.records import Declaration, Record, RecordError

REPRODUCTION = Path(__file__).parent
FOLDERS = {"figure": REPRODUCTION / "figures", "table": REPRODUCTION / "tables"}


@functools.cache
def figures() -> dict[str, Record]:
    """Return {name: record} of all figures of chapters, in natural order.

    Raises:
        RecordError: a record cannot be used, or two figures have the same name.
    """
    return {name: record for name, record in records_of_kind("figure").items() if record.chapter is not None}


@functools.cache
def tables() -> dict[str, Record]:
    """Return {name: record} of all tables of chapters, in natural order. It raises the errors of `figures`."""
    return {name: record for name, record in records_of_kind("table").items() if record.chapter is not None}


@functools.cache
def of_every_study() -> tuple[Record, ...]:
    """Return the records of figures and tables that every study has. It raises the errors of `figures`."""
    return tuple(record for kind in FOLDERS for record in records_of_kind(kind).values() if record.chapter is None)


def load(place: str) -> Callable[..., Any]:
    """Import and return the function at a record's `place`, "package.module:name"."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


@functools.cache
def records_of_kind(kind: str) -> dict[str, Record]:
    """Return {name of the function: record} of all records of a kind. It raises the errors of `figures`."""
    found: dict[str, Record] = {}
    for path in sorted(FOLDERS[kind].rglob("*.py")):
        for record in read_records(path):
            if record.name in found:
                raise RecordError(f"{record.name} is in {record.module} and in {found[record.name].module}")
            if record.kind != kind:
                raise RecordError(f"{record.name} in {record.module} is a {record.kind}; expected a {kind} there")
            found[record.name] = record
    return dict(sorted(found.items(), key=lambda item: item[1].order))


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of the functions in one file below `reproduction`.

    Raises:
        RecordError: the file cannot be parsed, or a record cannot be used.
    """
    module = ".".join((__package__, *path.relative_to(REPRODUCTION).with_suffix("").parts)).removesuffix(".__init__")
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), path.name)
    except SyntaxError as error:
        raise RecordError(f"{module} cannot be read: {error}") from None
    constants = Constants(tree)
    for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
        declaration = _declaration(function, module, constants)
        if declaration is not None:
            arguments = function.args
            parameters = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
            yield declaration.record(module, function.name, parameters, takes_any=arguments.kwarg is not None)


def _declaration(function: ast.FunctionDef, module: str, constants: Constants) -> Declaration | None:
    """Return the `figure` or `table` that decorates a function, or None."""
    for decorator in function.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(called, ast.Name) and called.id in FOLDERS:
            try:
                declaration = constants.evaluate(decorator)
            except Exception as error:  # an expression can raise any exception
                raise RecordError(
                    f"{function.name} in {module}: its record cannot be read: {type(error).__name__}: {error}"
                ) from None
            if not isinstance(declaration, Declaration):
                raise RecordError(f"{function.name} in {module}: expected @{called.id}(stores=..., caption=...)")
            return declaration
    return None


class Constants:
    """The values of a module's names, computed when a record needs them."""

    def __init__(self, tree: ast.Module) -> None:
        """Sort the names by their origin: an import, or an assignment in the module."""
        self.imported: dict[str, tuple[str, str]] = {}
        self.assigned: dict[str, ast.expr] = {}
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and node.module:
                self.imported |= {alias.asname or alias.name: (node.module, alias.name) for alias in node.names}
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            for target in targets:
                if isinstance(target, ast.Name) and isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
                    self.assigned[target.id] = node.value

    def evaluate(self, expression: ast.expr) -> Any:
        """Return the value of an expression. Only the modules of its names are imported."""
        names = {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}
        scope = {name: self.value(name) for name in names if name in self.imported or name in self.assigned}
        return eval(compile(ast.Expression(expression), "<record>", "eval"), scope)

    def value(self, name: str) -> Any:
        """Return the value of one of the module's names."""
        if name in self.assigned:
            return self.evaluate(self.assigned[name])
        module, imported = self.imported[name]
        return getattr(import_module(module), imported)
