from __future__ import annotations

import sys

import pytest

from lyapunov_pkg.devices import subnormals_as_zero


def subnormals_are_zero() -> bool:
    return sys.float_info.min / 2 == 0


def test_subnormals_are_zero_only_within_the_context() -> None:
    assert not subnormals_are_zero()
    with subnormals_as_zero():
        assert subnormals_are_zero()
        with subnormals_as_zero():
            assert subnormals_are_zero()
        assert subnormals_are_zero()
    assert not subnormals_are_zero()


def test_subnormals_are_restored_after_an_error() -> None:
    with pytest.raises(RuntimeError, match="within"), subnormals_as_zero():
        raise RuntimeError("within")
    assert not subnormals_are_zero()
