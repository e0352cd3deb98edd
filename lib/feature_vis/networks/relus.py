"""What a forward pass does at its ReLUs: what enters and leaves the last one of a layer, and a gradient where none is.

`activations` says what both are for.
"""

import math
from collections.abc import Callable, Collection
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["RedirectedRelu", "ReluWatch", "Target"]


class RedirectedRelu(torch.autograd.Function):
    """A ReLU, also one with an upper limit, that lets a picture whose unit is off climb out.

    Forward, it is a ReLU. Backward, a picture for which the ordinary gradient is zero everywhere gets the gradient
    of the identity instead, but for the positions that are off already and would be pushed lower. Decided for each
    picture of a batch by itself. Source: lucid `misc/redirected_relu_grad.py`. There it is taken away after the
    first steps; here it stays, since it changes nothing for a picture that has a gradient.
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


class Target:
    """One layer under watch: the last ReLU met inside it, and its answer."""

    def __init__(self) -> None:
        self.ends_in_relu = False
        self.clear()

    def clear(self) -> None:
        self.watched = False  # else the network runs for somebody else
        self.inside = False
        self.entered: Tensor | None = None  # the last ReLU
        self.left: Tensor | None = None
        self.output: Any = None


class ReluWatch(TorchFunctionMode):
    """Notes for each target what entered its last ReLU and what left it, module or function alike."""

    _RELUS = frozenset([F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, F.relu6])
    _LIMITED = frozenset([F.hardtanh, F.hardtanh_])  # what `nn.ReLU6` calls, with its limits
    _IN_PLACE = frozenset([F.relu_, torch.relu_, Tensor.relu_, F.hardtanh_])

    def __init__(self, targets: Collection[Target]) -> None:
        super().__init__()
        self.targets = targets
        self.redirect = False
        self.met = False

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        upper = self._upper_limit(func, args, kwargs)
        if upper is None:
            return func(*args, **kwargs)
        self.met = True
        before = args[0] if args else kwargs["input"]
        inside = [target for target in self.targets if target.inside]
        # an in-place ReLU overwrites what entered it: keep a copy, which carries the gradient on
        entered = before.clone() if inside else None
        if self.redirect:
            left = RedirectedRelu.apply(before, upper, func in self._IN_PLACE or bool(kwargs.get("inplace")))
        else:
            left = func(*args, **kwargs)
        for target in inside:
            target.entered, target.left = entered, left
        return left

    def _upper_limit(self, func: Callable, args: tuple, kwargs: dict[str, Any]) -> float | None:
        """Of a ReLU; None for anything else."""
        if func in self._RELUS:
            return 6.0 if func is F.relu6 else math.inf
        if func in self._LIMITED:
            limits = {"min_val": -1.0, "max_val": 1.0} | dict(zip(("min_val", "max_val"), args[1:], strict=False))
            limits |= {name: value for name, value in kwargs.items() if name in limits}
            return limits["max_val"] if limits["min_val"] == 0 else None
        return None
