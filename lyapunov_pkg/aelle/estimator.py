"""AeLLE as a scikit-learn estimator. The extra `aelle` (or `workflow`) installs scikit-learn."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from lyapunov_pkg.aelle.autoencoder import AutoencoderSettings, SpectrumAutoencoder, TrainingHistory
from lyapunov_pkg.aelle.embedding import Embedding, loss_shift
from lyapunov_pkg.aelle.fitting import EXPONENT_FLOOR, fit_members, two_parts
from lyapunov_pkg.devices import one_thread

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, RegressorMixin, TransformerMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import check_array, check_is_fitted, validate_data
except ModuleNotFoundError as error:
    if error.name is None or error.name.partition(".")[0] != "sklearn":
        raise
    raise ImportError('AeLLE needs scikit-learn: pip install "lyapunov-pkg[aelle]"') from error

Spectra = ArrayLike | xr.DataArray | xr.Dataset
"""Spectra of networks: (network, exponent), or a result of `lyapunov_spectrum`."""


class AeLLE(ClassNamePrefixFeaturesOutMixin, TransformerMixin, RegressorMixin, BaseEstimator):
    """Autoencoder of Lyapunov spectra whose latent layer predicts the loss, with its embedding (AeLLE).

    The encoder maps the spectrum of a network to a latent point. The decoder maps the point back to a spectrum, and a
    linear layer predicts the network's loss from it. All three are trained together (dissertation, chapter 3, eqs. 3.5
    and 3.6). The embedding is the principal components of the latent points of the training networks. The sign of the
    first component is chosen so that larger values go with lower losses.

    Spectra are given as an array (n_networks, n_exponents), as a DataArray with the dimension `exponent`, or as a
    Dataset with the variable `lyapunov_exponent`, such as a result of `lyapunov_spectrum`. A DataArray or Dataset is
    averaged over `sequence`. It may have one more dimension with any name, that of the networks. Without this dimension
    it is the spectrum of one network. To combine several results use `xarray.concat(results, "network")`.

    The reproduction of the dissertation calls the same functions, for several seeds together
    (`lyapunov_pkg.aelle.fitting`).

    Args:
        n_components: number of principal components that `transform` returns. Components beyond the width of the
            encoder's narrowest layer (n_exponents / 16, at least 2) are zero.
        latent_size: as in `lyapunov_pkg.aelle.AutoencoderSettings`, like all arguments down to `standardise`. The
            defaults of `learning_rate`, `epochs_per_stage` and `standardise` are those of the workflow's `config.yaml`.
            The dissertation uses 1e-4, 1000 and no standardisation. It has more networks, so that an epoch has more
            steps.
        layer_divisors: see there.
        dropout: see there.
        learning_rate: see there.
        batch_size: see there.
        prediction_weights: see there.
        epochs_per_stage: see there.
        prediction_loss: see there.
        loss_ceiling: `fit` replaces larger losses by this value. `score` uses losses unchanged.
        standardise: see there.
        exponent_floor: lower exponents, including -inf, are set to this value [nats per step]. Singular Jacobians give
            -inf. `-numpy.inf` sets no floor, and spectra with -inf then raise an error.
        validation_share: share of the networks in `fit` that is held out for validation. The state of the epoch with
            the lowest prediction loss on these networks is kept.
        random_state: seed for the choice of held-out networks, the initial weights, the batches and the dropout. An
            integer gives the same bits in every call, for any number of threads.

    Attributes:
        autoencoder_: the `SpectrumAutoencoder`, with one member.
        embedding_: the `Embedding`: mean and principal axes of the latent points.
        history_: the `TrainingHistory`, losses by epoch and the epoch that was kept.
        n_features_in_: the number of exponents.

    Few exponents:
        The default layers suit spectra of hundreds of exponents. For a few dozen exponents choose wider layers and a
        smaller latent layer, such as `layer_divisors=(2, 4)` and `latent_size=4`. Otherwise the latent points lie in
        two of 32 dimensions. `shift` then moves them out of these two, and decoded spectra hardly change.

    Losses:
        Predictions start near zero, and a step of Adam changes a weight by at most about the learning rate. If losses
        are not of the order of 1, rescale them before `fit` or with `sklearn.compose.TransformedTargetRegressor`.

    Example:
        Spectra of 60 networks whose slopes are proportional to the losses:

        >>> from lyapunov_pkg import AeLLE
        >>> rng = np.random.default_rng(0)
        >>> loss = rng.uniform(0, 1, 60)
        >>> spectra = -loss[:, None] * np.linspace(0, 2, 16) + 0.01 * rng.normal(size=(60, 16))
        >>> aelle = AeLLE(epochs_per_stage=100, random_state=0).fit(spectra[:40], loss[:40])
        >>> aelle.transform(spectra).shape
        (60, 2)
        >>> aelle.score(spectra[40:], loss[40:]) > 0.9
        True

        Spectra whose predicted loss was shifted by -0.3 fall less steeply:

        >>> shifted = aelle.shift(spectra, -0.3)
        >>> bool((shifted[:, -1] > aelle.shift(spectra, 0.0)[:, -1]).all())
        True

    References:
        Vogt, R., Zheng, Y., Shlizerman, E.: Lyapunov-guided representation of recurrent neural network performance.
        Neural Computing and Applications (2024). arXiv:2204.04876.
    """

    autoencoder_: SpectrumAutoencoder
    embedding_: Embedding
    history_: TrainingHistory

    def __init__(
        self,
        n_components: int = 2,
        *,
        latent_size: int = AutoencoderSettings.latent_size,
        layer_divisors: Sequence[int] = AutoencoderSettings.layer_divisors,
        dropout: float = AutoencoderSettings.dropout,
        learning_rate: float = 1e-3,
        batch_size: int = AutoencoderSettings.batch_size,
        prediction_weights: Sequence[float] = AutoencoderSettings.prediction_weights,
        epochs_per_stage: int = 250,
        prediction_loss: Literal["l2", "l1"] = AutoencoderSettings.prediction_loss,
        loss_ceiling: float = AutoencoderSettings.loss_ceiling,
        standardise: bool = True,
        exponent_floor: float = EXPONENT_FLOOR,
        validation_share: float = 0.2,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_components = n_components
        self.latent_size = latent_size
        self.layer_divisors = layer_divisors
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.prediction_weights = prediction_weights
        self.epochs_per_stage = epochs_per_stage
        self.prediction_loss = prediction_loss
        self.loss_ceiling = loss_ceiling
        self.standardise = standardise
        self.exponent_floor = exponent_floor
        self.validation_share = validation_share
        self.random_state = random_state

    def fit(self, X: Spectra, y: ArrayLike | xr.DataArray, *, validation: tuple[Spectra, Any] | None = None) -> Self:
        """Train the autoencoder, fit the principal components, and return the estimator.

        Args:
            X: spectra of the networks. Without the held-out ones there must be at least `n_components`.
            y: (n_networks,), the loss of each network.
            validation: spectra and losses for the choice of the epoch, in place of a share of `X`. Use it if several
                spectra belong to the same network, so that no network is in both parts.

        Raises:
            ValueError: a spectrum contains NaN or inf (the network diverged), the numbers of networks differ, an
                argument is out of range, or the training diverges.
        """
        settings = self._settings()
        spectra, losses = self._samples(X, y, reset=True)
        seed = self._seed()
        if validation is None:
            train, held_out = two_parts(len(spectra), self.validation_share, [seed])
        else:
            more_spectra, more_losses = self._samples(*validation, reset=False)
            train, held_out = np.arange(len(spectra))[None], len(spectra) + np.arange(len(more_spectra))[None]
            spectra, losses = np.concatenate((spectra, more_spectra)), np.concatenate((losses, more_losses))
        with one_thread():
            fitted = fit_members(spectra, losses, train, held_out, [seed], settings, self.n_components)
        if not np.isfinite(fitted.history.validation_prediction).any():
            raise ValueError(
                f"learning_rate: got {self.learning_rate}, for which the training diverges; expected a lower rate, "
                "or losses of the order of 1"
            )
        self.autoencoder_, self.embedding_, self.history_ = fitted.autoencoder, fitted.embeddings[0], fitted.history
        return self

    def latent(self, spectra: Spectra) -> NDArray[np.float32]:
        """Return the latent points (n_networks, latent_size) of spectra.

        Raises:
            ValueError: a spectrum contains NaN or inf, or the number of exponents differs from `fit`.
        """
        return self._encoded(spectra)[0].numpy()

    def transform(self, X: Spectra) -> NDArray[np.float64]:
        """Return the principal components (n_networks, n_components) of the latent points of spectra.

        Raises:
            ValueError: see `latent`.
        """
        latent = self.latent(X)
        with one_thread():
            return self.embedding_.transform(latent)

    def inverse_transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return the decoded spectra (n, n_exponents) of principal components (n, n_components).

        If the components span all latent points, the result equals `shift(spectra, 0.0)`. Otherwise the latent points
        are first projected onto the span.

        Raises:
            ValueError: the number of components is wrong, or values are not finite.
        """
        check_is_fitted(self)
        components = check_array(X, dtype=np.float64, input_name="X")
        if components.shape[1] != len(self.embedding_.components):
            raise ValueError(
                f"X: got {components.shape[1]} components, expected {len(self.embedding_.components)} as in fit"
            )
        with one_thread():
            latent = self.embedding_.mean + components @ self.embedding_.components
            return self.autoencoder_.decode(latent[None])[0].numpy()

    def predict(self, X: Spectra) -> NDArray[np.float32]:
        """Return the predicted losses (n_networks,) of spectra.

        Raises:
            ValueError: see `latent`.
        """
        latent = self._encoded(X)
        with one_thread():
            return self.autoencoder_.predict(latent)[0].numpy()

    def score(self, X: Spectra, y: ArrayLike | xr.DataArray, sample_weight: ArrayLike | None = None) -> float:
        """Return R², the explained share of the variance of the losses (n_networks,).

        Raises:
            ValueError: see `fit`.
        """
        if isinstance(y, xr.DataArray):
            _check_same_networks(X, y)
        return float(super().score(X, np.asarray(y), sample_weight))

    def shift(self, spectra: Spectra, delta: float) -> NDArray[np.float32]:
        """Return spectra (n_networks, n_exponents) decoded after a shift of the predicted loss by `delta` (eq. 3.7).

        The latent points move along the weights of the prediction layer, which is the shortest way. With `delta` 0 the
        spectra are the reconstructions of the autoencoder.

        Raises:
            ValueError: see `latent`; or `delta` is not finite.
        """
        if not np.isfinite(delta):
            raise ValueError(f"delta: got {delta}, expected a finite change of the predicted loss")
        latent = self._encoded(spectra)
        with one_thread():
            return self.autoencoder_.decode(loss_shift(self.autoencoder_, latent, float(delta)))[0].numpy()

    @property
    def _n_features_out(self) -> int:
        """Return the number of output features, for `get_feature_names_out`."""
        return len(self.embedding_.components)

    def _settings(self) -> AutoencoderSettings:
        """Return the settings of the autoencoder.

        Raises:
            ValueError: a setting is out of range.
        """
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(AutoencoderSettings)}
        sequences = {name: tuple(values[name]) for name in ("layer_divisors", "prediction_weights")}
        return AutoencoderSettings(**(values | sequences))

    def _seed(self) -> int:
        rng = check_random_state(self.random_state)
        is_seed = isinstance(self.random_state, numbers.Integral)
        return int(self.random_state) if is_seed else int(rng.randint(2**31 - 1))  # type: ignore[arg-type]

    def _samples(self, X: Any, y: Any, reset: bool) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Return spectra (n, d) and losses (n,), checked."""
        if isinstance(y, xr.DataArray):
            _check_same_networks(X, y)
        spectra, losses = validate_data(
            self,
            _rows(X),
            np.asarray(y) if isinstance(y, xr.DataArray) else y,
            reset=reset,
            dtype=[np.float64, np.float32],
            y_numeric=True,
            ensure_all_finite=False,
            ensure_min_samples=2 if reset else 1,
        )
        return self._floored(spectra), losses

    def _encoded(self, spectra: Spectra) -> torch.Tensor:
        """Return the latent points (1, n, latent) of spectra, checked."""
        check_is_fitted(self)
        rows = validate_data(self, _rows(spectra), reset=False, dtype=[np.float64, np.float32], ensure_all_finite=False)
        with one_thread():
            return self.autoencoder_.encode(np.array(self._floored(rows), dtype=np.float32))

    def _floored(self, spectra: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return spectra with all exponents at or above the floor.

        Raises:
            ValueError: a spectrum contains NaN or inf, or -inf without a floor.
        """
        bad = np.isnan(spectra).any(axis=1) | np.isposinf(spectra).any(axis=1)
        if bad.any():
            raise ValueError(
                f"X: got NaN or inf in {_which(bad)}, expected finite exponents; a network with such a spectrum "
                "diverged, so remove it and its loss"
            )
        floored: NDArray[np.floating] = np.maximum(spectra, spectra.dtype.type(self.exponent_floor))
        if np.isinf(floored).any():
            raise ValueError(
                f"exponent_floor: got {self.exponent_floor} with exponents of -inf in "
                f"{_which(np.isinf(floored).any(axis=1))}, expected a finite floor, such as {EXPONENT_FLOOR}"
            )
        return floored


def _which(rows: NDArray[np.bool_]) -> str:
    """Return a description of the marked rows (n,).

    >>> _which(np.array([True, False, True]))
    '2 of 3 networks (0, 2)'
    """
    found = np.flatnonzero(rows)
    listed = ", ".join(map(str, found[:5])) + (", ..." if len(found) > 5 else "")
    return f"{len(found)} of {len(rows)} networks ({listed})"


def _rows(spectra: Any) -> Any:
    """Return spectra of a DataArray or Dataset as an array (network, exponent), and other values unchanged.

    Raises:
        ValueError: there is no variable `lyapunov_exponent`, no dimension `exponent`, or more than one dimension
            besides `exponent` and `sequence`.
    """
    if isinstance(spectra, xr.Dataset):
        if "lyapunov_exponent" not in spectra:
            raise ValueError(f"X: got a Dataset with {sorted(map(str, spectra))}, expected one with lyapunov_exponent")
        spectra = spectra["lyapunov_exponent"]
    if not isinstance(spectra, xr.DataArray):
        return spectra
    others = [dim for dim in spectra.dims if dim not in ("exponent", "sequence")]
    if "exponent" not in spectra.dims or len(others) > 1:
        raise ValueError(
            f"X: got the dimensions {spectra.dims}, expected `exponent`, one of networks, and optionally `sequence`; "
            'combine others, as in spectra.stack(network=("variant", "epoch"))'
        )
    if "sequence" in spectra.dims:
        spectra = spectra.astype(np.float64).mean("sequence", skipna=False)
    return np.atleast_2d(spectra.transpose(*others, "exponent").values)


def _check_same_networks(spectra: Any, losses: xr.DataArray) -> None:
    """Raise an error if labelled losses and labelled spectra have different labels.

    Raises:
        ValueError: the dimension of the losses is not that of the networks, or the order of the networks differs.
    """
    if not isinstance(spectra, xr.DataArray | xr.Dataset):
        return
    if any(dim not in spectra.dims for dim in losses.dims):
        raise ValueError(
            f"y: got the dimensions {losses.dims}, expected the dimension of the networks in {tuple(spectra.dims)}"
        )
    for dim in losses.dims:
        if dim in losses.indexes and dim in spectra.indexes and not losses.indexes[dim].equals(spectra.indexes[dim]):
            raise ValueError(
                f"y: got labels along {dim!r} that differ from those of the spectra, expected the same labels in "
                "the same order"
            )
