"""Dependencies of a stage's result besides inputs and settings: the code it can reach, and numerical libraries.

The code digest starts at a script and follows imports and names through the package, definition by definition.
Comments, docstrings and formatting have no influence, because they are not in the hashed syntax tree.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import pickle
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

from lyapunov_pkg.workflow.files import whole_file

PACKAGE_ROOT = Path(__file__).parents[1]
PACKAGE = PACKAGE_ROOT.name
Place = tuple[str, str | None]
"""A module and a definition in it. None means the whole module, "" its side effects at import."""

_READER = sys.version.encode() + Path(__file__).read_bytes()
_DIGEST_SIZE = hashlib.sha256().digest_size
NUMERICAL_LIBRARIES = ("numba", "numpy", "torch", "xarray", "zarr", "scikit-learn")


def stage_provenance(script: str | Path, definitions: Iterable[str] = ()) -> dict[str, str]:
    """Return the digest of the code that `script` reaches and the versions of the numerical libraries.

    Args:
        script: a stage's script.
        definitions: modules and definitions that the script loads by name at run time, as "package.module" or
            "package.module:definition".

    Raises:
        ModuleNotFoundError: an import or a definition names a module that the package does not have.
    """
    return {"code": code_digest(script, definitions)} | library_versions()


@functools.cache
def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that influence numerical results."""
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
    reached: dict[Place, str] = {("", None): start.code(None)}
    while pending:
        place = pending.pop()
        if place not in reached:
            reached[place], places = definition(*place)
            pending.extend(places)
    text = "\n".join(sorted(f"{module}:{name}:{code}" for (module, name), code in reached.items()))
    return hashlib.sha256(text.encode()).hexdigest()


@functools.cache
def definition(module_name: str, name: str | None) -> tuple[str, set[Place]]:
    """Return the digest of a definition, and the places that it reaches directly. Stages share most of them."""
    module = read_module(module_path(module_name))
    places = {resolved(place) for place in module.reached_by(name)}
    return module.code(name), places | {(parent, "") for parent in parents(module_name)}


@functools.cache
def resolved(place: Place) -> Place:
    """Return the place of a name: a definition, a package's import under that name, or one of its modules."""
    while True:
        module_name, name = place
        if not name:
            return place
        module = read_module(module_path(module_name))
        if name in module.definitions:
            return place
        place = module.imports.get(name, [(f"{module_name}.{name}", None)])[-1]


class Statement:
    """A top-level statement, without docstrings: the digest of its syntax tree, and the names that it uses."""

    def __init__(self, node: ast.stmt) -> None:
        """Compute the digest and the names of a statement."""
        words: list[str] = []
        names: set[str] = set()
        _take_in(node, words, names)
        self.digest = hashlib.sha256("\n".join(words).encode()).hexdigest()
        self.names = names


def _take_in(node: ast.AST, words: list[str], names: set[str]) -> None:
    """Add a unique description of the syntax tree below `node` to `words`, and the names in it to `names`."""
    words.append(f"({type(node).__name__}")
    if isinstance(node, ast.Name):
        names.add(node.id)
    for field in node._fields:
        value = getattr(node, field, None)
        if isinstance(value, list):
            words.append("[")
            for item in value:
                if isinstance(item, ast.AST):
                    _take_in(item, words, names)
                else:
                    words.append(repr(item))
            words.append("]")
        elif isinstance(value, ast.AST):
            _take_in(value, words, names)
        else:
            words.append(repr(value))
    words.append(")")


class ModuleCode:
    """The code of one module: top-level definitions, imports from the package, and other statements."""

    def __init__(self, tree: ast.Module, module_name: str = "") -> None:
        """Sort the statements of a module, without docstrings."""
        self.module_name = module_name
        self.imports: dict[str, list[Place]] = {}
        self.definitions: dict[str, list[Statement]] = {}
        self.other: list[Statement] = []
        for node in statements_below(tree):
            for local_name, place in package_imports(node):
                self.imports.setdefault(local_name, []).append(place)
        for node in tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom) or is_for_types_alone(node):
                continue
            names = defined_names(node)
            statement = Statement(node)
            for name in names:
                self.definitions.setdefault(name, []).append(statement)
            if not names:
                self.other.append(statement)

    def statements(self, name: str | None) -> list[Statement]:
        """Return the statements of one definition; None means the whole module, "" only the side effects."""
        if name is None:
            return [statement for statements in self.definitions.values() for statement in statements] + self.other
        return self.definitions.get(name, []) + self.other

    def code(self, name: str | None) -> str:
        """Return the digests of the statements of a definition."""
        return " ".join(statement.digest for statement in self.statements(name))

    def reached_by(self, name: str | None) -> Iterator[Place]:
        """Yield the places in the package that a definition names, in this module (also imported ones) or in others."""
        for used in set().union(*(statement.names for statement in self.statements(name))):
            yield from self.imports.get(used, ())
            if used in self.definitions and self.module_name:
                yield self.module_name, used


@functools.cache
def read_module(path: Path) -> ModuleCode:
    """Return the code of a module of the package, or of a script.

    Parsing is a large part of the time in which Snakemake plans its jobs, so the code is kept in `__pycache__`.
    """
    module_name = ""
    if path.is_relative_to(PACKAGE_ROOT):
        parts = [PACKAGE, *path.relative_to(PACKAGE_ROOT).with_suffix("").parts]
        module_name = ".".join(parts).removesuffix(".__init__")
    source = path.read_bytes()
    origin = b"\0".join((_READER, module_name.encode(), source))
    kept = path.parent / "__pycache__" / f"{path.stem}.{sys.implementation.cache_tag}.provenance"
    code = _read_kept(kept, origin)
    if code is None:
        tree = ast.parse(source)
        remove_docstrings(tree)
        code = ModuleCode(tree, module_name)
        _keep(code, kept, origin)
    return code


def _read_kept(path: Path, origin: bytes) -> ModuleCode | None:
    """Return the kept code of a module, or None if the file is missing, damaged or made from something else."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, pickled = content[:_DIGEST_SIZE], content[_DIGEST_SIZE:]
    if digest != _digest(origin, pickled):
        return None
    code: ModuleCode = pickle.loads(pickled)
    return code


def _keep(code: ModuleCode, path: Path, origin: bytes) -> None:
    """Keep the code of a module, where files can be written, with a digest of itself and of what it was made from."""
    pickled = pickle.dumps(code)
    with contextlib.suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        with whole_file(path) as partial:
            partial.write_bytes(_digest(origin, pickled) + pickled)


def _digest(origin: bytes, pickled: bytes) -> bytes:
    return hashlib.sha256(origin + pickled).digest()


@functools.cache
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
    """Return the packages above a module, whose side effects run when it is imported."""
    parts = module_name.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts))]


def statements_below(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a statement or a module, and every statement in it. Expressions are not searched."""
    yield node
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        for child in getattr(node, field, ()):
            yield from statements_below(child)


def package_imports(node: ast.AST) -> Iterator[tuple[str, Place]]:
    """Yield (local name, (module, definition)) if the statement is an import from the package."""
    if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE:
        for alias in node.names:
            yield alias.asname or alias.name, (node.module, alias.name)
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.split(".")[0] == PACKAGE:
                yield alias.asname or PACKAGE, (alias.name, None)


def defined_names(statement: ast.stmt) -> list[str]:
    """Return the names that a top-level statement defines, or none if it is not a plain definition."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Assign):
        targets = [node for target in statement.targets for node in getattr(target, "elts", [target])]
        return [node.id for node in targets] if all(isinstance(node, ast.Name) for node in targets) else []
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return [statement.target.id]
    return []


def is_for_types_alone(statement: ast.stmt) -> bool:
    """Return whether a statement is `if TYPE_CHECKING:`, which never runs and therefore changes no result."""
    return isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING" and not statement.orelse


def remove_docstrings(tree: ast.Module) -> None:
    """Delete the docstrings of a module and of everything in it, including those below constants and fields."""
    for node in statements_below(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            node.body = [statement for statement in node.body if not is_text(statement)]


def is_text(statement: ast.stmt) -> bool:
    """Return whether a statement is only a text, which does nothing."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
