"""Records of figures and tables: chapter, stores and variables of the data, and caption.

A record is a decorator, `figure` or `table`, of the function that draws the figure or computes the table. The rules,
the report and `make list` read it through `reproduction.catalogue`.

A record with "{study}" in the names of its stores describes a figure or table of every study. `Record.of_study` returns
the record of a single study.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import math
import re
import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

PREFIXES = {"figure": "fig_", "table": "table_"}
STAGES = ("training", "spectra")
STUDY = "{study}"
STORE_PATH = re.compile(r"results/(?:[\w/]|\{study\})+\.zarr\.zip")
NUMBERED = re.compile(r"(\d+)_([a-z]?\d*)")
NUMBER_FIELD = re.compile(r"\{(\w+)\[(\w+)\]\} ?")


class RecordError(ValueError):
    """A record is not valid. The message names the figure or table, what was found and what is expected."""


@dataclass(frozen=True)
class Store:
    """One store of results, and the variables that are read from it."""

    path: str
    variables: tuple[str, ...]


@dataclass(frozen=True)
class Shards:
    """All shards of a study at a stage ("training" or "spectra"), joined along `variant`."""

    stage: str
    study: str
    variables: tuple[str, ...]


@dataclass(frozen=True)
class Groups:
    """The groups of a study in the configuration: the settings of each, with its number of `networks`."""

    study: str


Source = Store | Shards | Groups


@dataclass(frozen=True)
class Record:
    """A figure or table: the place of its function, the data of the function's arguments, and the caption."""

    kind: Literal["figure", "table"]
    function: str  # its name
    module: str
    chapter: int | None  # None: of studies
    sources: Mapping[str, Source]  # {argument: source}
    caption: str  # may contain fields such as {n_test[final]}: the number of test networks of that argument
    study: str | None = None  # its study, if every study has such a figure or table

    @property
    def stem(self) -> str:
        """Return the function's name without its prefix."""
        return self.function.removeprefix(PREFIXES[self.kind]).removeprefix("study_" if self.chapter is None else "")

    @property
    def name(self) -> str:
        """Return the name of its files, which is also that of its target unless it belongs to a study."""
        return self.function if self.study is None else f"study_{self.study}/{self.stem}"

    @property
    def place(self) -> str:
        """Return the place of the function, as "package.module:name"."""
        return f"{self.module}:{self.function}"

    @property
    def heading(self) -> str:
        """Return its chapter or study, for menus."""
        return f"Study {self.study}" if self.chapter is None else f"Chapter {self.chapter}"

    def of_study(self, study: str) -> Record:
        """Return the record for one study, from a record for every study."""
        return replace(
            self, study=study, sources={argument: of_study(source, study) for argument, source in self.sources.items()}
        )

    @property
    def number(self) -> str | None:
        """Return its number in the dissertation, such as "3.B4", or None if the dissertation does not have it."""
        return self.stem.replace("_", ".").upper() if NUMBERED.fullmatch(self.stem) else None

    @property
    def label(self) -> str:
        """Return its name in menus. Menus sort text, so that a figure space before one digit puts 3.2 before 3.10."""
        kind = self.kind.capitalize()
        if self.chapter is None:
            return f"{kind}: {self.stem.replace('_', ' ')}"
        if self.number is None:
            return f"{kind} extra: {self.stem.removeprefix('extra_').replace('_', ' ')}"
        return f"{kind} " + re.sub(r"\.(\d)$", ".\N{FIGURE SPACE}\\1", self.number)

    @property
    def order(self) -> tuple[object, ...]:
        """Return its key for sorting: by chapter, those of the dissertation first, and numbers as numbers."""
        parts = re.findall(r"\d+|[^\d_]+", self.stem)
        natural = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts)
        return self.chapter or math.inf, self.study or "", self.number is None, natural

    def text(self, numbers: Mapping[str, Mapping[str, int]] | None = None) -> str:
        """Return title and caption, with `numbers` such as {"n_test": {"final": 75}} inserted, or without numbers."""
        beyond = "Beyond the dissertation" if self.study is None else f"Study {self.study}"
        title = f"{self.kind.capitalize()} {self.number}" if self.number else beyond
        caption = NUMBER_FIELD.sub("", self.caption) if numbers is None else self.caption.format(**numbers)
        return f"{title}. {caption}"


@dataclass(frozen=True)
class Declaration:
    """The arguments of a record. As a decorator it adds the record to a function."""

    kind: Literal["figure", "table"]
    stores: Mapping[str, Source]
    caption: str
    chapter: int | None

    def __call__(self, function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        """Return the function with its `record`. A figure's function draws in the style of the paper."""
        parameters = inspect.signature(function).parameters.values()
        names = [parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD]
        record = self.record(function.__module__, function.__name__, names, len(names) < len(parameters))
        presented = in_paper_style(function) if self.kind == "figure" else function
        setattr(presented, "record", record)  # noqa: B010 (a function's type has no such attribute)
        return presented

    def record(self, module: str, name: str, parameters: Iterable[str], takes_any: bool = False) -> Record:
        """Return the record of the function `name` of a module.

        Args:
            module: dotted name of the module.
            name: name of the function.
            parameters: names of the function's parameters.
            takes_any: whether the function also takes any other keyword.

        Raises:
            RecordError: the record does not match the function, or a part of the record is not valid.
        """

        def refuse(problem: str) -> RecordError:
            return RecordError(f"{name} in {module}: {problem}")

        prefix = PREFIXES[self.kind]
        if not name.startswith(prefix):
            raise refuse(f"expected a name that begins with {prefix!r}")
        self._check_caption(refuse)
        if not isinstance(self.stores, Mapping) or not self.stores:
            raise refuse(f"stores is {self.stores!r}; expected {{argument: Store, Shards or Groups}}")
        for argument, source in self.stores.items():
            problem = source_problem(source)
            if problem:
                raise refuse(f"stores[{argument!r}] {problem}")
        missing = set(parameters) - set(self.stores)
        unknown = set() if takes_any else set(self.stores) - set(parameters)
        if missing or unknown:
            raise refuse(f"it takes {sorted(parameters)}, its record has the stores {sorted(self.stores)}")
        return Record(self.kind, name, module, self._chapter(name, refuse), dict(self.stores), self.caption)

    def _chapter(self, name: str, refuse: Callable[[str], RecordError]) -> int | None:
        """Return the chapter, as stated or from the name (3 for fig_3_5). None for a record of every study."""
        if any(STUDY in name_of(source) for source in self.stores.values()):
            if self.chapter is not None or not name.startswith(PREFIXES[self.kind] + "study_"):
                expected = f"a name that begins with {PREFIXES[self.kind] + 'study_'!r} and no chapter"
                raise refuse(f"its stores are those of every study; expected {expected}")
            return None
        numbered = NUMBERED.fullmatch(name.removeprefix(PREFIXES[self.kind]))
        chapter = int(numbered[1]) if numbered and self.chapter is None else self.chapter
        if type(chapter) is not int or chapter < 1:
            raise refuse(f"chapter is {chapter!r}; expected chapter=1 or more, because the name has no number")
        return chapter

    def _check_caption(self, refuse: Callable[[str], RecordError]) -> None:
        if not isinstance(self.caption, str) or not self.caption.strip():
            raise refuse(f"caption is {self.caption!r}; expected text")
        try:
            fields = [field for _, field, _, _ in string.Formatter().parse(self.caption) if field is not None]
        except ValueError as error:
            raise refuse(f"caption cannot be formatted ({error}); write braces twice") from None
        for field in fields:
            kind, _, argument = field.rstrip("]").partition("[")
            if kind != "n_test" or argument not in self.stores:
                raise refuse(f"caption has the field {{{field}}}; expected {{n_test[argument]}}, or braces twice")


def figure(*, stores: Mapping[str, Source], caption: str, chapter: int | None = None) -> Declaration:
    """Return the decorator of a function fig_... that takes Datasets and returns a matplotlib Figure.

    Args:
        stores: {argument of the function: source of its data}.
        caption: complete sentences.
        chapter: chapter of a figure without a number in its name. Otherwise it follows from the number. A figure of
            every study (fig_study_...) has no chapter.

    Raises:
        RecordError: the record is not valid. The error is raised when the decorator is applied or read.
    """
    return Declaration("figure", stores, caption, chapter)


def table(*, stores: Mapping[str, Source], caption: str, chapter: int | None = None) -> Declaration:
    """Return the decorator of a function table_... that takes Datasets and returns a pandas DataFrame.

    Arguments and errors are those of `figure`.
    """
    return Declaration("table", stores, caption, chapter)


def record_of(function: Callable[..., object]) -> Record:
    """Return the record of a function that `figure` or `table` decorates.

    Raises:
        RecordError: the function has no record.
    """
    record = getattr(function, "record", None)
    if not isinstance(record, Record):
        raise RecordError(f"{function!r} has no record; expected a function decorated with `figure` or `table`")
    return record


def name_of(source: Source) -> str:
    """Return the text that names the study of a source: the path of a store, or the study itself."""
    return source.path if isinstance(source, Store) else source.study


def of_study(source: Source, study: str) -> Source:
    """Return a source with the name of a study in the place of "{study}"."""
    name = name_of(source).replace(STUDY, study)
    return replace(source, path=name) if isinstance(source, Store) else replace(source, study=name)


def source_problem(source: object) -> str | None:
    """Return the problem of one entry of `stores`, or None."""
    if isinstance(source, Groups):
        return None
    if not isinstance(source, Store | Shards):
        return f"is {source!r}; expected a Store, Shards or Groups"
    if isinstance(source, Store) and not STORE_PATH.fullmatch(source.path):
        return f"has the path {source.path!r}; expected results/FOLDER/NAME.zarr.zip"
    if isinstance(source, Shards) and source.stage not in STAGES:
        return f"is of the stage {source.stage!r}; expected {' or '.join(STAGES)}"
    if not isinstance(source.variables, tuple) or not source.variables:
        return f"has the variables {source.variables!r}; expected a tuple of at least one name"
    return None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean ...?" with the known name that is closest, or nothing if none is close."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def in_paper_style(draw: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Return the function with the style of the paper. Matplotlib is imported when it is called."""

    @functools.wraps(draw)
    def styled(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        from matplotlib import rc_context

        from lyapunov_pkg.reproduction.figures.style import PAPER_STYLE

        with rc_context(PAPER_STYLE):
            return draw(*args, **kwargs)

    return styled
