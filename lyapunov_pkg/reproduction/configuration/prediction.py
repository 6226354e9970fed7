"""Settings of the prediction of a network's loss from its spectrum: AeLLE, pruning with AeLLE, and PredNet."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Len, Lt
from pydantic import AfterValidator

from lyapunov_pkg.workflow.settings import Count, Many, Natural, NonNegative, Positive, Rising, Section, Share, refused


def adding_up(shares: tuple[float, ...]) -> tuple[float, ...]:
    """Return `shares`.

    Raises:
        PydanticCustomError: the shares do not add up to 1.
    """
    if abs(sum(shares) - 1) > 1e-9:
        raise refused("1", f", which adds up to {sum(shares):g}")
    return shares


Fractions = Annotated[Many[Share], Len(3, 3), AfterValidator(adding_up)]
SpectrumLength = Annotated[int, Ge(2)]


class Autoencoder(Section):
    """Layers and training of the autoencoder (`lyapunov_pkg.aelle.AutoencoderSettings`)."""

    latent_size: Count
    """Width of the latent layer. Unit: units. Dissertation: 32."""
    layer_divisors: Annotated[Many[Count], Len(2, 2)]
    """Inner layers have the number of exponents divided by these as width, at least 2. Unit: 1. Dissertation: 8, 16."""
    dropout: Annotated[float, Ge(0), Lt(1)]
    """Probability that an inner activation is dropped in training. Unit: 1. Dissertation: 0.1."""
    learning_rate: Positive
    """Step size of Adam. Unit: 1. Dissertation: 1e-4."""
    batch_size: Count
    """Number of spectra in a batch. Unit: spectra. Dissertation: 128."""
    prediction_weights: Annotated[Many[NonNegative], Len(1)]
    """Weight alpha of the prediction loss (eq. 3.6) in each stage. Unit: 1. Dissertation: 5, 5, 10, 20 in the released
    program."""
    epochs_per_stage: Count
    """Number of epochs per stage. Unit: epochs. Dissertation: 1000."""
    prediction_loss: Literal["l1", "l2"]
    """`l2` is the mean square, `l1` the mean absolute prediction error. Dissertation: l2."""
    loss_ceiling: Positive
    """Larger losses are replaced by this value. Chance on ten digits is ln 10 = 2.3. Unit: nats. Dissertation: none."""
    standardise: bool
    """Whether the mean spectrum of the training part is subtracted, and the result divided by its spread, one number
    for all exponents. Dissertation: false."""


class Aelle(Section):
    """The autoencoder of spectra (chapter 3)."""

    n_seeds: Count
    """Number of splits and autoencoders. Every score is reported with its spread over them. Unit: seeds."""
    exponent_floor: Annotated[float, Le(0)]
    """Lower exponents are replaced by this value. Singular Jacobians give -inf. Unit: nats/step. Dissertation: none."""
    spectrum_length: SpectrumLength | None
    """Number of exponents to which every spectrum is interpolated. Null: that of the longest spectrum. Unit: exponents.
    Dissertation: 512 in the released program, for all tasks; 1024 in the text for char_rnn_sizes."""
    final_fractions: Fractions
    """Training, validation and test share of the networks (figures 3.6, 3.8, 3.9, 3.12 to 3.15). Unit: 1.
    Dissertation: 0.7, 0.1, 0.2."""
    pretrained_fractions: Fractions
    """The same for the pre-trained AeLLE (tables 3.1 to 3.3). Unit: 1. Dissertation: 0.2, 0.2, 0.6."""
    threshold_part: Literal["train", "validation"]
    """Part of the split on which the thresholds of the pre-trained AeLLE and of the other classifiers are chosen.
    Dissertation: validation."""
    pretrained_epochs: Count
    """Number of epochs whose spectra the pre-trained AeLLE uses, from epoch 0 on. Unit: epochs. Dissertation: 6."""
    autoencoder: Autoencoder
    """Layers and training of the autoencoder."""


class Pruning(Section):
    """Successive halving of the networks of SMNIST by early predictions; not in the dissertation."""

    pool_sizes: Annotated[Many[Annotated[int, Ge(2)]], Len(1)]
    """Number of networks that start together, at most the test part of the pre-trained AeLLE. Unit: networks."""
    epochs: Annotated[Many[Natural], Len(1), Rising()]
    """Epochs after which some networks are stopped; 0 is before training. Unit: epochs."""
    kept_share: Annotated[float, Gt(0), Le(1)]
    """Share of the networks that continue each time. Unit: 1."""
    n_draws: Count
    """Number of pools of each size, drawn from the test part. Unit: pools."""


class PruningSettings(Pruning):
    """Settings of successive halving, with the ceiling of losses of AeLLE."""

    loss_ceiling: Positive
    """Larger final losses are replaced by this value, so that no exploded network dominates a mean. Unit: nats."""


class PredNetSettings(Section):
    """Size and training of PredNet, a small network that predicts the final loss."""

    hidden_size: Count
    """Number of hidden units, with tanh. Unit: units. Dissertation: 50 for figure 3.1, 10 for figure 3.4."""
    learning_rate: Positive
    """Step size of Adam. Unit: 1. Dissertation: 1e-4."""
    epochs: Count
    """Number of steps of Adam, each on the whole training part. Unit: epochs. Dissertation: 15,000."""
    loss_ceiling: Positive
    """Larger losses are replaced by this value. Unit: nats. Dissertation: none."""


class EarlyPrednet(Section):
    """PredNet on spectra early in training (figure 3.1, study char_rnn_sizes)."""

    n_seeds: Count
    """Number of splits and PredNets. Unit: seeds."""
    training_share: Share
    """Share of the epochs after which the spectra are used. These epochs must be among `spectra.epochs`. Unit: 1.
    Dissertation: 0.4."""
    spectrum_length: SpectrumLength | None
    """Number of exponents to which every spectrum is interpolated. Null: that of the longest spectrum. Unit: exponents.
    Dissertation: 1024."""
    fractions: Fractions
    """Training, validation and test share of the networks. Unit: 1. Dissertation: 0.7, 0.1, 0.2."""
    network: PredNetSettings
    """Size and training of PredNet."""


class EigenvaluePrednet(Section):
    """PredNet on spectra against PredNet on eigenvalues, after training (figure 3.4, study asrnn)."""

    n_seeds: Annotated[int, Ge(2)]
    """Number of splits and PredNets. Unit: seeds."""
    validation_share: Annotated[float, Gt(0), Lt(1)]
    """Share of the networks that validate. Unit: 1."""
    network: PredNetSettings
    """Size and training of PredNet."""


class Prednet(Section):
    """Small networks that predict the final loss."""

    early: EarlyPrednet
    """On spectra early in training."""
    eigenvalues: EigenvaluePrednet
    """On spectra against on eigenvalues."""
