from __future__ import annotations

from pathlib import Path

import pytest

from lyapunov_pkg.workflow.settings import ConfigurationError
from lyapunov_pkg.workflow.strict_yaml import read_configuration


def written(tmp_path: Path, text: str | bytes, name: str = "file.yaml") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def faults(path: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as error:
        read_configuration(path)
    return [line.removeprefix(f"{path}: ") for line in str(error.value).splitlines()]


def test_valid_files_are_read_as_by_yaml(tmp_path: Path) -> None:
    text = "\ufeffa: &shared {b: 1, c: [1.5, yes, null]}\nd: *shared\ne: {<<: *shared, b: 2}\n'yes': x\n"
    shared = {"b": 1, "c": [1.5, True, None]}
    expected = {"a": shared, "d": shared, "e": shared | {"b": 2}, "yes": "x"}
    assert read_configuration(written(tmp_path, text)) == expected
    assert read_configuration(written(tmp_path, '{\n\t"a": {"b": 1}}', "file.json")) == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", ["line 3: the key 'a' is given twice, first in line 1; expected it once"]),
        ("a: {b: 1, c: 2, b: 1}\n", ["line 1: the key 'b' is given twice, first in line 1; expected it once"]),
        ("a:\n- b: 1\n  'b': 2\n", ["line 3: the key 'b' is given twice, first in line 2; expected it once"]),
        (
            "? a\n: 1\n? a\n: 2\na: 3\n",
            [f"line {n}: the key 'a' is given twice, first in line 1; expected it once" for n in (3, 5)],
        ),
    ],
)
def test_duplicate_keys_are_named_with_their_lines(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert faults(written(tmp_path, text)) == expected


@pytest.mark.parametrize(
    ("text", "line", "named"),
    [
        ("yes: 1\n", 1, "the key yes is a boolean"),
        ("a:\n  off: 1\n", 2, "the key off is a boolean"),
        ("a: {3: 1}\n", 1, "the key 3 is a number"),
        ("~: 1\n", 1, "the key ~ is null"),
        ("a: 1\n1.5: 2\n", 2, "the key 1.5 is a number"),
        ("? [a, b]\n: 1\n", 1, "the key [...] is a list"),
        ("? {a: b}\n: 1\n", 1, "the key [...] is a mapping"),
    ],
)
def test_keys_other_than_text_are_named_with_their_line(tmp_path: Path, text: str, line: int, named: str) -> None:
    (fault,) = faults(written(tmp_path, text))
    assert fault == f"line {line}: {named} to YAML; expected text (quote it if it is a name)"


@pytest.mark.parametrize(
    "text", ["a: &x\n  b: *x\n", "a: &x [1, *x]\n", "a: &x\n  b:\n    c: [{d: *x}]\n", "&x a: {b: &y [*y]}\n"]
)
def test_an_alias_that_contains_itself_is_refused(tmp_path: Path, text: str) -> None:
    (fault,) = faults(written(tmp_path, text))
    assert fault == "line 1: an alias names a mapping or list that contains it; expected no such loop"


def test_nested_aliases_are_read_quickly(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 40)), "b: 1", "b: 2"]
    assert faults(written(tmp_path, "\n".join(lines))) == [
        "line 42: the key 'b' is given twice, first in line 41; expected it once"
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a: [1\n", "while parsing a flow sequence"),
        (
            "a: !!python/object/apply:os.getcwd []\n",
            "line 1: the tag tag:yaml.org,2002:python/object/apply:os.getcwd is not known",
        ),
        ("a: !mine 3\n", "line 1: the tag !mine is not known; expected plain YAML"),
        ("- 1\n- 2\n", "expected a mapping of settings, found list"),
        ("", "expected a mapping of settings, found NoneType"),
        ("a: 2024-99-99\n", "month must be in 1..12"),
        ("a: 1\n---\nb: 2\n", "expected a single document"),
        (b"a: \xff\n", "expected text in UTF-8, found the byte 0xff"),
        (b"a: \x00\n", "unacceptable character"),
        ("a:\n  " + "[" * 10**5 + "]" * 10**5, "line 2: nested more than 100 levels deep"),
        ("[" * 10**5, "line 1: nested more than 100 levels deep"),
    ],
)
def test_unreadable_files_give_one_line(tmp_path: Path, content: str | bytes, expected: str) -> None:
    (fault,) = faults(written(tmp_path, content))
    assert expected in fault


def test_json_is_checked_as_strictly(tmp_path: Path) -> None:
    assert faults(written(tmp_path, '{"a": {"b": 1, "b": 2}}', "file.json")) == [
        "the key 'b' is given twice; expected it once"
    ]
    assert "Expecting" in faults(written(tmp_path, '{"a": ', "file.json"))[0]


@pytest.mark.parametrize("name", ["missing.yaml", "folder", "no/such/folder.yaml"])
def test_a_missing_file_gives_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (fault,) = faults(tmp_path / name)
    assert fault.startswith("cannot be read: ")


def test_what_only_snakemake_cannot_read_gives_one_line_with_its_position(tmp_path: Path) -> None:
    """libyaml can read this file, and the reader of Snakemake cannot."""
    (fault,) = faults(written(tmp_path, "seed: 3\nepochs: [0,\t 15]\n"))
    assert fault.startswith("line 2, column 12: while scanning for the next token found character")


def test_many_faults_are_counted(tmp_path: Path) -> None:
    found = faults(written(tmp_path, "".join(f"key_{n}: 1\nkey_{n}: 2\n" for n in range(20))))
    assert len(found) == 8
    assert found[0] == "line 2: the key 'key_0' is given twice, first in line 1; expected it once"
    assert found[-1] == "and 13 more faults"
