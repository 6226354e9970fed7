from __future__ import annotations

import numpy as np
import pytest

from lyapunov_pkg.reproduction.figures.chapter_3.prediction import fig_3_1, fig_3_2, fig_3_3, fig_3_4, fig_3_5
from tests.reproduction.figures.checks import texts


def test_fig_3_5_marks_the_maximum_exponent_and_the_number_above_zero(datasets):
    spectra = datasets(architectures=("gru",))["spectra"].isel(variant=[5])
    # 11 of 32 exponents are above zero, and the slope is -0.03.
    exponents = np.linspace(0.31, -0.62, spectra.sizes["exponent"])
    spectra["lyapunov_exponent"][:] = exponents
    shown = texts(fig_3_5(spectra))
    assert {"maximum 0.31", "11 above zero", "initial slope −0.03", "final slope −0.03"} <= set(shown)


def test_fig_3_5_omits_diverged_networks_and_says_if_none_is_left(datasets):
    spectra = datasets(architectures=("gru", "lem"))["spectra"]
    spectra["diverged"][spectra["architecture"].values == "gru"] = True
    shown = texts(fig_3_5(spectra))
    assert "LEM" in shown and "GRU" not in shown
    spectra["diverged"][:] = True
    with pytest.raises(ValueError, match="all 16 networks diverged"):
        fig_3_5(spectra)


def test_fig_3_1_names_errors_of_all_predictors_and_omits_networks_that_were_never_held_out(datasets):
    prednet = datasets()["prednet"]
    fig = fig_3_1(prednet)
    true, predicted = fig.axes[:2]
    assert [sum(len(points.get_offsets()) for points in ax.collections) for ax in (true, predicted)] == [40, 40]
    finite = [np.isfinite(points.get_offsets()).all(axis=1).sum() for points in predicted.collections]
    assert sum(finite) == 39
    for name in ("PredNet", "mean of the training networks", "linear in p and log₂ hidden size"):
        assert any(text.startswith(f"{name}: ") for text in texts(fig))
    assert "(b) predicted at 40% of training" in texts(fig)


def test_figs_3_2_and_3_3_show_the_largest_gamma_at_the_ends_of_eps_without_diverged_networks(datasets):
    networks = datasets()["eigenvalues"]
    networks["diverged"][18] = True
    for figure in (fig_3_2, fig_3_3):
        shown = texts(figure(networks))
        assert {"(a) ε = 0.01, γ = 0.1: 5 networks", "(b) ε = 1, γ = 0.1: 6 networks"} <= set(shown)
    drawn = fig_3_2(networks).axes[0].collections
    chosen = networks.isel(variant=[12, 14, 16, 20, 22])
    worst = chosen.isel(variant=int(chosen["validation_loss"].values.argmax()))
    np.testing.assert_allclose(drawn[0].get_offsets()[:, 0], worst["eigenvalue_real"])
    assert len(drawn) == 5


def test_fig_3_4_says_whether_spectra_predict_better(datasets):
    shown = texts(fig_3_4(datasets()["prednets"]))
    assert {"last epoch: spectra predict better", "lowest error: no significant difference"} <= set(shown)


def test_fig_3_5_marks_maxima_and_says_where_lines_end(datasets):
    spectra = datasets(architectures=("gru", "lem"))["spectra"]
    spectra["lyapunov_exponent"][:, :, -1] = -np.inf
    fig = fig_3_5(spectra)
    single = [(line.get_xdata()[0], line.get_marker()) for line in fig.axes[2].lines if len(line.get_xdata()) == 1]
    assert len({x for x, _ in single if x < 0}) == 2  # These are the maximum exponents.
    assert [x for x, marker in single if marker == "x"] == [spectra.sizes["exponent"] - 1] * 2
    assert "a line ends: the next exponents are −∞" in texts(fig)
    spectra["lyapunov_exponent"][:, :, -1] = spectra["lyapunov_exponent"][:, :, -2]
    assert not any("a line ends" in text for text in texts(fig_3_5(spectra)))
