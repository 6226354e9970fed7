"""What a stage's result depends on beyond its inputs and settings: the code it can reach, and the numerical libraries.

The code digest starts at a script and follows imports and names through the package, definition by definition.
Comments, docstrings and formatting do not count: they are not in the syntax tree that is hashed.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

PACKAGE_ROOT = Path(__file__).parents[1]
PACKAGE = PACKAGE_ROOT.name
NUMERICAL_LIBRARIES = ("numba", "numpy", "torch", "xarray", "zarr", "scikit-learn")


def stage_provenance(script: str | Path, definitions: Iterable[str] = ()) -> dict[str, str]:
    """Return the digest of the code that `script` reaches and the versions of the numerical libraries.

    Args:
        script: a stage's script.
        definitions: what the script loads by name at run time, as "package.module" or "package.module:definition".

    Raises:
        ModuleNotFoundError: an import or a definition names a module that the package does not have.
    """
    return {"code": code_digest(script, definitions)} | library_versions()


@functools.cache
def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that results depend on numerically."""
    return {name: version(name) for name in NUMERICAL_LIBRARIES}


def content_digest(path: str | Path) -> str:
    """Return the SHA-256 of a file's content."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def code_digest(script: str | Path, definitions: Iterable[str] = ()) -> str:
    """Return the SHA-256 of every definition that `script` and `definitions` can reach; see `stage_provenance`."""
    start = read_module(Path(script))
    pending = [resolved(place) for place in start.reached_by(None)]
    for text in definitions:
        module, _, name = text.partition(":")
        pending.append(resolved((module, name or None)))
    reached: dict[tuple[str, str | None], str] = {("", None): start.code(None)}
    while pending:
        place = pending.pop()
        if place not in reached:
            reached[place], places = definition(*place)
            pending.extend(places)
    text = "\n".join(f"{module}:{name}:{code}" for (module, name), code in sorted(reached.items(), key=str))
    return hashlib.sha256(text.encode()).hexdigest()


@functools.cache
def definition(module_name: str, name: str | None) -> tuple[str, set[tuple[str, str | None]]]:
    """Return the code of a definition, and the places that it reaches in one step; most stages reach the same ones."""
    module = read_module(module_path(module_name))
    places = {resolved(place) for place in module.reached_by(name)}
    return module.code(name), places | {(parent, "") for parent in parents(module_name)}


def resolved(place: tuple[str, str | None]) -> tuple[str, str | None]:
    """Return where a name really is: a definition, what a package imports under that name, or one of its modules."""
    while place[1]:
        module_name, name = place
        module = read_module(module_path(module_name))
        if name in module.definitions:
            return place
        place = module.imports.get(name, [(f"{module_name}.{name}", None)])[-1]
    return place


class ModuleCode:
    """The syntax tree of one module: top-level definitions, imports from the package, and other statements."""

    def __init__(self, tree: ast.Module) -> None:
        """Sort the module's statements; docstrings are removed."""
        remove_docstrings(tree)
        self.imports: dict[str, list[tuple[str, str | None]]] = {}
        for local_name, place in package_imports(tree):
            self.imports.setdefault(local_name, []).append(place)
        self.definitions: dict[str, list[ast.stmt]] = {}
        self.other: list[ast.stmt] = []
        for statement in tree.body:
            names = defined_names(statement)
            for name in names:
                self.definitions.setdefault(name, []).append(statement)
            if not names and not isinstance(statement, ast.Import | ast.ImportFrom):
                self.other.append(statement)

    def statements(self, name: str | None) -> list[ast.stmt]:
        """Return the statements of one definition; of the whole module for None; of nothing but side effects for ""."""
        if name is None:
            return [statement for statements in self.definitions.values() for statement in statements] + self.other
        return self.definitions.get(name, []) + self.other

    def code(self, name: str | None) -> str:
        """Return what is hashed for a definition."""
        return "".join(ast.dump(statement, annotate_fields=False) for statement in self.statements(name))

    def reached_by(self, name: str | None) -> Iterator[tuple[str, str | None]]:
        """Yield the package's places that a definition names, in this module (as imported) or in others."""
        for statement in self.statements(name):
            for node in ast.walk(statement):
                if isinstance(node, ast.Name) and node.id in self.imports:
                    yield from self.imports[node.id]
                if isinstance(node, ast.Name) and node.id in self.definitions and self.module_name:
                    yield self.module_name, node.id

    module_name: str = ""


@functools.cache
def read_module(path: Path) -> ModuleCode:
    """Parse a module of the package, or a script."""
    module = ModuleCode(ast.parse(path.read_text()))
    if path.is_relative_to(PACKAGE_ROOT):
        parts = [PACKAGE, *path.relative_to(PACKAGE_ROOT).with_suffix("").parts]
        module.module_name = ".".join(parts).removesuffix(".__init__")
    return module


def module_path(name: str) -> Path:
    """Return the file of a module of the package, by its dotted name.

    Raises:
        ModuleNotFoundError: the package has no such module.
    """
    path = PACKAGE_ROOT.joinpath(*name.split(".")[1:])
    for candidate in (path / "__init__.py", path.with_suffix(".py")):
        if candidate.is_file():
            return candidate
    raise ModuleNotFoundError(f"{name}: expected a module below {PACKAGE_ROOT.name}/")


def parents(module_name: str) -> list[str]:
    """Return the packages above a module; their side effects run when it is imported."""
    parts = module_name.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts))]


def package_imports(tree: ast.Module) -> Iterator[tuple[str, tuple[str, str | None]]]:
    """Yield (local name, (module, definition)) for every absolute import from the package, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE:
            for alias in node.names:
                yield alias.asname or alias.name, (node.module, alias.name)
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == PACKAGE:
                    yield alias.asname or PACKAGE, (alias.name, None)


def defined_names(statement: ast.stmt) -> list[str]:
    """Return the names that a top-level statement defines; none if it is not a plain definition."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Assign):
        targets = [node for target in statement.targets for node in getattr(target, "elts", [target])]
        return [node.id for node in targets] if all(isinstance(node, ast.Name) for node in targets) else []
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return [statement.target.id]
    return []


def remove_docstrings(tree: ast.Module) -> None:
    """Delete the docstrings of the module and of everything in it, those below constants and fields included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            node.body = [statement for statement in node.body if not is_text(statement)]


def is_text(statement: ast.stmt) -> bool:
    """Whether a statement is a bare text, which does nothing."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
