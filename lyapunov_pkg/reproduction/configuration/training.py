"""Settings of training."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import ValidationInfo, field_validator

from lyapunov_pkg.workflow.settings import Count, Many, Natural, Positive, Section, refused

OptimizerName = Literal["adam", "adagrad", "rmsprop", "sgd"]


class LearningRateDecay(Section):
    """How learning rates fall: in epoch after_epoch + k they are multiplied by factor^k."""

    factor: Annotated[float, Gt(0), Le(1)]
    """Factor for each epoch. Unit: 1. Dissertation: 0.95."""
    after_epoch: Natural
    """Last epoch with the full learning rates. Unit: epochs. Dissertation: 10."""


class TrainingSettings(Section):
    """How all variants of a study are trained by back-propagation through time."""

    epochs: Count
    """Passes over the training samples. Unit: epochs. Dissertation: 40 (char_rnn_regularisation), 15 (char_rnn_sizes),
    107 (asrnn, 50,000 batches)."""
    batch_size: Count
    """Sequences in a batch. Unit: sequences. Dissertation: 100 (char_rnn_initialisation, char_rnn_regularisation), 250
    (mocap), 32 (char_rnn_sizes)."""
    loss_on: Literal["all", "last"]
    """Steps whose outputs are scored. Dissertation: last in the text of chapter 3, all in its released program."""
    validate_on: Literal["validation", "held_out"] = "validation"
    """Sequences on which networks are validated. `held_out` is the validation and the test part together, of the task
    char_rnn alone. Dissertation: 10% of the text in chapter 2, and 20%, all that is not trained on, in chapter 3
    (char_rnn_sizes)."""
    optimizer: OptimizerName
    """Optimizer. Dissertation: adam; adagrad for asrnn. Released programs: sgd for row_rnn, rmsprop for pixel_rnn."""
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Share of the sum of gradients that `sgd` keeps after a step; 0 for the other optimizers. Unit: 1."""
    learning_rate_decay: LearningRateDecay | None = None
    """How learning rates fall. Null: they do not. Dissertation: for char_rnn_regularisation alone."""
    gradient_clip: Positive | None = None
    """Largest norm of a variant's gradient over all its parameters. Null: any. Unit: 1."""
    subsample: Annotated[float, Gt(0), Le(1)] | None = None
    """Share of the training and of the validation sequences that a variant sees, its own. Null: all. Unit: 1.
    Dissertation: 0.3 (char_rnn_sizes)."""

    @field_validator("momentum")
    @classmethod
    def _is_of_sgd(cls, momentum: float, info: ValidationInfo) -> float:
        """Refuse a momentum of optimizers that have none."""
        optimizer = info.data.get("optimizer")
        if momentum and optimizer not in (None, "sgd"):
            raise refused(f"0 with the optimizer {optimizer}, or the optimizer sgd")
        return momentum

    def learning_rate_factor(self, epoch: int) -> float:
        """Return by what learning rates are multiplied in an epoch, counted from 1."""
        decay = self.learning_rate_decay
        return 1.0 if decay is None else decay.factor ** max(0, epoch - decay.after_epoch)


class OptimizerSettings(Section):
    """One of several optimizers that train the same networks."""

    learning_rate_factor: Positive
    """By what the learning rates of the study are multiplied. Unit: 1."""


class SgdSettings(OptimizerSettings):
    """Stochastic gradient descent."""

    momentum: Annotated[float, Ge(0), Lt(1)]
    """Share of the sum of gradients that is left after a step; 0: none. Unit: 1."""


class Optimizers(Section):
    """The optimizers that are compared; each trains the same networks in the same order of samples."""

    adam: OptimizerSettings
    """Adam, with which the others are compared."""
    adagrad: OptimizerSettings
    """Adagrad."""
    rmsprop: OptimizerSettings
    """RMSprop."""
    sgd: SgdSettings
    """Stochastic gradient descent with momentum."""

    def trainings(self, training: TrainingSettings) -> dict[str, tuple[float, TrainingSettings]]:
        """Return by optimizer the factor of the learning rates, and the settings of the training."""
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
    """How networks learn by FORCE to generate a signal (target learning)."""

    epochs: Count
    """Passes over the target in training. Unit: epochs. Dissertation: 15."""
    n_samples: Annotated[int, Ge(11)]
    """Steps of a pass, one period of the target: 120 time constants at dt 0.1. Unit: steps. Dissertation: 1200."""
    update_every: Count
    """Steps from one update of the output's weights to the next. Unit: steps. Dissertation: 2."""
    free_epochs: Count
    """Passes over the target that the trained network runs freely; its error is the validation loss. Unit: epochs.
    Dissertation: 15."""
    kept_epochs: Many[Natural]
    """Epochs, besides the last, after which networks are kept and run freely; 0 is before training. Unit: epochs."""
    n_starts: Count
    """States along each free run, at random times, that are kept for spectra to start from. Unit: states.
    Dissertation: 10."""

    @field_validator("kept_epochs")
    @classmethod
    def _are_trained(cls, kept_epochs: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        """Refuse epochs after the last one."""
        last = info.data.get("epochs")
        for epoch in kept_epochs:
            if last is not None and epoch > last:
                epochs = f"one of {', '.join(map(str, range(last + 1)))}" if last < 50 else f"0 to {last}"
                raise refused(epochs, entry=epoch)
        return kept_epochs

    @property
    def stored_epochs(self) -> list[int]:
        """The epochs that are kept, in order."""
        return sorted({*self.kept_epochs, self.epochs})
