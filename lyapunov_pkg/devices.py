"""Devices, threads and autocast of PyTorch."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import torch


def choose_device(name: str = "auto") -> torch.device:
    """Return the device called `name`; "auto" is CUDA if available, otherwise the CPU.

    Raises:
        ValueError: the device is unknown, or not available on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "device: got 'cuda', but PyTorch finds no CUDA device on this machine; expected 'auto' or 'cpu'"
        )
    if name not in ("cpu", "cuda"):
        raise ValueError(f"device: got {name!r}, expected 'auto', 'cpu' or 'cuda'")
    return torch.device(name)


@contextlib.contextmanager
def one_torch_thread() -> Iterator[None]:
    """Limit PyTorch's operations to one thread.

    Sharing small operations among threads does not pay, and is much slower on a busy machine. The other threads would
    also wait actively on cores that compiled kernels need.
    """
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Limit BLAS, OpenMP and PyTorch to one thread each. scikit-learn installs threadpoolctl, which this needs.

    The last bits of a sum depend on how threads share it, and the default number of threads depends on the machine. The
    matrices of the experiments are small, so that more threads would only wait for each other.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(1), one_torch_thread():
        yield


@contextlib.contextmanager
def subnormals_as_zero() -> Iterator[None]:
    """Compute with subnormal numbers, in float32 those below 1.2e-38, replaced by zero.

    Gradients that vanish over a sequence become subnormal. Processors multiply subnormal numbers up to a hundred times
    as slowly as others. The setting is that of the calling thread, and of threads that it starts within the context.

    >>> import torch
    >>> with subnormals_as_zero():
    ...     print(torch.tensor([1e-39]) * 0.5)
    tensor([0.])
    """
    # PyTorch has no function that returns the setting. Half of the smallest normal number is subnormal.
    before = sys.float_info.min / 2 == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


@contextlib.contextmanager
def without_autocast() -> Iterator[None]:
    """Compute in the dtypes of the tensors, even if the caller uses automatic mixed precision."""
    with contextlib.ExitStack() as stack:
        for device_type in ("cpu", "cuda", "mps", "xpu"):
            if torch.is_autocast_enabled(device_type):
                stack.enter_context(torch.autocast(device_type, enabled=False))
        yield
