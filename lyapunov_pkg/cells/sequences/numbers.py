"""The functions of `lyapunov_pkg.cells.functions` for single numbers, for compiled updates.

In float32 they consist of arithmetic that LLVM vectorises. In float64, where speed matters less, they call the
mathematical library.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numba.extending import intrinsic, overload, register_jitable

from lyapunov_pkg.cells import functions
from lyapunov_pkg.linalg.compilation import INLINED

ZERO, ONE, TWO, FOUR = (np.float32(number) for number in range(5) if number != 3)
LOWEST_EXPONENT = np.float32(-104)  # exp of it is 0
LOG2_E = np.float32(1.4426950408889634)
LN_2_HIGH, LN_2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
ROUNDER = np.float32(1.5 * 2**23)  # added to a number below 2^22, it puts the nearest integer into the last bits
BIAS, MANTISSA_BITS, HALF = np.int32(127), np.int32(23), np.int32(1)
# exp(r) = 1 + r + r² P(r) for |r| <= ln(2)/2 to 1e-7 (Cephes, expf).
P_5, P_4, P_3, P_2, P_1, P_0 = (
    np.float32(c)
    for c in (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
)


@intrinsic
def _float_of_bits(typing_context, bits):
    def generate(context, builder, signature, operands):
        return builder.bitcast(operands[0], context.get_value_type(types.float32))

    return types.float32(types.int32), generate


@intrinsic
def _bits_of_float(typing_context, number):
    def generate(context, builder, signature, operands):
        return builder.bitcast(operands[0], context.get_value_type(types.int32))

    return types.int32(types.float32), generate


@register_jitable(**INLINED)
def exp_parts(x):
    """Return (p, q) with exp(x) = p[0] p[1] (1 + q), p powers of 2 and |q| < 1/2, for x <= 0; NaN gives NaN.

    The power has two factors, because it can be below the smallest normal number.
    """
    x = LOWEST_EXPONENT if x < LOWEST_EXPONENT else x
    shifted = x * LOG2_E + ROUNDER
    exponent = shifted - ROUNDER
    r = x - exponent * LN_2_HIGH - exponent * LN_2_LOW
    q = (((((P_5 * r + P_4) * r + P_3) * r + P_2) * r + P_1) * r + P_0) * (r * r) + r
    integer = _bits_of_float(shifted) - _bits_of_float(ROUNDER)
    half = integer >> HALF
    first = _float_of_bits((half + BIAS) << MANTISSA_BITS)
    second = _float_of_bits((integer - half + BIAS) << MANTISSA_BITS)
    return (first, second), q


@register_jitable(**INLINED)
def exp(x):
    """Return exp(x) for x <= 0, down to 0."""
    (first, second), q = exp_parts(x)
    return (first + first * q) * second


def _sigmoid(a):
    def in_float32(a):
        e = exp(-abs(a))
        s = ONE / (ONE + e)
        return s if a >= ZERO else e * s

    def in_float64(a):
        return 1 / (1 + math.exp(-a))

    return in_float32 if a == types.float32 else in_float64


def _sigmoid_slope(a):
    def in_float32(a):
        e = exp(-abs(a))
        s = ONE / (ONE + e)
        return e * s * s

    def in_float64(a):
        e = math.exp(-abs(a))
        return e / (1 + e) ** 2

    return in_float32 if a == types.float32 else in_float64


def _tanh(a):
    def in_float32(a):
        (first, second), q = exp_parts(-TWO * abs(a))
        p = first * second
        e_minus_1 = p * q + (p - ONE)
        t = -e_minus_1 / (TWO + e_minus_1)
        return t if a >= ZERO else -t

    def in_float64(a):
        return math.tanh(a)

    return in_float32 if a == types.float32 else in_float64


def _tanh_slope(a):
    def in_float32(a):
        e = exp(-TWO * abs(a))
        s = ONE / (ONE + e)
        return FOUR * e * s * s

    def in_float64(a):
        e = math.exp(-2 * abs(a))
        return 4 * e / (1 + e) ** 2

    return in_float32 if a == types.float32 else in_float64


def _relu(a):
    zero = ZERO if a == types.float32 else 0.0
    return lambda a: zero if a < zero else a


def _relu_slope(a):
    zero, one = (ZERO, ONE) if a == types.float32 else (0.0, 1.0)
    return lambda a: one if a >= zero else zero


for of_tensors, of_numbers in (
    (functions.sigmoid, _sigmoid),
    (functions.sigmoid_slope, _sigmoid_slope),
    (functions.tanh, _tanh),
    (functions.tanh_slope, _tanh_slope),
    (functions.relu, _relu),
    (functions.relu_slope, _relu_slope),
):
    overload(of_tensors, jit_options=INLINED)(of_numbers)
