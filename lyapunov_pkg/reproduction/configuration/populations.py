"""Settings of the statistics of spectra over all networks of a study."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Le

from lyapunov_pkg.workflow.settings import Many, Natural, NonNegative, Section

Statistic = Literal[
    "maximum_exponent",
    "mean_exponent",
    "exponent_variance",
    "number_near_zero",
    "number_above_zero",
    "kaplan_yorke_dimension",
    "initial_slope",
    "final_slope",
]


class HighlightedBy(Section):
    """The statistic whose range the highlighted networks cover, for each study."""

    char_rnn_regularisation: Statistic
    """Statistic for the networks on text (figure 2.7)."""
    mocap: Statistic
    """Statistic for the networks on motion (figure 2.7)."""


class Correlations(Section):
    """Correlation of spectra with performance (figures 2.7, 2.8, 2.b1, 2.b2, tables of chapter 2)."""

    highlighted_by: HighlightedBy
    """Statistic whose range the highlighted networks cover."""
    n_highlighted: Annotated[int, Ge(1), Le(6)]
    """Number of highlighted networks, at evenly spaced ranks. Unit: networks. Dissertation: 6, chosen by eye."""
    near_zero: NonNegative
    """Exponents with a smaller magnitude are counted as near zero. Unit: nats/step."""
    exponent_floor: Annotated[float, Le(0)]
    """Lower exponents are replaced by this value. Singular Jacobians give -inf. Unit: nats/step."""
    early_epochs: Many[Natural]
    """Epochs of the spectra that are correlated with the lowest validation loss. The nearest epochs with spectra are
    used. Unit: epochs. Dissertation: 0, 4 and 15 (figure 2.6)."""
    n_resamples: Annotated[int, Ge(100)]
    """Number of bootstrap resamples for confidence intervals. Unit: resamples."""
