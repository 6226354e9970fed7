"""Settings of training."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import ValidationInfo, field_validator

from lyapunov_pkg.workflow.settings import Count, Many, Natural, Positive, Section, refused

OptimizerName = Literal["adam", "adagrad", "rmsprop", "sgd"]


class LearningRateDecay(Section):
    """Decay of learning rates: in epoch after_epoch + k they are multiplied by factor^k."""

    factor: Annotated[float, Gt(0), Le(1)]
    """Factor per epoch. Unit: 1. Dissertation: 0.95."""
    after_epoch: Natural
    """Last epoch with the full learning rates. Unit: epochs. Dissertation: 10."""


class TrainingSettings(Section):
    """Settings of training by back-propagation through time, for all variants of a study."""

    epochs: Count
    """Number of passes over the training samples. Unit: epochs. Dissertation: 40 (char_rnn_regularisation), 15
    (char_rnn_sizes), 107 (asrnn, 50,000 batches)."""
    batch_size: Count
    """Number of sequences in a batch. Unit: sequences. Dissertation: 100 (char_rnn_initialisation,
    char_rnn_regularisation), 250 (mocap), 32 (char_rnn_sizes)."""
    loss_on: Literal["all", "last"]
    """Steps whose outputs enter the loss. Dissertation: last in the text of chapter 3, all in its released program."""
    validate_on: Literal["validation", "held_out"] = "validation"
    """Sequences for validation. `held_out` is the validation and the test part together, and only for the task
    char_rnn. Dissertation: 10% of the text in chapter 2. In chapter 3 (char_rnn_sizes) 20%, which is all text that is
    not used for training."""
    optimizer: OptimizerName
    """Optimizer. Dissertation: adam; adagrad for asrnn. Released programs: sgd for row_rnn, rmsprop for pixel_rnn."""
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Momentum: share of the sum of gradients that `sgd` keeps after a step; 0 for other optimizers. Unit: 1."""
    learning_rate_decay: LearningRateDecay | None = None
    """Decay of learning rates. Null: no decay. Dissertation: only for char_rnn_regularisation."""
    gradient_clip: Positive | None = None
    """Largest norm of a variant's gradient over all its parameters. Null: no limit. Unit: 1."""
    subsample: Annotated[float, Gt(0), Le(1)] | None = None
    """Share of the training and validation sequences for each variant, drawn separately for each. Null: all. Unit: 1.
    Dissertation: 0.3 (char_rnn_sizes)."""

    @field_validator("momentum")
    @classmethod
    def _is_of_sgd(cls, momentum: float, info: ValidationInfo) -> float:
        """Check that only `sgd` has a momentum."""
        optimizer = info.data.get("optimizer")
        if momentum and optimizer not in (None, "sgd"):
            raise refused(f"0 with the optimizer {optimizer}, or the optimizer sgd")
        return momentum

    def learning_rate_factor(self, epoch: int) -> float:
        """Return the factor of the learning rates in an epoch, counted from 1."""
        decay = self.learning_rate_decay
        return 1.0 if decay is None else decay.factor ** max(0, epoch - decay.after_epoch)


class OptimizerSettings(Section):
    """One of several optimizers that train the same networks."""

    learning_rate_factor: Positive
    """Factor of the study's learning rates. Unit: 1."""


class SgdSettings(OptimizerSettings):
    """Stochastic gradient descent."""

    momentum: Annotated[float, Ge(0), Lt(1)]
    """Momentum: the share of the sum of gradients that is kept after a step. Unit: 1."""


class Optimizers(Section):
    """The compared optimizers. Each trains the same networks with the same order of samples."""

    adam: OptimizerSettings
    """Adam, the reference for the others."""
    adagrad: OptimizerSettings
    """Adagrad."""
    rmsprop: OptimizerSettings
    """RMSprop."""
    sgd: SgdSettings
    """Stochastic gradient descent with momentum."""

    def trainings(self, training: TrainingSettings) -> dict[str, tuple[float, TrainingSettings]]:
        """Return {optimizer: (factor of the learning rates, settings of the training)}."""
        momentum = {"sgd": self.sgd.momentum}
        settings: dict[str, OptimizerSettings] = {
            "adam": self.adam,
            "adagrad": self.adagrad,
            "rmsprop": self.rmsprop,
            "sgd": self.sgd,
        }
        return {
            name: (own.learning_rate_factor, training.replaced(optimizer=name, momentum=momentum.get(name, 0.0)))
            for name, own in settings.items()
        }


class ForceSettings(Section):
    """Settings of FORCE learning of a signal (target learning)."""

    epochs: Count
    """Number of passes over the target in training. Unit: epochs. Dissertation: 15."""
    n_samples: Annotated[int, Ge(11)]
    """Steps of a pass over one period of the target, 120 time constants at dt 0.1. Unit: steps. Dissertation: 1200."""
    update_every: Count
    """Number of steps between updates of the output weights. Unit: steps. Dissertation: 2."""
    free_epochs: Count
    """Number of passes over the target in the free run of the trained network. Its error is the validation loss. Unit:
    epochs. Dissertation: 15."""
    kept_epochs: Many[Natural]
    """Epochs, besides the last, after which networks are stored and run freely; 0 is before training. Unit: epochs."""
    n_starts: Count
    """Number of states of each free run, at random times, that are stored as initial states of spectra. Unit: states.
    Dissertation: 10."""

    @field_validator("kept_epochs")
    @classmethod
    def _are_trained(cls, kept_epochs: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        """Check that no stored epoch is after the last one."""
        last = info.data.get("epochs")
        for epoch in kept_epochs:
            if last is not None and epoch > last:
                epochs = f"one of {', '.join(map(str, range(last + 1)))}" if last < 50 else f"0 to {last}"
                raise refused(epochs, entry=epoch)
        return kept_epochs

    @property
    def stored_epochs(self) -> list[int]:
        """Return the stored epochs, in order."""
        return sorted({*self.kept_epochs, self.epochs})
