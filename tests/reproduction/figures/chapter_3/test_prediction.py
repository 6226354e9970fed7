from __future__ import annotations

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import Normalize

from lyapunov_pkg.reproduction.figures.chapter_3.prediction import (
    _median_loss_variants,
    fig_3_1,
    fig_3_2,
    fig_3_3,
    fig_3_4,
    fig_3_5,
)
from lyapunov_pkg.reproduction.figures.panels import robust_limits
from lyapunov_pkg.reproduction.figures.presentation import ARCHITECTURE_LABELS, PREDICTOR_LABELS
from lyapunov_pkg.reproduction.figures.style import architecture_style
from tests.reproduction.figures.checks import curves, points_by_label, reference_lines, texts
from tests.reproduction.figures.conftest import ARCHITECTURES


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


def test_fig_3_1_shows_true_and_predicted_losses_by_p_and_size_and_every_error(default_sets, default_figure):
    prednet = default_sets["prednet"]
    true, predicted, errors = default_figure("fig_3_1").axes
    p, sizes = prednet["init_param"].values, prednet["hidden_size"].values
    held_out = prednet["held_out_prediction"].values[0]
    limits = robust_limits(np.append(prednet["final_loss"], held_out))
    for ax, values in ((true, prednet["final_loss"].values), (predicted, held_out)):
        assert list(points_by_label(ax)) == [f"hidden size {size}" for size in (16, 24, 32, 48)]
        for size in (16, 24, 32, 48):
            expected = np.stack([p, values], axis=1)[sizes == size]
            np.testing.assert_array_equal(points_by_label(ax)[f"hidden size {size}"], expected)
        assert ax.get_ylim() == pytest.approx(limits)
        assert [text.get_text() for text in ax.texts] == ["1 outside"]  # NaN is not outside.
    rms = prednet["rms_error"].values
    for row, (own, name) in enumerate(zip(rms.T, PREDICTOR_LABELS.values(), strict=True)):
        np.testing.assert_array_equal(errors.lines[2 * row].get_xydata(), [[value, row] for value in own])
        np.testing.assert_allclose(errors.lines[2 * row + 1].get_xydata(), [[own.mean(), row]])
        text = errors.texts[row]
        assert text.get_text() == f"{name}: {own.mean():.3g}" and text.get_position() == (0, row - 0.25)
    assert [line.get_label() for line in errors.lines[:2]] == ["one seed", "mean over seeds"]
    assert errors.get_xlim() == pytest.approx((-0.05 * rms.max(), 1.05 * rms.max()))
    assert errors.get_ylim() == pytest.approx((3.4, -0.6)) and not len(errors.get_yticks())


def test_figs_3_2_and_3_3_draw_the_worst_networks_first_in_the_colours_of_their_losses(default_sets, default_figure):
    networks = default_sets["eigenvalues"].isel(variant=np.arange(12, 24))
    loss = networks["validation_loss"].values[:, -1]
    scale = Normalize(*robust_limits(loss))
    for panel, eps in enumerate((0.01, 1.0)):
        own = np.flatnonzero(networks["eps"].values == eps)
        own = own[np.argsort(-loss[own])]
        colors = colormaps["viridis"](scale(loss[own]))
        eigenvalues, spectra = (default_figure(name).axes[panel] for name in ("fig_3_2", "fig_3_3"))
        for drawn, network, color in zip(eigenvalues.collections, own, colors, strict=True):
            of_one = networks.isel(variant=network)
            expected = np.stack([of_one["eigenvalue_real"], of_one["eigenvalue_imaginary"]], axis=1)
            np.testing.assert_array_equal(drawn.get_offsets(), expected)
            np.testing.assert_allclose(drawn.get_facecolor()[0], color)
        lines = [line for line in spectra.lines if len(line.get_xdata()) == 32]
        for line, network, color in zip(lines, own, colors, strict=True):
            exponents = networks["lyapunov_exponent"].values[network, -1]
            np.testing.assert_array_equal(line.get_xydata(), np.stack([np.arange(1, 33), exponents], axis=1))
            np.testing.assert_allclose(line.get_color(), color)
        limits = robust_limits(networks["lyapunov_exponent"].values[own], include=[0])
        assert spectra.get_ylim() == pytest.approx(limits)
    assert default_figure("fig_3_2").axes[2].get_ylim() == pytest.approx(robust_limits(loss))


def test_fig_3_4_shows_means_and_standard_deviations_over_seeds_and_intervals(default_sets, default_figure):
    prednets = default_sets["prednets"]
    fig = default_figure("fig_3_4")
    for (label, drawn), band, (feature, name) in zip(
        curves(fig.axes[0]),
        fig.axes[0].collections,
        ((1, "Jacobian eigenvalues"), (0, "Lyapunov spectra")),
        strict=True,
    ):
        errors = prednets["validation_error"].values[:, feature]
        mean, deviation = errors.mean(0), errors.std(0, ddof=1)
        assert label == name
        np.testing.assert_allclose(drawn, np.stack([np.arange(1, 51), mean], axis=1))
        edges = band.get_paths()[0].vertices
        for epoch, ends in ((1, (mean - deviation, mean + deviation)), (50, (mean - deviation, mean + deviation))):
            found = edges[edges[:, 0] == epoch][:, 1]
            assert (found.min(), found.max()) == pytest.approx([end[epoch - 1] for end in ends])
    assert reference_lines(fig.axes[0]) == [("y", pytest.approx(prednets["baseline_error"].mean().item()))]
    assert fig.axes[0].get_ylim()[0] == 0
    differences = [points.tolist() for _, points in curves(fig.axes[1])]
    assert differences == [[[0.05, 0], [0.15, 0]], [[0.1, 0]], [[-0.3, 1], [0.1, 1]], [[-0.1, 1]]]
    assert [text.get_position() for text in fig.axes[1].texts] == [(0, -0.15), (0, 0.85)]
    assert reference_lines(fig.axes[1]) == [("x", 0)] and fig.axes[1].get_ylim() == (1.5, -0.5)


def test_fig_3_5_shows_the_networks_of_median_loss_before_and_after_training(default_sets, default_figure):
    spectra = default_sets["spectra"]
    loss, kinds = spectra["validation_loss"].values[:, -1], spectra["architecture"].values
    chosen = []
    for name in ARCHITECTURES:
        members = np.flatnonzero((kinds == name) & np.isfinite(loss))
        chosen.append(members[np.argsort(loss[members])[(len(members) - 1) // 2]])
    exponents = spectra["lyapunov_exponent"].values[chosen]
    features, before, after = default_figure("fig_3_5").axes
    for ax, epoch in ((before, 0), (after, -1)):
        lines = [line for line in ax.lines if len(line.get_xdata()) == 32]
        for line, own, name in zip(lines, exponents[:, epoch], ARCHITECTURES, strict=True):
            np.testing.assert_array_equal(line.get_xydata(), np.stack([np.arange(1, 33), own], axis=1))
            assert line.get_color() == architecture_style(name).color
        single = [line for line in ax.lines if len(line.get_xdata()) == 1]
        maxima = [line.get_xydata()[0] for line in single if line.get_xdata()[0] < 0]
        expected = [[-1.1 * (number + 0.5), own.max()] for number, own in enumerate(exponents[:, epoch])]
        np.testing.assert_allclose(maxima, expected)
        counts = [line.get_xydata()[0].tolist() for line in single if line.get_marker() == "|"]
        assert counts == [[np.count_nonzero(own > 0), 0] for own in exponents[:, epoch]]
        assert ax.get_xlim()[0] == pytest.approx(-1.1 * 9)
        assert ax.get_xticks().min() >= 0 and ax.get_xticks().max() <= 32 and len(ax.get_xticks()) > 2
        assert ax.get_ylim() == pytest.approx(robust_limits(exponents[:, [0, -1]], include=[0]))
    # Panel (a) shows the spectrum with a share of positive exponents closest to one half.
    named = np.argmin([abs(np.count_nonzero(own > 0) - 16) for own in exponents[:, -1]])
    drawn = dict(curves(features))
    spectrum = np.stack([np.arange(1, 33), exponents[named, -1]], axis=1)
    np.testing.assert_array_equal(drawn[ARCHITECTURE_LABELS[ARCHITECTURES[named]]], spectrum)
    n_above = np.count_nonzero(spectrum[:, 1] > 0)
    by_word = {label.split(" ")[0] if label[0] != str(n_above)[0] else "above": own for label, own in drawn.items()}
    np.testing.assert_array_equal(by_word["maximum"], spectrum[:1])
    np.testing.assert_array_equal(by_word["initial"], spectrum[:4])  # A tenth of 32 indices are three steps.
    np.testing.assert_array_equal(by_word["final"], spectrum[-4:])
    np.testing.assert_array_equal(by_word["above"], [[1, 0], [n_above, 0]])


def test_a_spectrum_without_positive_exponents_has_a_mark_at_the_first_index(datasets):
    spectra = datasets(architectures=("gru",))["spectra"].isel(variant=[5])
    spectra["lyapunov_exponent"][:] = -np.linspace(1, 2, spectra.sizes["exponent"])
    drawn = dict(curves(fig_3_5(spectra).axes[0]))
    assert drawn["0 above zero"].tolist() == [[1, 0], [1, 0]]


def test_an_even_number_of_networks_has_the_better_of_the_two_medians(datasets):
    spectra = datasets(architectures=("gru",))["spectra"].isel(variant=[5, 6, 7, 1])
    spectra["validation_loss"][:, -1] = [3.0, 1.0, 2.0, 4.0]
    assert _median_loss_variants(spectra) == [2]
    spectra["validation_loss"][:, -1] = [3.0, 1.0, np.nan, 4.0]
    assert _median_loss_variants(spectra) == [0]
