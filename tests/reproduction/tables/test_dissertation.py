from __future__ import annotations

import numpy as np
import pytest

from lyapunov_pkg.reproduction.tables.dissertation import DISSERTATION_D5


def test_dissertations_shares_sum_to_all():
    assert np.sum(list(DISSERTATION_D5.values()), axis=0) == pytest.approx([100, 100])
