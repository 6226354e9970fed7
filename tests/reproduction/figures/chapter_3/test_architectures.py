from __future__ import annotations

from lyapunov_pkg.reproduction.figures.chapter_3.architectures import fig_3_13
from tests.reproduction.figures.checks import texts


def test_outliers_are_counted_and_do_not_set_the_limits(datasets):
    final = datasets(n_seeds=1)["final"]
    final["partition"][:] = "test"
    fig = fig_3_13(final)
    assert "1 outside" in texts(fig)
    assert fig.axes[0].get_xlim()[1] < 20
