"""Where the arithmetic runs, and how many variants run together there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


def choose_device(name: str = "auto") -> torch.device:
    """Return the device called `name`; "auto" is CUDA where it is there, else the CPU.

    Raises:
        ValueError: the device is not known here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device is 'cuda', but PyTorch finds no CUDA device here; expected 'auto' or 'cpu'")
    if name not in ("cpu", "cuda"):
        raise ValueError(f"device is {name!r}; expected 'auto', 'cpu' or 'cuda'")
    return torch.device(name)


@contextlib.contextmanager
def one_torch_thread() -> Iterator[None]:
    """Keep PyTorch's operations to one thread.

    Small ones are not worth sharing, far slower on a busy machine, and leave the other threads waiting busily on cores
    that compiled kernels are to have.
    """
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
