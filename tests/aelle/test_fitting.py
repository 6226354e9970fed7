from __future__ import annotations

import numpy as np
import pytest

from lyapunov_pkg.aelle.fitting import two_parts


def test_the_two_parts_cover_every_network_once_and_depend_on_the_seed() -> None:
    train, validation = two_parts(10, 0.2, seeds=[1, 2])
    assert train.shape == (2, 8) and validation.shape == (2, 2)
    np.testing.assert_array_equal(np.sort(np.concatenate((train, validation), axis=1)), [range(10)] * 2)
    assert (train[0] != train[1]).any()
    for share in (0.01, 0.99):
        with pytest.raises(ValueError, match="expected at least 1 network for validation and 1 for training"):
            two_parts(10, share, seeds=[1])
