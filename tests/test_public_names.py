"""The public names of the library can be imported, are listed, and have a docstring."""

from __future__ import annotations

import re

import pytest

import lyapunov_pkg
from tests.house.base_dependencies import ROOT


@pytest.mark.parametrize("name", lyapunov_pkg.__all__)
def test_every_public_name_exists_and_has_a_docstring(name: str) -> None:
    assert name in dir(lyapunov_pkg)
    assert getattr(lyapunov_pkg, name).__doc__


def test_the_version_is_that_of_the_project() -> None:
    declared = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), flags=re.M)
    assert declared is not None and lyapunov_pkg.__version__ == declared.group(1)


def test_the_call_in_an_error_message_uses_public_names() -> None:
    import torch

    model = torch.nn.Sequential(torch.nn.Embedding(5, 3), torch.nn.GRU(3, 4))
    with pytest.raises(TypeError, match=r"submodule_inputs\(model") as info:
        lyapunov_pkg.lyapunov_spectrum(model, torch.zeros(7, 2, dtype=torch.long))
    for called in re.findall(r"(\w+)\(model", str(info.value)):
        assert called in lyapunov_pkg.__all__


def test_other_names_raise_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'spectrum'"):
        lyapunov_pkg.spectrum  # noqa: B018 (the attribute is asked for)
