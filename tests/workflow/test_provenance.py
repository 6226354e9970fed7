from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lyapunov_pkg.workflow import provenance
from lyapunov_pkg.workflow.provenance import code_digest

FILES = {
    "__init__.py": "",
    "cells/__init__.py": "if TYPE_CHECKING:\n    from lyapunov_pkg.maths import slope\n\n"
    "def make(name):\n    return name\n",
    "cells/lstm.py": "from lyapunov_pkg.maths import slope\n\ndef step(x):\n    return slope(x)\n",
    "cells/gru.py": "def step(x):\n    return 2 * x\n",
    "maths.py": '"""Docstring."""\nSCALE = 3\n\n'
    'def slope(x):\n    """Slope."""\n    return SCALE * x\n\ndef other(x):\n    return x\n',
    "shapes.py": 'class Square:\n    """Square."""\n\n    def area(self, side):\n        """Area."""\n'
    "        return side * side\n",
    "plain.py": "import lyapunov_pkg.maths as m\nimport lyapunov_pkg.shapes\nimport lyapunov_pkg.cells.gru\n\n"
    "def by_alias(x):\n    return m.slope(x)\n\n"
    "def by_full_name(x):\n    return lyapunov_pkg.shapes.Square().area(x)\n",
    "figures/__init__.py": "from lyapunov_pkg.figures.lines import first, second\n\n__all__ = ['first', 'second']\n",
    "figures/lines.py": "def first(x):\n    return x\n\ndef second(x):\n    return 2 * x\n",
}
SCRIPT = "from lyapunov_pkg.cells import make\n\nprint(make('lstm'))\n"


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    root = tmp_path / "lyapunov_pkg"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (tmp_path / "script.py").write_text(SCRIPT)
    monkeypatch.setattr(provenance, "PACKAGE_ROOT", root)

    def digest_after(
        name: str | None = None, old: str = "", new: str = "", loaded: str = "lyapunov_pkg.cells.lstm"
    ) -> str:
        if name is not None:
            path = tmp_path / "script.py" if name == "script.py" else root / name
            assert old in path.read_text()
            path.write_text(path.read_text().replace(old, new))
        for cached in (
            provenance.read_module,
            provenance.module_path,
            provenance.definition,
            provenance.resolved,
        ):
            cached.cache_clear()
        return code_digest(tmp_path / "script.py", [loaded])

    return digest_after


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("maths.py", '"""Docstring."""', '"""Another."""'),
        ("maths.py", '"""Slope."""', '"""Slope of x."""  # said better'),
        ("maths.py", "    return SCALE * x", "    # why\n    return (SCALE*x)"),
        ("maths.py", "def other(x):\n    return x", "def other(x):\n    return x + 1"),
        ("cells/gru.py", "2 * x", "3 * x"),
        ("cells/__init__.py", "import slope", "import other, slope"),  # Only a type checker reads this import.
    ],
)
def test_edits_that_cannot_change_the_result_keep_the_digest(edit: Callable, name: str, old: str, new: str) -> None:
    before = edit()
    assert edit(name, old, new) == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("script.py", "make('lstm')", "make('gru')"),
        ("cells/lstm.py", "slope(x)", "-slope(x)"),
        ("maths.py", "SCALE * x", "SCALE + x"),
        ("maths.py", "SCALE = 3", "SCALE = 4"),
        ("cells/__init__.py", "return name", "return name * 2"),
        ("__init__.py", "", "import os\nos.environ['A'] = 'b'\n"),
    ],
)
def test_edits_of_code_that_the_script_uses_change_the_digest(edit: Callable, name: str, old: str, new: str) -> None:
    before = edit()
    assert edit(name, old, new) != before


def test_a_reexported_definition_depends_only_on_its_own_code(edit: Callable) -> None:
    first, second = (f"lyapunov_pkg.figures:{name}" for name in ("first", "second"))
    before = [edit(loaded=first), edit(loaded=second)]
    edit("figures/lines.py", "2 * x", "3 * x")
    edit("figures/__init__.py", "first, second\n", "first, second, third\n")
    edit("figures/__init__.py", "['first', 'second']", "['first', 'second', 'third']")
    assert edit(loaded=first) == before[0]
    assert edit(loaded=second) != before[1]


def test_reverting_an_edit_restores_the_digest(edit: Callable) -> None:
    before = edit()
    edit("maths.py", "SCALE = 3", "SCALE = 4")
    assert edit("maths.py", "SCALE = 4", "SCALE = 3") == before


def test_a_missing_import_is_named(edit: Callable) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"lyapunov_pkg\.cells\.lem"):
        edit("script.py", "lyapunov_pkg.cells ", "lyapunov_pkg.cells.lem ")


@pytest.mark.parametrize(
    ("definition", "name", "old", "new"),
    [
        ("by_alias", "maths.py", "SCALE * x", "SCALE + x"),
        ("by_full_name", "shapes.py", "side * side", "side + side"),
        ("by_full_name", "cells/gru.py", "2 * x", "3 * x"),  # The digest follows every module whose name may be meant.
    ],
)
def test_modules_imported_as_a_whole_are_followed(
    edit: Callable, definition: str, name: str, old: str, new: str
) -> None:
    loaded = f"lyapunov_pkg.plain:{definition}"
    before = edit(loaded=loaded)
    assert edit(name, old, new, loaded=loaded) != before


@pytest.mark.parametrize("old", ["Square.", "Area."])
def test_docstrings_of_classes_and_methods_are_ignored(edit: Callable, old: str) -> None:
    loaded = "lyapunov_pkg.shapes"
    before = edit(loaded=loaded)
    assert edit("shapes.py", f'"""{old}"""', '"""Said otherwise."""', loaded=loaded) == before
    assert edit("shapes.py", "side * side", "side + side", loaded=loaded) != before


def _kept(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.provenance"))


@pytest.mark.parametrize("damaged", [lambda content: content[:-1], lambda content: b"", lambda content: content[::-1]])
def test_damaged_files_of_kept_code_are_replaced(tmp_path: Path, edit: Callable, damaged: Callable) -> None:
    before = edit()
    whole = [path.read_bytes() for path in _kept(tmp_path)]
    assert len(whole) > 3
    for path in _kept(tmp_path):
        path.write_bytes(damaged(path.read_bytes()))
    assert edit() == before
    assert [path.read_bytes() for path in _kept(tmp_path)] == whole


def test_kept_code_of_other_modules_is_not_used(tmp_path: Path, edit: Callable) -> None:
    before = edit()
    contents = [path.read_bytes() for path in _kept(tmp_path)]
    for path, content in zip(_kept(tmp_path), reversed(contents), strict=True):
        path.write_bytes(content)
    assert edit() == before


def test_kept_code_belongs_to_the_name_of_its_module(tmp_path: Path, edit: Callable) -> None:
    # A copy of a folder has the kept code of the folder, but its imports are those of other modules.
    edit("cells/lstm.py", "slope(x)", "slope(GAIN * x)\n\nGAIN = 2")
    (tmp_path / "lyapunov_pkg" / "cells").rename(tmp_path / "lyapunov_pkg" / "units")
    renamed = edit("script.py", "lyapunov_pkg.cells", "lyapunov_pkg.units", loaded="lyapunov_pkg.units.lstm")
    for path in _kept(tmp_path):
        path.unlink()
    assert edit(loaded="lyapunov_pkg.units.lstm") == renamed


def test_code_is_read_where_none_can_be_kept(tmp_path: Path, edit: Callable) -> None:
    for name in ("", "lyapunov_pkg", "lyapunov_pkg/cells"):
        (tmp_path / name / "__pycache__").write_text("")
    before = edit()
    assert edit("maths.py", "SCALE = 3", "SCALE = 4") != before
    assert not _kept(tmp_path)
