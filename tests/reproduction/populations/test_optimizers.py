from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

from lyapunov_pkg.reproduction.configuration.training import Optimizers
from lyapunov_pkg.reproduction.figures.chapter_2.optimizers import fig_extra_optimizers
from lyapunov_pkg.reproduction.populations.optimizers import optimizer_comparison
from lyapunov_pkg.reproduction.populations.spectra import SpectraSettings
from lyapunov_pkg.reproduction.training.bptt import TrainingSettings, train_variants
from lyapunov_pkg.reproduction.training.variants import design_variants
from tests.reproduction.figures.checks import assert_complete, assert_text_inside_and_panels_apart

CPU = torch.device("cpu")
TRAINING = TrainingSettings(epochs=2, batch_size=16, loss_on="last", optimizer="adam")
OPTIMIZERS = Optimizers(
    adam={"learning_rate_factor": 1.0},
    adagrad={"learning_rate_factor": 10.0},
    rmsprop={"learning_rate_factor": 1.0},
    sgd={"learning_rate_factor": 10.0, "momentum": 0.9},
)
SPECTRA = SpectraSettings(
    n_sequences=2, warmup_passes=1, orthonormalize_every=1, jacobian="reduced", dtype="float32", epochs=[2]
)


def groups() -> dict:
    settings = {"hidden_size": 4, "init_param": {"uniform": [0.1, 2.0]}, "learning_rate": 0.01}
    return {
        name: design_variants("test", name, settings | {"architecture": name}, range(n), 1)
        for name, n in {"rnn": 6, "gru": 4}.items()
    }


@pytest.fixture(scope="module")
def dataset() -> xr.Dataset:
    rng = np.random.default_rng(0)
    inputs = rng.uniform(0, 1, (60, 5, 3)).astype(np.float32)
    parts = {"train": slice(0, 40), "test": slice(40, 60)}
    return xr.Dataset(
        {
            f"{part}_{kind}": ((f"{part}_sample", "time", "feature")[: values.ndim], values[rows])
            for part, rows in parts.items()
            for kind, values in {"input": inputs, "label": np.argmax(inputs.sum(1), 1)}.items()
        }
    )


@pytest.fixture(scope="module")
def comparison(dataset: xr.Dataset) -> xr.Dataset:
    trainings = OPTIMIZERS.trainings(TRAINING)
    return optimizer_comparison(groups(), dataset, trainings, SPECTRA, -20.0, 100, seed=0, device=CPU)


def test_each_optimizer_trains_the_same_networks_at_its_own_learning_rate(
    comparison: xr.Dataset, dataset: xr.Dataset
) -> None:
    assert comparison.sizes == {"optimizer": 4, "architecture": 2, "network": 6, "statistic": 2}
    rates = comparison["learning_rate"].sel(architecture="rnn").isel(network=0)
    np.testing.assert_allclose(rates, [0.01, 0.1, 0.01, 0.1])
    adam = train_variants(groups()["rnn"], dataset, TRAINING, CPU)
    found = comparison["final_loss"].sel(optimizer="adam", architecture="rnn")
    np.testing.assert_allclose(found, adam["validation_loss"][:, -1])
    others = comparison["final_loss"].sel(architecture="rnn").isel(optimizer=slice(1, None))
    assert (np.abs(others - found) > 1e-6).all()
    assert np.isnan(comparison["final_loss"].sel(architecture="gru")[:, 4:]).all()
    np.testing.assert_array_equal(comparison["n_used"][0], [[6, 6], [4, 4]])
    np.testing.assert_array_equal(comparison["difference"].sel(optimizer="adam"), 0)


def test_the_figure_is_complete(comparison: xr.Dataset) -> None:
    fig = fig_extra_optimizers(comparison)
    assert_complete(fig)
    assert_text_inside_and_panels_apart(fig, "fig_extra_optimizers")


def test_the_panels_show_each_network_and_exclude_outliers_from_the_limits(comparison: xr.Dataset) -> None:
    far = comparison.copy(deep=True)
    far["final_loss"].loc[{"optimizer": "sgd", "architecture": "rnn", "network": far["network"][0]}] = 1e6
    axes = fig_extra_optimizers(far).axes
    of_rnn = far.sel(architecture="rnn")
    for ax, optimizer in zip(axes[:4], far["optimizer"].values, strict=True):
        own = of_rnn.sel(optimizer=optimizer)
        (drawn,) = ax.collections
        points = np.stack([own["spectrum_statistic"].sel(statistic="maximum_exponent"), own["final_loss"]], axis=1)
        np.testing.assert_allclose(drawn.get_offsets(), points)
        assert ax.get_ylim()[1] < 1e3
    for ax, name in zip(axes[-2:], ("spearman", "difference"), strict=True):
        drawn = iter(ax.containers)
        for architecture in far["architecture"].values:
            for statistic in far["statistic"].values:
                values = far[name].sel(architecture=architecture, statistic=statistic)
                np.testing.assert_allclose(next(drawn).lines[0].get_ydata(), values)
