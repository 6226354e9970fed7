from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from lyapunov_pkg.reproduction.prediction.classifiers import (
    OrthantClassifier,
    best_f1_threshold,
    median_threshold,
    scores,
)
from lyapunov_pkg.reproduction.prediction.judging import judge_classifiers


def test_the_best_orthant_is_optimal_if_none_has_a_majority():
    components = np.array([[-2.0], [-1.0], [0.0], [1.0], [2.0], [3.0]])
    classifier = OrthantClassifier.fit(components, np.array([False, False, False, False, False, True]), 1)
    assert classifier.optimal.tolist() == [False, True]
    nothing = OrthantClassifier.fit(components, np.zeros(6, dtype=bool), 1)
    assert not nothing.optimal.any()


def test_scores_count_true_positives_misses_and_false_alarms() -> None:
    predicted, truth = np.array([1, 1, 1, 0, 0], bool), np.array([1, 0, 1, 1, 0], bool)
    assert scores(predicted, truth) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert scores(np.zeros(3, bool), np.array([1, 0, 0], bool)) == (0, 0, 0)
    assert np.isnan(scores(np.ones(3, bool), np.zeros(3, bool))).all()


@given(st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=2, max_size=25))
def test_the_best_threshold_reaches_the_largest_possible_f1(samples: list[tuple[int, bool]]) -> None:
    values, is_low = np.array([v for v, _ in samples], float), np.array([low for _, low in samples])
    if is_low.all() or not is_low.any():
        with pytest.raises(ValueError, match="both classes"):
            best_f1_threshold(values, is_low)
        return
    boundaries = np.arange(-5.5, 6)
    by_hand = max(scores((values > b) == above, is_low).f1 for b in boundaries for above in (True, False))
    assert scores(best_f1_threshold(values, is_low).predict_low(values), is_low).f1 == pytest.approx(by_hand)


def test_the_median_threshold_finds_the_side_with_low_error() -> None:
    values = np.arange(10.0)
    for is_low in (values > 5, values < 5):
        threshold = median_threshold(values, is_low)
        assert threshold.value == pytest.approx(4.5)
        assert scores(threshold.predict_low(values), is_low).f1 > 0.85


def test_orthants_separate_classes_that_no_single_threshold_separates() -> None:
    components = np.random.default_rng(0).normal(size=(400, 3))
    components -= np.median(components, axis=0)
    is_low = (components[:, 0] > 0) == (components[:, 1] > 0)
    one, two = (OrthantClassifier.fit(components, is_low, d).predict_low(components) for d in (1, 2))
    assert scores(two, is_low).f1 > 0.95
    assert scores(one, is_low).f1 < 0.75


def test_an_empty_orthant_is_not_optimal() -> None:
    components = np.array([[-2.0, -2.0], [-1.0, -1.0], [1.0, 1.0], [2.0, 2.0]])
    classifier = OrthantClassifier.fit(components, np.ones(4, bool), 2)
    assert not classifier.predict_low(np.array([[5.0, -5.0]]))[0]


def test_too_many_orthant_components_are_refused() -> None:
    with pytest.raises(ValueError, match="n_components is 4; expected 1 to the 3 components"):
        OrthantClassifier.fit(np.zeros((9, 3)), np.arange(9) > 4, 4)


def test_training_networks_of_only_one_class_give_no_scores() -> None:
    low = np.array([True] * 4 + [False] * 4)
    networks = xr.Dataset(
        {
            "lyapunov_exponent": (("network", "epoch", "exponent"), np.zeros((8, 2, 3))),
            "lyapunov_mean": (("network", "epoch"), np.zeros((8, 2))),
            "lyapunov_max": (("network", "epoch"), np.zeros((8, 2))),
            "low_error": ("network", low),
            "final_loss": ("network", 1.0 - low),
        },
        coords={"init_param": ("network", np.linspace(0.1, 1, 8))},
    )
    partition = np.where(np.arange(8) < 3, "train", "test")
    components = np.zeros((8, 2, 2))
    verdicts = judge_classifiers(networks, partition, components, components, best_f1_threshold, seed=1)
    assert len(verdicts) == 8
    for verdict in verdicts.values():
        assert np.isnan(verdict.scores).all()
        assert np.isnan(verdict.threshold.value)


def test_precision_of_one_correct_prediction_is_one() -> None:
    assert scores(np.array([1, 0, 0], bool), np.array([1, 1, 0], bool)) == pytest.approx((1 / 2, 1, 2 / 3))
    assert scores(np.array([1, 0], bool), np.array([1, 0], bool)) == (1, 1, 1)


def test_orthants_are_centred_at_the_medians() -> None:
    components = np.array([[0.0], [1.0], [10.0]])
    classifier = OrthantClassifier.fit(components, np.array([False, False, True]), 1)
    assert classifier.medians.tolist() == [1.0]
    assert classifier.predict_low(np.array([[1.0], [1.1], [3.0]])).tolist() == [False, True, True]


def test_an_empty_top_orthant_of_three_components_is_not_low() -> None:
    signs = np.array([[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)][:-1], dtype=float)
    components = np.concatenate((signs, [[-2.0, -2.0, -2.0]]))
    classifier = OrthantClassifier.fit(components, np.ones(8, bool), 3)
    assert classifier.optimal.shape == (8,)
    assert not classifier.predict_low(np.array([[5.0, 5.0, 5.0]]))[0]
    assert classifier.predict_low(np.array([[-5.0, -5.0, -5.0]]))[0]


def test_an_orthant_with_equal_class_counts_is_not_low() -> None:
    components = np.array([[-1.0], [-2.0], [1.0], [2.0]])
    classifier = OrthantClassifier.fit(components, np.array([True, False, True, True]), 1)
    assert classifier.optimal.tolist() == [False, True]


def test_boundaries_are_midpoints_and_the_smallest_of_equally_good_ones_is_used() -> None:
    threshold = best_f1_threshold(np.array([0.0, 1.0, 4.0, 9.0]), np.array([False, False, True, True]))
    assert threshold == (2.5, True)
    assert best_f1_threshold(np.array([0.0, 4.0, 9.0]), np.array([True, False, False])) == (2.0, False)
    below_all = best_f1_threshold(np.array([1.0, 2.0, 3.0]), np.array([True, False, True]))
    assert below_all == (np.nextafter(1.0, 0), True)
    neighbours = np.array([1.0, np.nextafter(1.0, 2)])
    assert best_f1_threshold(neighbours, np.array([False, True])).predict_low(neighbours).tolist() == [False, True]
