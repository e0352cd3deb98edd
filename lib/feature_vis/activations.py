"""A network read at its layers: what a unit answers to a picture, and a slope for it to climb.

Why the objective reads what *enters* the last ReLU: at the noise a picture starts from, many units of deep
layers are off at every position. A ReLU passes no gradient where it is off, so the picture of such a unit never
moves and stays grey (lucid #68, lucent #9 and #34, captum #521). Before the ReLU the same unit has a slope
everywhere. In a residual block this is the sum of branch and shortcut. It is found by watching the forward pass,
not from a list of architectures: a layer can be read before its ReLU where the tensor that it puts out *is* what
its last ReLU put out.

Where it is not (a concatenation of branches, a ReLU followed by pooling), the ReLUs inside the layer pass a
redirected gradient for the first steps: see `_RedirectedRelu`.
"""

import copy
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
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
    """A ReLU that lets a picture whose unit is off climb out.

    Forward, it is a ReLU. Backward, a picture for which the ordinary gradient is zero everywhere gets the gradient
    of the identity instead, but for the positions that are off already and would be pushed lower. Decided for each
    picture of a batch by itself. Source: lucid `misc/redirected_relu_grad.py` (there a descent; the sign of
    "lower" follows from the gradient of a loss all the same).
    """

    @staticmethod
    def forward(ctx: Any, entered: Tensor) -> Tensor:
        ctx.save_for_backward(entered)
        return entered.clamp_min(0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (entered,) = ctx.saved_tensors
        gradient = gradients[0]  # (B, …), of a loss that falls
        off = entered <= 0
        ordinary = gradient.masked_fill(off, 0)
        redirected = gradient.masked_fill(off & (gradient > 0), 0)
        stuck = (ordinary.flatten(1) == 0).all(1)  # (B,)
        return torch.where(stuck.view(-1, *[1] * (gradient.dim() - 1)), redirected, ordinary)


class _Target:
    """One layer under watch: the last ReLU met inside it, and its answer."""

    def __init__(self) -> None:
        self.inside = False
        self.entered: Tensor | None = None  # the last ReLU
        self.left: Tensor | None = None
        self.output: Tensor | None = None
        self.ends_in_relu = False
        self.holds_relu = False


class _ReluWatch(TorchFunctionMode):
    """Notes for each target what entered its last ReLU and what left it, module or function alike."""

    _RELUS = frozenset(
        [F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, F.relu6, F.hardtanh, F.hardtanh_]
    )

    def __init__(self, targets: Collection[_Target]) -> None:
        super().__init__()
        self.targets = targets
        self.redirect = False

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func not in self._RELUS or not (inside := [target for target in self.targets if target.inside]):
            return func(*args, **kwargs)
        before = args[0] if args else kwargs["input"]
        # an in-place ReLU overwrites what entered it: keep a copy, which carries the gradient on
        entered = before.clone()
        left = _RedirectedRelu.apply(before) if self.redirect else func(*args, **kwargs)
        for target in inside:
            target.entered, target.left, target.holds_relu = entered, left, True
        return left


class Activations:
    """Callable: a network's input, (B, C, H, W) -> each target's activation, {layer: (B, K, …)}.

    `redirect`: while True, and only in layers that cannot be read before their last ReLU, the ReLUs pass a
    redirected gradient. `stuck_layers`: the layers for which that matters, known after the first call.
    """

    def __init__(self, model: nn.Module, targets: dict[str, _Target], before_relu: bool, axes: dict[str, int]) -> None:
        self._model = model
        self._targets = targets
        self._watch = _ReluWatch(list(targets.values()))
        self._before_relu = before_relu
        self._axes = axes
        self.redirect = False

    @property
    def stuck_layers(self) -> list[str]:
        return [name for name, target in self._targets.items() if target.holds_relu and not target.ends_in_relu]

    def __call__(self, inputs: Tensor) -> dict[str, Tensor]:
        for target in self._targets.values():
            target.inside, target.entered, target.left, target.output = False, None, None, None
        self._watch.redirect = self.redirect and self._before_relu and bool(self.stuck_layers)
        try:
            if self._before_relu:
                with self._watch:
                    self._model(inputs)
            else:
                self._model(inputs)
        except _LayersReached:
            pass
        answers = {}
        for layer, target in self._targets.items():
            if target.output is None:
                raise InputError(f"the forward pass of {type(self._model).__name__} never enters {layer!r}")
            answer = target.entered if self._before_relu and target.ends_in_relu else target.output
            assert answer is not None
            answers[layer] = answer.movedim(self._axes.get(layer, 1), 1) if answer.dim() > 2 else answer
            target.entered = target.left = target.output = None  # the graph is the caller's now
        return answers


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
        InputError: no such layer (the close names are said), or one that a forward pass does not enter.
    """
    known = dict(model.named_modules())
    missing = [layer for layer in layers if layer not in known]
    if missing:
        raise InputError("\n".join(f"there is no layer {layer!r}{close_names(layer, known)}" for layer in missing))
    targets = {layer: _Target() for layer in layers}

    def enter(target: _Target) -> Callable[[nn.Module, Any], None]:
        def note_entry(_module: nn.Module, _inputs: Any) -> None:
            target.inside, target.entered, target.left = True, None, None

        return note_entry

    def leave(target: _Target) -> Callable[[nn.Module, Any, Any], None]:
        def note_answer(module: nn.Module, inputs: Any, output: Any) -> None:
            target.inside = False
            if target.output is not None:  # a module called again: its first answer counts
                return
            target.output = output if hook is None else hook(module, inputs, output)
            target.ends_in_relu = target.left is not None and target.output is target.left
            if all(other.output is not None for other in targets.values()):
                raise _LayersReached

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
        return copy.deepcopy(model, memo).eval()


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
) -> dict[str, tuple[tuple[int, ...], int]]:
    """For each layer the shape of its activation, (1, …), for a picture of that size, and its channel axis.

    Raises:
        InputError: layers that do not exist, with the close names, or a picture too small for one, with the least
            size that works: all at once.
    """
    known = dict(model.named_modules())
    problems = [f"there is no layer {layer!r}{close_names(layer, known)}" for layer in layers if layer not in known]
    shadow = _on_meta(model)
    found = {}
    for layer in layers:
        if layer not in known:
            continue
        shape = _shape(shadow, layer, size, channels)
        if isinstance(shape, str):
            problems.append(_size_problem(shadow, layer, size, channels, shape))
            continue
        larger = _shape(shadow, layer, (2 * size[0], 2 * size[1]), channels) if len(shape) == 4 else None
        found[layer] = (shape, channel_axis(shape, larger if isinstance(larger, tuple) else None))
    if problems:
        raise InputError("\n".join(problems))
    return found


def _shape(shadow: nn.Module, layer: str, size: tuple[int, int], channels: int) -> tuple[int, ...] | str:
    """The activation's shape, or why the network refuses a picture of that size."""
    try:
        with activations_of(shadow, [layer]) as activations, torch.no_grad():
            return tuple(activations(torch.empty(1, channels, *size, device="meta"))[layer].shape)
    except InputError:
        raise
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:
        return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _size_problem(shadow: nn.Module, layer: str, size: tuple[int, int], channels: int, reason: str) -> str:
    def works(px: int) -> bool:
        return isinstance(_shape(shadow, layer, (px, px), channels), tuple)

    refused = min(size)
    enough = next((px for px in (refused * 2**k for k in range(1, 6)) if works(px)), None)
    if enough is None:
        return f"{layer}: the network refuses a picture of {size[0]} × {size[1]} px ({reason})"
    while enough - refused > 1:  # the least size lies in (refused, enough]
        middle = (refused + enough) // 2
        refused, enough = (refused, middle) if works(middle) else (middle, enough)
    return f"{layer}: a picture of {size[0]} × {size[1]} px is too small for it, the least is {enough} px"


def channel_counts(model: nn.Module, layers: list[str], size: tuple[int, int]) -> dict[str, int]:
    """How many channels each layer puts out for a picture of `size`, (height, width); errors as `layer_shapes`."""
    shapes = layer_shapes(model, layers, size)
    return {layer: shape[axis] if len(shape) > 1 else 0 for layer, (shape, axis) in shapes.items()}
