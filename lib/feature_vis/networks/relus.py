"""What a forward pass does at its ReLUs: what enters and leaves a layer's last one, and a gradient where none passes.

`feature_vis.networks.activations` says what both are for.
"""

import math
from collections.abc import Callable, Collection
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["AlwaysRedirectedRelu", "LayerRecord", "RedirectedRelu", "ReluRecorder"]


class RedirectedRelu(torch.autograd.Function):
    """A ReLU, with or without an upper limit, that passes a gradient to a picture for which the channel is off.

    Forward, it is a ReLU. Backward, a picture whose ordinary gradient is zero everywhere gets the gradient of the
    identity instead, except at positions that are off already and would be pushed lower. This is decided for each
    picture of a batch by itself. Source: lucid `misc/redirected_relu_grad.py`. There it is removed after the first
    steps. Here it stays, since it changes nothing for a picture that has a gradient.
    """

    @staticmethod
    def forward(ctx: Any, entered: Tensor, upper: float, in_place: bool) -> Tensor:
        if in_place:
            ctx.mark_dirty(entered)
        left = entered.clamp_(0, upper) if in_place else entered.clamp(0, upper)
        ctx.save_for_backward(left)
        ctx.upper = upper
        return left

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (left,) = ctx.saved_tensors
        gradient = gradients[0]  # (B, …), of a loss that falls: where it is above 0, it pushes lower
        off = left <= 0
        ordinary = gradient.masked_fill(off | (left >= ctx.upper), 0)
        stuck = ~ordinary.flatten(1).any(1)  # (B,)
        redirected = gradient.masked_fill(off & (gradient > 0), 0)
        return torch.where(stuck.view(-1, *[1] * (gradient.dim() - 1)), redirected, ordinary), None, None


class AlwaysRedirectedRelu(torch.autograd.Function):
    """A ReLU, with or without an upper limit, that passes a gradient wherever following it changes what it puts out.

    Forward, it is a ReLU. Backward, it passes the gradient of the identity, except at positions that are off and would
    be pushed lower, or at the limit and would be pushed higher. Source: lucid `misc/redirected_relu_grad.py`. There,
    and in `RedirectedRelu`, only a picture without any other gradient gets this one.
    """

    @staticmethod
    def forward(ctx: Any, entered: Tensor, upper: float) -> Tensor:
        left = entered.clamp(0, upper)
        ctx.save_for_backward(left)
        ctx.upper = upper
        return left

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (left,) = ctx.saved_tensors
        gradient = gradients[0]  # of a loss that falls: where it is above 0, it pushes lower
        in_vain = (left <= 0) & (gradient > 0)
        if ctx.upper < math.inf:
            in_vain |= (left >= ctx.upper) & (gradient < 0)
        return gradient.masked_fill(in_vain, 0), None


class LayerRecord:
    """What one forward pass recorded of a layer: its output, and the last ReLU inside it."""

    def __init__(self) -> None:
        self.ends_in_relu = False
        self.upper_limit = math.inf  # of the last ReLU
        self.clear()

    def clear(self) -> None:
        self.is_recording = False  # False while the network runs for somebody else
        self.is_inside = False  # between entering and leaving the layer
        self.relu_input: Tensor | None = None
        self.relu_output: Tensor | None = None
        self.output: Any = None


class ReluRecorder(TorchFunctionMode):
    """While active, notes for each layer what entered and left its last ReLU, be it a module, function or method.

    With `redirect`, every ReLU passes a `RedirectedRelu`'s gradient. `met_relu`: whether there was one.
    """

    _RELUS = frozenset([F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, F.relu6])
    _LIMITED = frozenset([F.hardtanh, F.hardtanh_])  # what `nn.ReLU6` calls, with its limits
    _IN_PLACE = frozenset([F.relu_, torch.relu_, Tensor.relu_, F.hardtanh_])

    def __init__(self, records: Collection[LayerRecord]) -> None:
        super().__init__()
        self.records = records
        self.redirect = False
        self.met_relu = False

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        upper = self._upper_limit(func, args, kwargs)
        if upper is None:
            return func(*args, **kwargs)
        self.met_relu = True
        before = args[0] if args else kwargs["input"]
        inside = [record for record in self.records if record.is_inside]
        # an in-place ReLU overwrites what entered it: keep a copy, which carries the gradient on
        entered = before.clone() if inside else None
        if self.redirect:
            left = RedirectedRelu.apply(before, upper, func in self._IN_PLACE or bool(kwargs.get("inplace")))
        else:
            left = func(*args, **kwargs)
        for record in inside:
            record.relu_input, record.relu_output, record.upper_limit = entered, left, upper
        return left

    def _upper_limit(self, func: Callable, args: tuple, kwargs: dict[str, Any]) -> float | None:
        """A ReLU's upper limit; None for any other function."""
        if func in self._RELUS:
            return 6.0 if func is F.relu6 else math.inf
        if func in self._LIMITED:
            limits = {"min_val": -1.0, "max_val": 1.0} | dict(zip(("min_val", "max_val"), args[1:], strict=False))
            limits |= {name: value for name, value in kwargs.items() if name in limits}
            return limits["max_val"] if limits["min_val"] == 0 else None
        return None
