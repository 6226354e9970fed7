"""What a figure or a table says of itself: its chapter, the stores and variables that it is drawn from, its caption.

A record stands as a decorator, `figure` or `table`, on the function that draws the figure or computes the table. The
rules, the report and `make list` read it through `reproduction.catalogue`.

A record whose stores have "{study}" in their names stands for a figure or table of every study. `Record.of_study`
returns that of a single study.
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
    """A record cannot be used; the message names the figure or table, what was found and what is expected."""


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
    """The groups of a study as the configuration states them: the settings of each with its number of `networks`."""

    study: str


Source = Store | Shards | Groups


@dataclass(frozen=True)
class Record:
    """A figure or table: where its function stands, what that function takes, and the caption."""

    kind: Literal["figure", "table"]
    function: str  # its name
    module: str
    chapter: int | None  # None: of studies
    sources: Mapping[str, Source]  # by the argument that takes it
    caption: str  # may hold fields such as {n_test[final]}: the number of test networks of that argument
    study: str | None = None  # that it is of, if there is one of every study

    @property
    def stem(self) -> str:
        """What the function is called behind its prefix."""
        return self.function.removeprefix(PREFIXES[self.kind]).removeprefix("study_" if self.chapter is None else "")

    @property
    def name(self) -> str:
        """The name of its files; that of its target, too, unless it is of a study."""
        return self.function if self.study is None else f"study_{self.study}/{self.stem}"

    @property
    def place(self) -> str:
        """The function, as "package.module:name"."""
        return f"{self.module}:{self.function}"

    @property
    def heading(self) -> str:
        """The chapter or the study that it stands in, for menus."""
        return f"Study {self.study}" if self.chapter is None else f"Chapter {self.chapter}"

    def of_study(self, study: str) -> Record:
        """Return the record of one study, of a record of every study."""
        return replace(
            self, study=study, sources={argument: of_study(source, study) for argument, source in self.sources.items()}
        )

    @property
    def number(self) -> str | None:
        """Its number in the dissertation, such as "3.B4", or None if the dissertation does not have it."""
        return self.stem.replace("_", ".").upper() if NUMBERED.fullmatch(self.stem) else None

    @property
    def label(self) -> str:
        """Its name in menus, which sort labels as text: the figure space before one digit puts 3.2 before 3.10."""
        kind = self.kind.capitalize()
        if self.chapter is None:
            return f"{kind}: {self.stem.replace('_', ' ')}"
        if self.number is None:
            return f"{kind} extra: {self.stem.removeprefix('extra_').replace('_', ' ')}"
        return f"{kind} " + re.sub(r"\.(\d)$", ".\N{FIGURE SPACE}\\1", self.number)

    @property
    def order(self) -> tuple[object, ...]:
        """Where it stands among its kind: by chapter, those of the dissertation first, numbers as numbers."""
        parts = re.findall(r"\d+|[^\d_]+", self.stem)
        natural = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts)
        return self.chapter or math.inf, self.study or "", self.number is None, natural

    def text(self, numbers: Mapping[str, Mapping[str, int]] | None = None) -> str:
        """Return title and caption, with `numbers` such as {"n_test": {"final": 75}} in it, or without any."""
        beyond = "Beyond the dissertation" if self.study is None else f"Study {self.study}"
        title = f"{self.kind.capitalize()} {self.number}" if self.number else beyond
        caption = NUMBER_FIELD.sub("", self.caption) if numbers is None else self.caption.format(**numbers)
        return f"{title}. {caption}"


@dataclass(frozen=True)
class Declaration:
    """A record before it is known which function it stands on; as a decorator it gives the function its record."""

    kind: Literal["figure", "table"]
    stores: Mapping[str, Source]
    caption: str
    chapter: int | None

    def __call__(self, function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        """Return the function with its `record`; a figure's draws in the style of the paper."""
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
            name: of the function.
            parameters: names of the function's parameters.
            takes_any: whether the function also takes any other keyword.

        Raises:
            RecordError: the record and the function do not go together, or a part of the record cannot be used.
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
        """The chapter, as stated or as the name begins: that of fig_3_5 is 3. None for what is of every study."""
        if any(STUDY in name_of(source) for source in self.stores.values()):
            if self.chapter is not None or not name.startswith(PREFIXES[self.kind] + "study_"):
                expected = f"a name that begins with {PREFIXES[self.kind] + 'study_'!r} and no chapter"
                raise refuse(f"its stores are those of every study; expected {expected}")
            return None
        numbered = NUMBERED.fullmatch(name.removeprefix(PREFIXES[self.kind]))
        chapter = int(numbered[1]) if numbered and self.chapter is None else self.chapter
        if type(chapter) is not int or chapter < 1:
            raise refuse(f"chapter is {chapter!r}; expected chapter=1 or more, since the name has no number")
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
    """Declare a figure: the decorator of a function fig_... that takes Datasets and returns a matplotlib Figure.

    Args:
        stores: what each argument of the function is read from.
        caption: complete sentences.
        chapter: of a figure without a number in its name; otherwise the number says it. A figure of every study
            (fig_study_...) has none.

    Raises:
        RecordError: when it is applied to a function, or read, and cannot be used.
    """
    return Declaration("figure", stores, caption, chapter)


def table(*, stores: Mapping[str, Source], caption: str, chapter: int | None = None) -> Declaration:
    """Declare a table: the decorator of a function table_... that takes Datasets and returns a pandas DataFrame.

    The arguments, and what is raised, are those of `figure`.
    """
    return Declaration("table", stores, caption, chapter)


def record_of(function: Callable[..., object]) -> Record:
    """Return the record of a function that `figure` or `table` decorates.

    Raises:
        RecordError: it has none.
    """
    record = getattr(function, "record", None)
    if not isinstance(record, Record):
        raise RecordError(f"{function!r} has no record; expected a function decorated with `figure` or `table`")
    return record


def name_of(source: Source) -> str:
    """Return what names the study of a source: the path of a store, or the study itself."""
    return source.path if isinstance(source, Store) else source.study


def of_study(source: Source, study: str) -> Source:
    """Return a source with the name of a study in the place of "{study}"."""
    name = name_of(source).replace(STUDY, study)
    return replace(source, path=name) if isinstance(source, Store) else replace(source, study=name)


def source_problem(source: object) -> str | None:
    """Return what is wrong with one entry of `stores`, or None."""
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
    """Return the function, drawing in the style of the paper; matplotlib is imported when it is called."""

    @functools.wraps(draw)
    def styled(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        from matplotlib import rc_context

        from lyapunov_pkg.reproduction.figures.style import PAPER_STYLE

        with rc_context(PAPER_STYLE):
            return draw(*args, **kwargs)

    return styled
