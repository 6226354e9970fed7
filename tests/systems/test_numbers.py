"""Numeric arguments: accepted values, and errors that name refused values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

from lyapunov_pkg.spectra.driven import check_schedule, driven_system
from lyapunov_pkg.systems.numbers import read_numbers
from tests.systems.reference import FEATURES, UNITS, exponents, random

INPUTS, ZEROS = random(2, 6, FEATURES), torch.zeros(UNITS, dtype=torch.float64)
ARRAY = INPUTS.numpy()


def gru() -> torch.nn.GRU:
    torch.manual_seed(0)
    return torch.nn.GRU(FEATURES, UNITS, batch_first=True).double()


class TestReading:
    @pytest.mark.parametrize(
        "values",
        [
            ARRAY,
            ARRAY.astype(">f8"),
            ARRAY.astype(np.longdouble),
            ARRAY.tolist(),
            tuple(INPUTS),
            [list(sequence) for sequence in INPUTS],
            ARRAY[:, ::-1].copy()[:, ::-1],
            np.asfortranarray(ARRAY),
            xr.DataArray(ARRAY, dims=("sequence", "time", "feature")),
            torch.nn.Parameter(INPUTS),
        ],
    )
    def test_the_same_numbers_are_accepted_in_any_form(self, values):
        np.testing.assert_array_equal(exponents(gru(), values), exponents(gru(), INPUTS))

    @pytest.mark.parametrize("dtype", [">i4", "u1", "i8", "u8", "?", "u2"])
    def test_integers_and_booleans_are_accepted(self, dtype):
        whole = np.arange(36).reshape(2, 6, 3) % 2
        np.testing.assert_array_equal(exponents(gru(), whole.astype(dtype)), exponents(gru(), whole.astype(float)))

    def test_tensors_keep_their_gradients(self):
        parts = [torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)]
        read_numbers("inputs", [parts, parts]).sum().backward()
        assert torch.equal(parts[0].grad, torch.full((3,), 2.0))

    def test_inference_tensors_are_copied(self):
        with torch.inference_mode():
            values = torch.ones(1, 3, FEATURES)
        assert not read_numbers("inputs", values).is_inference()


class TestRefusals:
    @pytest.mark.parametrize(
        ("values", "message"),
        [
            (np.ma.masked_array(ARRAY, ARRAY > 2), "inputs: got a masked array"),
            (ARRAY + 0j, "inputs: got complex numbers"),
            (INPUTS + 0j, "inputs: got complex numbers"),
            (INPUTS.to_sparse(), "inputs: got a sparse tensor"),
            (INPUTS[0].to_sparse_csr(), "inputs: got a sparse tensor"),
            (INPUTS.to("meta"), "inputs: got a tensor on the meta device"),
            (INPUTS.to(torch.float8_e4m3fn), "inputs: got numbers of torch.float8"),
            (ARRAY.astype(object), "inputs: got ndarray of shape"),
            (ARRAY.astype(str), "inputs: got ndarray of shape"),
            (np.array(["2020-01-01"], dtype="M8[D]"), "inputs: got ndarray"),
            (xr.Dataset({"a": ("time", [1.0])}), "inputs: got Dataset"),
            ((value for value in ARRAY), "inputs: got generator"),
            ({"a": 1.0}, "inputs: got {'a': 1.0}"),
            ("numbers", "inputs: got 'numbers'"),
            ([["a"]], "inputs: got"),
            ([None], "inputs: got"),
        ],
    )
    def test_unsupported_types_are_refused(self, values, message):
        with pytest.raises(TypeError, match=message):
            exponents(gru(), values)

    def test_nested_tensors_are_refused(self):
        nested = torch.nested.nested_tensor([INPUTS[0], INPUTS[1, :4]], layout=torch.jagged)
        with pytest.raises(TypeError, match="inputs: got a nested tensor"):
            exponents(gru(), nested)

    @pytest.mark.filterwarnings("ignore::UserWarning")
    def test_quantised_tensors_are_refused(self):
        quantised = torch.quantize_per_tensor(INPUTS.float(), 0.1, 0, torch.qint8)
        with pytest.raises(TypeError, match=r"inputs: got a quantised tensor.*give tensor.dequantize\(\)"):
            exponents(gru(), quantised)

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ([[[1.0] * 3], [[1.0] * 3] * 2], "inputs: got lists of unequal lengths"),
            ([INPUTS[0], INPUTS[1, :4]], r"inputs: got a list of tensors of shapes \(6, 3\), \(4, 3\)"),
            (ARRAY * np.nan, "inputs: got NaN or infinite"),
            (ARRAY[0, 0], r"inputs: got shape \(3,\)"),
            (ARRAY[None], r"inputs: got shape \(1, 2, 6, 3\)"),
            (ARRAY[:, :0], r"inputs: got shape \(2, 0, 3\)"),
            (ARRAY[..., :2], "inputs: got 2 features per time step, expected the system's 3"),
            ([], r"inputs: got shape \(0,\)"),
            (None, "inputs: got None"),
        ],
    )
    def test_wrong_shapes_and_values_are_refused(self, values, message):
        with pytest.raises(ValueError, match=message):
            exponents(gru(), values)

    def test_numbers_outside_the_range_of_the_dtype_are_refused(self):
        with pytest.raises(ValueError, match=r"inputs: got values too large for torch.float32"):
            exponents(gru(), 1e300 * INPUTS, dtype=torch.float32)


WRONG = {
    "n_exponents": [True, 0, 5, -1, "2", 2.0, [1], np.array([1, 2])],
    "n_steps": [True, 0, -1, "3", 2.5, [1]],
    "dtype": ["float64", np.float64, float, torch.float16, torch.int64, 3],
    "device": ["gpu", "cuda:99", "meta", torch.device("meta"), 3, 2.5],
    "jacobian": ["hidden", None, 1, ["full"], np.array(["full", "full"])],
    "differentiable": ["yes", 1, None],
    "initial_tangents": [
        np.zeros((UNITS, 1)),
        np.ones((UNITS, 2)),
        np.eye(5),
        np.full((UNITS, 1), np.nan),
        np.ones((3, UNITS, 1)),
        np.ones(UNITS),
        np.eye(UNITS)[:, :0],
    ],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_errors_name_wrong_arguments(name, value):
    with pytest.raises(ValueError, match=f"^{name}: "):
        exponents(gru(), INPUTS, **{name: value})


@pytest.mark.parametrize("warmup", ["10", 2.0, None, True, -1, 6, np.array([1, 2]), torch.tensor(1), [1]])
def test_errors_name_wrong_step_counts_and_intervals(warmup):
    with pytest.raises(ValueError, match=r"^warmup: got .*, expected a whole number, 0 or more and fewer than the 6"):
        check_schedule(6, warmup)
    with pytest.raises(ValueError, match=r"^orthonormalize_every: got .*, expected 1 step or more"):
        check_schedule(6, 0, 0 if isinstance(warmup, int) and not isinstance(warmup, bool) else warmup)


def test_numpy_integers_are_accepted_as_counts():
    check_schedule(6, np.int64(2), np.uint8(3))
    assert driven_system(gru(), INPUTS, n_exponents=np.int32(2)).initial_tangents.shape == (UNITS, 2)


@pytest.mark.parametrize("system", ["lstm", None, 3, [gru()], np.zeros(3)])
def test_objects_that_are_no_systems_are_refused(system):
    with pytest.raises(TypeError, match=r"^system: got .*, expected torch.nn.RNN, LSTM or GRU"):
        exponents(system, INPUTS)
