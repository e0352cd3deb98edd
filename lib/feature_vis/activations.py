"""A network read at its layers: what a unit answers to a picture, and a slope for it to climb.

Why the objective reads what *enters* the last ReLU: at the noise a picture starts from, many units of deep
layers are off at every position. A ReLU passes no gradient where it is off, so the picture of such a unit never
moves and stays grey (lucid #68, lucent #9 and #34, captum #521). Before the ReLU the same unit has a slope
everywhere. In a residual block this is the sum of branch and shortcut. It is found by watching the forward pass,
not from a list of architectures: a layer can be read before its ReLU where the tensor that it puts out *is* what
its last ReLU put out.

Where it is not (a concatenation of branches, a ReLU followed by pooling) and the output is nowhere negative, every
ReLU on the way passes a redirected gradient to a picture that would get none: see `_RedirectedRelu`.
"""

import copy
import itertools
import math
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from feature_vis.errors import InputError, close_names

__all__ = ["Activations", "activations_of", "call_order", "channel_axis", "channel_counts", "layer_shapes"]


class _LayersReached(Exception):
    """Ends a forward pass when the last target has answered: nothing above it runs."""


class _RedirectedRelu(torch.autograd.Function):
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


class _Target:
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


class _ReluWatch(TorchFunctionMode):
    """Notes for each target what entered its last ReLU and what left it, module or function alike."""

    _RELUS = frozenset([F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, F.relu6])
    _LIMITED = frozenset([F.hardtanh, F.hardtanh_])  # what `nn.ReLU6` calls, with its limits
    _IN_PLACE = frozenset([F.relu_, torch.relu_, Tensor.relu_, F.hardtanh_])

    def __init__(self, targets: Collection[_Target]) -> None:
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
            left = _RedirectedRelu.apply(before, upper, func in self._IN_PLACE or bool(kwargs.get("inplace")))
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


class Activations:
    """Callable: a network's input, (B, C, H, W) -> each target's activation, {layer: (B, K, …)}.

    `stuck_layers`: those that cannot be read before their last ReLU and may be zero everywhere. Known after the
    first call, from its values; from the second call on the network's ReLUs redirect for their sake.
    """

    def __init__(self, model: nn.Module, targets: dict[str, _Target], before_relu: bool, axes: dict[str, int]) -> None:
        self._model = model
        self._targets = targets
        self._watch = _ReluWatch(list(targets.values()))
        self._before_relu = before_relu
        self._axes = axes
        self.stuck_layers: list[str] | None = None

    def __call__(self, inputs: Tensor) -> dict[str, Tensor]:
        self._watch.redirect, self._watch.met = bool(self.stuck_layers), False
        for target in self._targets.values():
            target.watched = True
        try:
            with suppress(_LayersReached), self._watch if self._before_relu else nullcontext():
                self._model(inputs)
            if self.stuck_layers is None:
                self.stuck_layers = [
                    layer
                    for layer, target in self._targets.items()
                    if self._watch.met and not target.ends_in_relu and _nowhere_negative(target.output)
                ]
            return {layer: self._answer(layer, target) for layer, target in self._targets.items()}
        finally:
            for target in self._targets.values():
                target.clear()  # the graph is the caller's now

    def _answer(self, layer: str, target: _Target) -> Tensor:
        where = repr(layer) if layer else "the network"
        if target.output is None:
            raise InputError(f"the forward pass of {type(self._model).__name__} never enters {where}")
        answer = target.entered if self._before_relu and target.ends_in_relu else target.output
        if not isinstance(answer, Tensor):
            raise InputError(f"{where} puts out a {type(answer).__name__}, not a tensor: a `hook` can make one of it")
        return answer.movedim(self._axes.get(layer, 1), 1) if answer.dim() > 2 else answer


def _nowhere_negative(output: Any) -> bool:
    return isinstance(output, Tensor) and not output.is_meta and bool((output >= 0).all())


@contextmanager
def activations_of(
    model: nn.Module,
    layers: Collection[str],
    *,
    before_relu: bool = False,
    axes: dict[str, int] | None = None,
    hook: Callable[[nn.Module, Any, Any], Tensor] | None = None,
) -> Iterator[Activations]:
    """Yield `Activations` of the layers, by dotted module names; `""` is the network's own output.

    The forward pass ends with the last of the layers. With `before_relu` an activation is what entered the last
    ReLU within the layer, where the layer's output is that ReLU's; elsewhere the output itself. `axes`: where the
    channels stand, from `channel_axis`; 1 where not given. `hook(module, inputs, output)` may make the activation
    from a module's output that is not a tensor. The hooks are gone afterwards, whatever happens.

    Raises:
        InputError: no such layer (the close names are said), one that a forward pass does not enter, or whose
            output is not a tensor.
    """
    known = dict(model.named_modules())
    missing = [layer for layer in layers if layer not in known]
    if missing:
        raise InputError("\n".join(f"there is no layer {layer!r}{close_names(layer, known)}" for layer in missing))
    targets = {layer: _Target() for layer in layers}

    def enter(target: _Target) -> Callable[[nn.Module, Any], None]:
        def note_entry(_module: nn.Module, _inputs: Any) -> None:
            # of a module that is called again, the first answer counts
            target.inside = target.watched and target.output is None

        return note_entry

    def leave(target: _Target) -> Callable[[nn.Module, Any, Any], None]:
        def note_answer(module: nn.Module, inputs: Any, output: Any) -> None:
            if not target.inside:
                return
            target.inside = False
            target.output = output if hook is None else hook(module, inputs, output)
            target.ends_in_relu = target.left is not None and target.output is target.left
            if all(other.output is not None for other in targets.values()):
                raise _LayersReached
            if isinstance(target.output, Tensor):  # what runs after it may overwrite it
                target.output = target.output.clone()

        return note_answer

    handles = []
    try:
        for layer, target in targets.items():
            handles.append(known[layer].register_forward_pre_hook(enter(target)))
            handles.append(known[layer].register_forward_hook(leave(target)))
        yield Activations(model, targets, before_relu, axes or {})
    finally:
        for handle in handles:
            handle.remove()


def _on_meta(model: nn.Module) -> nn.Module:
    """A copy without storage, on which shapes and calls can be followed at no cost."""
    with torch.no_grad():
        memo = {id(tensor): tensor.to("meta") for tensor in [*model.parameters(), *model.buffers()]}
        # deepcopy takes what `memo` already holds: no weight is copied on the way
        for parameter in model.parameters():
            memo[id(parameter)] = nn.Parameter(memo[id(parameter)], parameter.requires_grad)
        return copy.deepcopy(model, memo).eval().float()


def call_order(model: nn.Module, until: str | None = None, size: int = 224, channels: int = 3) -> list[str]:
    """Names of the modules in the order in which a forward pass first enters them; the root is `""`.

    With `until`, the pass ends when that module has been left.
    """
    shadow = _on_meta(model)
    order: list[str] = []
    for name, module in shadow.named_modules():
        module.register_forward_pre_hook(lambda _m, _i, name=name: order.append(name))
    inputs = torch.empty(2, channels, size, size, device="meta")
    if until is None:
        shadow(inputs)
    else:
        with activations_of(shadow, [until]) as activations:
            activations(inputs)
    return list(dict.fromkeys(order))


def channel_axis(shape: tuple[int, ...], larger: tuple[int, ...] | None) -> int:
    """Which axis of an activation counts its channels.

    `shape`: of the activation; `larger`: of the same layer's for a picture twice as high and wide, or None where
    the network takes one size only. Channels are what does not follow the picture's size: axis 1 in convolutional
    networks, the last in Swin (B, h, w, K). Tokens (B, N, K) of a vision transformer: the last.
    """
    if len(shape) == 3:
        return 2
    if len(shape) < 4 or larger is None:
        return 1
    still = [axis for axis in range(1, len(shape)) if shape[axis] == larger[axis]]
    return still[0] if still else 1


def layer_shapes(
    model: nn.Module, layers: Collection[str], size: tuple[int, int], channels: int = 3
) -> tuple[dict[str, tuple[tuple[int, ...], int]], list[str]]:
    """For each layer the shape of its activation, (1, …), for a picture of that size, and its channel axis.

    Beside them what is wrong, a line each: layers that do not exist, with the close names, and a picture too small
    for one, with the least size that works.
    """
    known = dict(model.named_modules())
    problems = [f"there is no layer {layer!r}{close_names(layer, known)}" for layer in layers if layer not in known]
    wanted = [layer for layer in layers if layer in known]
    shadow = _on_meta(model)
    if wanted and not any(isinstance(_shape(shadow, layer, size, channels), tuple) for layer in wanted):
        # Some networks cannot be followed there: one that asks for a value, or holds a tensor that is no buffer.
        real = copy.deepcopy(model).eval().float()
        if any(isinstance(_shape(real, layer, size, channels), tuple) for layer in wanted):
            shadow = real
    found = {}
    for layer in wanted:
        shape = _shape(shadow, layer, size, channels)
        if isinstance(shape, str):
            problems.append(_size_problem(shadow, layer, size, channels, shape))
            continue
        larger = _shape(shadow, layer, (2 * size[0], 2 * size[1]), channels) if len(shape) == 4 else None
        found[layer] = (shape, channel_axis(shape, larger if isinstance(larger, tuple) else None))
    return found, problems


def _shape(shadow: nn.Module, layer: str, size: tuple[int, int], channels: int) -> tuple[int, ...] | str:
    """The activation's shape, or why the network refuses a picture of that size."""
    some = next(itertools.chain(shadow.parameters(), shadow.buffers()), None)
    inputs = torch.zeros(1, channels, *size, device="cpu" if some is None else some.device)
    try:
        with activations_of(shadow, [layer]) as activations, torch.no_grad():
            return tuple(activations(inputs)[layer].shape)
    except (RuntimeError, ValueError, AssertionError, TypeError, IndexError) as error:  # an InputError among them
        return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _size_problem(shadow: nn.Module, layer: str, size: tuple[int, int], channels: int, reason: str) -> str:
    def works(px: int) -> bool:
        return isinstance(_shape(shadow, layer, (px, px), channels), tuple)

    where = layer or "the output"
    refused = min(size)
    enough = next((px for px in (refused * 2**k for k in range(1, 6)) if works(px)), None)
    if enough is None:
        return f"{where}: the network refuses a picture of {size[0]} × {size[1]} px ({reason})"
    while enough - refused > 1:  # the least size lies in (refused, enough]
        middle = (refused + enough) // 2
        refused, enough = (refused, middle) if works(middle) else (middle, enough)
    return f"{where}: a picture of {size[0]} × {size[1]} px is too small for it, the least is {enough} px"


def channel_counts(model: nn.Module, layers: Collection[str], size: tuple[int, int]) -> dict[str, int]:
    """How many channels each layer puts out for a picture of `size`, (height, width).

    Raises:
        InputError: what is wrong with the layers, see `layer_shapes`: all at once.
    """
    shapes, problems = layer_shapes(model, layers, size)
    if problems:
        raise InputError("\n".join(problems))
    return {layer: shape[axis] if len(shape) > 1 else 0 for layer, (shape, axis) in shapes.items()}
