"""Pages that are generated from the definitions of settings, and consistency of the definitions."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from lyapunov_pkg.aelle import AutoencoderSettings
from lyapunov_pkg.reproduction.configuration.__main__ import main
from lyapunov_pkg.reproduction.configuration.prediction import Autoencoder
from lyapunov_pkg.reproduction.configuration.reference import pages
from lyapunov_pkg.reproduction.configuration.resources import Rule
from lyapunov_pkg.reproduction.configuration.training import TrainingSettings
from lyapunov_pkg.reproduction.configuration.whole import Configuration
from lyapunov_pkg.reproduction.training.optimizers import OPTIMIZERS
from lyapunov_pkg.workflow import provenance
from lyapunov_pkg.workflow.provenance import code_digest
from lyapunov_pkg.workflow.settings import Section, json_schema, section_problems
from lyapunov_pkg.workflow.settings_reference import descriptions, sections_below

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", pages(ROOT), ids=lambda path: path.name)
def test_page_is_up_to_date(path: Path) -> None:
    assert path.read_text() == pages(ROOT)[path], "run `make schema`"


def test_every_setting_has_a_description_and_every_number_a_unit() -> None:
    for section in sections_below(Configuration):
        found = descriptions(section)
        assert list(found) == list(section.model_fields), section
        for name, description in found.items():
            node = json_schema(section)["properties"][name]
            assert description.text.endswith("."), (section, name)
            assert bool(description.unit) == (numeric(node)), (section, name)


def numeric(node: dict[str, Any]) -> bool:
    """Return whether the values are numbers or lists of numbers."""
    choices = node.get("anyOf", [node])
    return any(
        choice.get("type") in ("integer", "number") or ("items" in choice and numeric(choice["items"]))
        for choice in choices
    )


def test_each_default_is_defined_in_one_place() -> None:
    """Every section of config.yaml has all settings without a default, and repeats the default of no other setting."""
    defaults = yaml.safe_load((ROOT / "config.yaml").read_text())
    for section, values in sections_with_values(Configuration, defaults):
        required = {name for name, field in section.model_fields.items() if field.is_required()}
        assert required <= values.keys()
        optional = section.model_fields.keys() - required
        assert not any(section.model_fields[name].default == values.get(name, ...) for name in optional), section


def sections_with_values(section: type[BaseModel], values: Any) -> Iterator[tuple[type[BaseModel], dict[str, Any]]]:
    yield section, values
    for name, field in section.model_fields.items():
        for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(kind, type) and issubclass(kind, Section) and isinstance(values.get(name), dict):
                yield from sections_with_values(kind, values[name])


def test_the_editor_schema_accepts_the_default_configuration_and_finds_mistakes() -> None:
    schema = yaml.safe_load((ROOT / "schemas/config.schema.yaml").read_text())
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    configuration = yaml.safe_load((ROOT / "config.yaml").read_text())
    assert validator.is_valid(configuration)
    for change in (
        {"sede": 3},
        {"seed": -1},
        {"studies": configuration["studies"] | {"mine": {"task": "mocap"}}},
        {"aelle": configuration["aelle"] | {"final_fractions": [0.5, 0.5]}},
        {
            "studies": configuration["studies"]
            | {"smnist": configuration["studies"]["smnist"] | {"aelle": {"n_seed": 1}}}
        },
        {"resources": configuration["resources"] | {"train": {"minuts": 1}}},
    ):
        assert not validator.is_valid(configuration | change), change


def test_config_yaml_refers_editors_to_the_schema() -> None:
    assert (ROOT / "config.yaml").read_text().startswith("# yaml-language-server: $schema=schemas/config.schema.yaml\n")


def test_the_rules_with_resources_are_those_of_the_workflow() -> None:
    asked = re.findall(
        r'job_resources\("(\w+)"\)', "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    )
    assert sorted(Rule.__args__) == sorted(set(asked))


def test_the_optimizers_in_the_schema_are_the_implemented_ones() -> None:
    assert json_schema(TrainingSettings)["properties"]["optimizer"]["enum"] == list(OPTIMIZERS)


def test_reading_the_settings_loads_no_heavy_library() -> None:
    program = (
        "import sys\n"
        "import lyapunov_pkg.reproduction.configuration.whole as whole\n"
        "import lyapunov_pkg.workflow.strict_yaml as files\n"
        "whole.validate_configuration(files.read_configuration('config.yaml'))\n"
        "print([name for name in ('torch', 'xarray', 'matplotlib', 'numba', 'pandas', 'scipy') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--configfile", "missing.yaml"], "missing.yaml: there is no such configuration file"),
        (["all", "--configfiles", "good.yaml", "god.yaml", "--dry-run"], "god.yaml: there is no such configuration "),
        (
            ["--configfile", "lpatop.yaml"],
            "lpatop.yaml: there is no such configuration file; did you mean config/laptop.yaml?",
        ),
        (["fig_1_1", "--config", "seed=3", "lorenz.sigma=3"], "--config has lorenz.sigma=3; expected KEY=VALUE"),
        (["-C", "lorenz={sigma: 3}", "--dry-run"], None),
        (["--configfile", "twice.yaml"], "twice.yaml: line 2: the key 'seed' is given twice, first in line 1"),
        (["--configfile=yes.yaml"], "yes.yaml: line 1: the key yes is a boolean to YAML; expected text"),
        (["--configfile", "loop.yaml"], "loop.yaml: line 1: an alias names a mapping or list that contains it"),
        (["--dry-run", "--configfile", "good.yaml"], None),
        ([], None),
    ],
)
def test_files_are_checked_before_snakemake_reads_them(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    expected: str | None,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("good.yaml").write_text("seed: 3\n")
    Path("twice.yaml").write_text("seed: 3\nseed: 4\n")
    Path("yes.yaml").write_text("yes: 3\n")
    Path("config").mkdir()
    Path("config/laptop.yaml").write_text("seed: 3\n")
    Path("loop.yaml").write_text("studies: &a\n  smnist: *a\n")
    assert main(["check", *arguments]) == (expected is not None)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == (expected is not None)
    assert expected is None or lines[0].startswith(expected)


EDITS: tuple[tuple[dict[str, tuple[str, str]], set[str]], ...] = (
    (
        {
            "prediction.py": ("kept_share: Annotated[float, Gt(0)", "kept_share: Annotated[float, Gt(0.1)"),
            "systems.py": ("Ge(0.1)", "Ge(0.2)"),
        },
        {"pruning", "lorenz"},
    ),
    (
        {
            "gradients.py": ("n_modes: Count", "n_modes: Natural"),
            "spectra.py": ("measured_passes: Count = 1", "measured_passes: Count = 2"),
        },
        {"alignment", "spectra"},
    ),
    ({"training.py": ("batch_size: Count", "batch_size: Natural")}, {"train"}),
    (
        {
            "whole.py": ("Ge(0), Le(2**31 - 1)", "Ge(1), Le(2**31 - 1)"),
            "studies.py": ("Le(1_000_000)", "Le(1_000)"),
            "training.py": ('"""Number of sequences in a batch.', '"""Number of sequences that a batch has.'),
            "spectra.py": ('"""Settings of the spectra of networks', '"""All settings of the spectra of networks'),
        },
        set(),
    ),
)


def test_an_edited_definition_invalidates_only_the_stages_that_use_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The edits are applied in order to a copy of the package. Edited descriptions invalidate nothing."""
    root = tmp_path / "lyapunov_pkg"
    shutil.copytree(ROOT / "lyapunov_pkg", root, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "PACKAGE_ROOT", root)
    cached = [function for function in vars(provenance).values() if hasattr(function, "cache_clear")]

    def digests() -> dict[str, str]:
        for function in cached:
            function.cache_clear()
        stages = ("train", "spectra", "aelle", "pruning", "alignment", "lorenz")
        return {stage: code_digest(ROOT / "workflow_scripts" / f"{stage}.py") for stage in stages}

    try:
        before = digests()
        for edits, redone in EDITS:
            for name, (old, new) in edits.items():
                path = root / "reproduction/configuration" / name
                assert old in path.read_text()
                path.write_text(path.read_text().replace(old, new, 1))
            after = digests()
            assert {stage for stage in before if before[stage] != after[stage]} == redone, edits
            before = after
    finally:
        for function in cached:
            function.cache_clear()


BOUNDARIES = (0, 1, 2, -1, 0.0, 0.5, 1.0, 1.5, -0.1, math.nan, "l1", "l3", True)


@pytest.mark.parametrize("name", Autoencoder.model_fields)
def test_the_library_accepts_every_autoencoder_that_the_configuration_allows(name: str) -> None:
    defaults = yaml.safe_load((ROOT / "config.yaml").read_text())["aelle"]["autoencoder"]
    for value in (*BOUNDARIES, [], [1, 1], [0, 1], [1, -1], [1, 2, 3], [0.5, 0.0]):
        settings = defaults | {name: value}
        if not section_problems(Autoencoder, settings):
            AutoencoderSettings(**settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("latent_size", 0), ("batch_size", 0), ("epochs_per_stage", 0)),
        *(("learning_rate", 0.0), ("dropout", 1.0), ("dropout", -0.1), ("prediction_loss", "l3")),
    ],
)
def test_the_configuration_refuses_every_autoencoder_that_the_library_refuses(name: str, value: Any) -> None:
    defaults = yaml.safe_load((ROOT / "config.yaml").read_text())["aelle"]["autoencoder"]
    assert section_problems(Autoencoder, defaults | {name: value})
    with pytest.raises(ValueError, match=name):
        AutoencoderSettings(**defaults | {name: value})
