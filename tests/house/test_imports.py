"""The package's imports go only from reproduction to workflow to library, in the order that `layers.py` lists."""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.base_dependencies import ROOT, base_requirements, importable_names, normalised, required_distributions
from tests.house.layers import (
    ABOVE,
    LIBRARY,
    LIBRARY_LIBRARIES_IN_FUNCTIONS,
    MODULES_OF_EXTRAS,
    NOBODY,
    REPRODUCTION_LIBRARIES,
    WORKFLOW_LIBRARIES,
)

PACKAGE = ROOT / "lyapunov_pkg"
MODULES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted((ROOT / "workflow_scripts").glob("*.py"))
RULES = [ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))]


def part_of(path: Path) -> str:
    """Return the part of the package that a module belongs to, such as "linalg" for linalg/cpu.py."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def allowed_parts(part: str) -> set[str]:
    """Return the other parts of the package that a part may import."""
    return set(ABOVE[part]) if part in ABOVE else set(LIBRARY[: LIBRARY.index(part)])


def allowed_names(part: str, in_function: bool, of_extra: tuple[str, ...] = ()) -> set[str]:
    """Return the top-level names of other distributions that a part may import."""
    base = {normalised(re.split(r"[<>=!~ ]", text)[0]) for text in base_requirements()}
    more = {"workflow": WORKFLOW_LIBRARIES, "reproduction": REPRODUCTION_LIBRARIES}
    distributions = base | set(of_extra) | set(more.get(part, LIBRARY_LIBRARIES_IN_FUNCTIONS if in_function else ()))
    return importable_names(distributions) - set(NOBODY)


def imports(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """Yield (module, whether the import is inside a function) for every import that runs."""
    for node, in_function in statements(tree, False):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, in_function
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            yield str(node.module), in_function
            if node.module == PACKAGE.name:
                for alias in node.names:
                    if (PACKAGE / alias.name).is_dir() or (PACKAGE / f"{alias.name}.py").is_file():
                        yield f"{PACKAGE.name}.{alias.name}", in_function


def statements(node: ast.AST, in_function: bool) -> Iterator[tuple[ast.AST, bool]]:
    """Yield every node and whether it is inside a function, without blocks for type checkers."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            for other in child.orelse:
                yield from statements(other, in_function)
            continue
        yield child, in_function
        inside = in_function or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from statements(child, inside)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_its_layer_allows(path: Path) -> None:
    part, wrong = part_of(path), []
    of_extra = MODULES_OF_EXTRAS.get(str(path.relative_to(PACKAGE)), ())
    for name, in_function in imports(ast.parse(path.read_text())):
        top, _, rest = name.partition(".")
        if top == PACKAGE.name:
            imported = rest.partition(".")[0] or "__init__"
            if imported != part and imported not in allowed_parts(part):
                wrong.append(name)
        elif top not in sys.stdlib_module_names and top not in allowed_names(part, in_function, of_extra):
            wrong.append(name)
    assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}, which tests/house/layers.py does not allow"


def test_every_part_of_the_package_is_in_the_list() -> None:
    assert {part_of(path) for path in MODULES} == {*LIBRARY, *ABOVE}


def test_an_import_from_a_higher_layer_is_found() -> None:
    tree = ast.parse("def f():\n    from lyapunov_pkg.spectra.exponents import x\nfrom lyapunov_pkg import cells\n")
    assert list(imports(tree)) == [
        ("lyapunov_pkg.spectra.exponents", True),
        ("lyapunov_pkg", False),
        ("lyapunov_pkg.cells", False),
    ]
    assert "spectra" not in allowed_parts("cells") and "cells" in allowed_parts("spectra")
    assert "workflow" not in allowed_parts("spectra") and "reproduction" not in allowed_parts("workflow")
    assert {"numpy", "torch"} <= allowed_names("spectra", in_function=False)
    assert not {"zarr", "sklearn", "matplotlib"} & allowed_names("aelle", in_function=False)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_does_no_arithmetic(path: Path) -> None:
    """Only `/` that joins paths and `|` that joins dictionaries may occur; functions of the package compute numbers."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp):
            joined = isinstance(node.op, ast.BitOr) or (isinstance(node.op, ast.Div) and "Path(" in ast.unparse(node))
            assert joined, f"{path.name}, line {node.lineno}: {ast.unparse(node)}"
        assert not isinstance(node, ast.AugAssign | ast.For | ast.While), f"{path.name}, line {node.lineno}"
    used = {name.partition(".")[0] for name, _ in imports(tree)}
    assert used <= {*sys.stdlib_module_names, "torch", PACKAGE.name} - {"math", "statistics"}


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_a_rule_does_no_arithmetic(path: Path) -> None:
    """No operator has a number as operand, and no rule imports a module for numerical work."""
    with path.open("rb") as file:
        tokens = [token for token in tokenize.tokenize(file.readline) if token.type != tokenize.NL]
    for token, after in itertools.pairwise(tokens):
        operators = [t.string for t in (token, after) if t.type == tokenize.OP and t.string in {*"+-*/%@", "**", "//"}]
        number = tokenize.NUMBER in (token.type, after.type)
        assert not (operators and number), f"{path.name}, line {token.start[0]}: {token.line.strip()}"
        assert token.string not in {"numpy", "np", "math", "torch"}, f"{path.name}, line {token.start[0]}"


LSTM = """
import sys
import lyapunov_pkg
from importlib import import_module
for name in {modules!r}:
    import_module(name)
import torch
torch.manual_seed(0)
spectrum = lyapunov_pkg.lyapunov_spectrum(torch.nn.LSTM(3, 4, batch_first=True), torch.randn(2, 20, 3), warmup=5)
assert spectrum["lyapunov_exponent"].shape == (2, 8)
assert bool((spectrum["lyapunov_exponent"].diff("exponent") <= 0).all())
for name in {blocked!r}:
    try:
        import_module(name)
    except ModuleNotFoundError:
        continue
    raise AssertionError(name + " could be imported")
"""


def test_the_library_needs_only_its_base_dependencies(tmp_path: Path) -> None:
    """A program imports all modules of the library and computes a spectrum with only the base dependencies."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in MODULES
        if part_of(path) in (*LIBRARY, "__init__") and str(path.relative_to(PACKAGE)) not in MODULES_OF_EXTRAS
    ]
    program = tmp_path / "program.py"
    program.write_text(LSTM.format(modules=modules, blocked=["zarr", "sklearn", "scipy", "snakemake", "matplotlib"]))
    command = [sys.executable, "-m", "tests.house.base_dependencies", str(program)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_the_base_dependencies_are_few_and_installed() -> None:
    found = required_distributions(base_requirements())
    assert {"numpy", "torch", "numba", "llvmlite", "xarray", "tqdm"} <= set(found)
    assert not {"zarr", "snakemake", "scikit-learn", "scipy"} & set(found)
