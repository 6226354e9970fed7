"""Calls of torch modules in evaluation mode that leave the modules unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


@contextmanager
def evaluation(module: torch.nn.Module) -> Iterator[None]:
    """Put a module and its submodules into evaluation mode, and restore every attribute afterwards.

    Inside the context the module runs uncompiled, and without oneDNN and cuDNN, whose recurrent layers have no
    forward-mode derivative. If a forward changes values of tensors, they stay changed. `FrozenModule` therefore runs on
    copies.
    """
    kept = [_Attributes(part) for part in module.modules()]
    # `torch.backends.mkldnn.flags` would warn about other settings.
    uses_mkldnn, uses_cudnn = torch._C._get_mkldnn_enabled(), torch._C._get_cudnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    torch._C._set_cudnn_enabled(False)
    try:
        for part in module.modules():
            part.training = False
            if "_compiled_call_impl" in part.__dict__:
                part.__dict__["_compiled_call_impl"] = None
        yield
    finally:
        torch._C._set_mkldnn_enabled(uses_mkldnn)
        torch._C._set_cudnn_enabled(uses_cudnn)
        for attributes in kept:
            attributes.restore()


class _Attributes:
    """A copy of a module's attributes, and of the contents of its dicts, lists and sets."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.current = module.__dict__
        self.values = dict(self.current)
        containers = [value for value in self.values.values() if isinstance(value, dict | list | set)]
        self.contents = [(container, container.copy()) for container in containers]

    def restore(self) -> None:
        """Restore the attributes and contents."""
        for name in [name for name in self.current if name not in self.values]:
            del self.current[name]
        self.current.update(self.values)
        for container, content in self.contents:
            container.clear()
            if isinstance(container, list):
                container.extend(content)
            else:
                container.update(content)


class FrozenModule:
    """A module in evaluation mode, with copies of its parameters and buffers in a given dtype and on a given device.

    Calls do not change the module's mode, parameters, buffers and attributes. Tensors that are neither parameters nor
    buffers are not copied or converted.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
        differentiable: bool = False,
    ) -> None:
        """Copy the tensors of a module.

        Args:
            module: the module.
            dtype: dtype of its floating-point tensors; None keeps their own.
            device: device of its tensors; None keeps their own.
            differentiable: whether gradients flow back to the module's own parameters.
        """

        def copy(tensor: Tensor, attached: bool) -> Tensor:
            tensor = tensor if attached else tensor.detach()
            return tensor.clone().to(device=device, dtype=dtype if tensor.is_floating_point() else None)

        self.module = module
        self.parameters = {name: copy(value, differentiable) for name, value in module.named_parameters()}
        self.buffers = {name: copy(value, False) for name, value in module.named_buffers()}

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Return the result of the module's own forward, including its hooks."""
        with evaluation(self.module):
            return self.call_in_evaluation(*arguments, **named)

    def call_in_evaluation(self, *arguments: Any, **named: Any) -> Any:
        """Call the module inside a context of `evaluation`, so that the caller can read what hooks set."""
        tensors = self.parameters | {name: value.clone() for name, value in self.buffers.items()}
        return torch.func.functional_call(self.module, tensors, arguments, named)


def reference_weight(module: torch.nn.Module) -> Tensor | None:
    """Return the first floating-point parameter or buffer of a module, which sets its dtype and device.

    Raises:
        TypeError: a weight has no values, because it is on the meta device or not initialised.
        ValueError: weights have different types.
    """
    weights = dict(module.named_parameters()) | dict(module.named_buffers())
    for name, weight in weights.items():
        if weight.device.type == "meta" or torch.nn.parameter.is_lazy(weight):
            raise TypeError(
                f"system: got a module whose weight {name} has no values (meta device, or lazy), expected a module "
                "with values"
            )
    floating = {name: weight for name, weight in weights.items() if weight.is_floating_point()}
    dtypes = {weight.dtype for weight in floating.values()}
    if len(dtypes) > 1:
        raise ValueError(
            f"system: got weights of different types ({', '.join(sorted(map(str, dtypes)))}), expected one type; "
            "convert them with module.float() or module.double()"
        )
    return next(iter(floating.values()), None)


def refuse_bad_weights(module: torch.nn.Module) -> None:
    """Raise an error if weights are NaN or infinite.

    Raises:
        ValueError: a weight is NaN or infinite.
    """
    weights = {name: w for name, w in module.named_parameters() if w.is_floating_point()}
    bad = [name for name, weight in weights.items() if not torch.isfinite(weight).all()]
    if bad:
        raise ValueError(f"system: got NaN or infinite weights in {bad}, expected finite weights")
