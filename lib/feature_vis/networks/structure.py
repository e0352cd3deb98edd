"""What a network looks like: its layers' shapes, the order in which they run, and the pictures it takes.

Found by following a forward pass, on tensors without storage (torch's `meta` device) wherever that works.
"""

import copy
import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from feature_vis.errors import InputError, close_names
from feature_vis.networks.activations import activations_of
from feature_vis.networks.hooks import hooked

__all__ = ["call_order", "channel_axis", "channel_counts", "layer_shapes", "picture_size", "require_layer_shapes"]

# Pixels of the square pictures that are tried on a network: the usual sizes first, then all that patches of 14 and 16
# or small networks may want.
_SIZES = (224, 32, 64, 299, 384, *range(16, 641, 2))


def picture_size(model: nn.Module, channels: int = 3) -> int:
    """Pixels of a square picture that the network takes: 224 where it can, else the first that it does.

    Raises:
        InputError: it takes none of 16 to 640 px.
    """
    return int(_runnable_copy(model, "", channels)[1].shape[-1])


def call_order(model: nn.Module, until: str | None = None, channels: int = 3) -> list[str]:
    """Names of the modules in the order in which a forward pass first enters them; the root is `""`.

    With `until`, the pass ends when that module has been left. A module that is never entered follows the one around
    it, if that has been left: its weights may be read without calling it, as attention does with its projections.

    Raises:
        InputError: no such module, or no picture of 16 to 640 px with which the network runs up to it.
    """
    shadow, inputs = _runnable_copy(model, until or "", channels)
    entered: dict[str, None] = {}
    left: set[str] = set()
    names = [name for name, _ in shadow.named_modules()]
    before: dict[str, Any] = {name: lambda _m, _i, name=name: entered.setdefault(name) for name in names}
    after: dict[str, Any] = {name: lambda _m, _i, _o, name=name: left.add(name) for name in names}
    with hooked(shadow, after, before):
        _run(shadow, inputs, until or "")
    inside: dict[str, list[str]] = {}  # a module that was entered -> those in it that never were
    for name in names:
        if name not in entered:
            around = name
            while around not in entered:
                around = around.rpartition(".")[0]
            inside.setdefault(around, []).append(name)
    return [each for name in entered for each in (name, *(inside.get(name, []) if name in left else []))]


def channel_axis(shape: tuple[int, ...], larger: tuple[int, ...] | None) -> int:
    """Which axis of an activation counts its channels.

    `shape`: the activation's. `larger`: the shape of the same layer's for a picture twice as high and wide, or None
    where the network takes one size only. Channels are the axis that does not follow the picture's size: axis 1 in
    convolutional networks, the last in Swin, (B, h, w, K). In a vision transformer's tokens, (B, N, K), the last.
    """
    if len(shape) == 3:
        return 2
    if len(shape) < 4 or larger is None:
        return 1
    constant = [axis for axis in range(1, len(shape)) if shape[axis] == larger[axis]]
    return constant[0] if constant else 1


def layer_shapes(
    model: nn.Module, layers: Collection[str], size: tuple[int, int], channels: int = 3
) -> tuple[dict[str, tuple[tuple[int, ...], int]], list[str]]:
    """For each layer the shape of its activation, (1, …), for a picture of (height, width), and its channel axis.

    Beside them the problems, one line each: layers that do not exist, with the close names, and a picture too small
    for a layer, with the least size that works.
    """
    known = dict(model.named_modules())
    problems = [f"there is no layer {layer!r}{close_names(layer, known)}" for layer in layers if layer not in known]
    existing = [layer for layer in layers if layer in known]
    shadow = _meta_copy(model)
    shapes = _shapes(shadow, existing, size, channels)
    if existing and not any(isinstance(shape, tuple) for shape in shapes.values()):
        # Some networks need real numbers: those that ask for a value, or hold a tensor that is no buffer.
        real = _real_copy(model)
        real_shapes = _shapes(real, existing, size, channels)
        if any(isinstance(shape, tuple) for shape in real_shapes.values()):
            shadow, shapes = real, real_shapes
    maps = [layer for layer, shape in shapes.items() if isinstance(shape, tuple) and len(shape) == 4]
    larger = _shapes(shadow, maps, (2 * size[0], 2 * size[1]), channels)
    found = {}
    for layer, shape in shapes.items():
        if isinstance(shape, str):
            problems.append(_size_problem(shadow, layer, size, channels, shape))
        else:
            larger_shape = larger.get(layer)
            found[layer] = (shape, channel_axis(shape, larger_shape if isinstance(larger_shape, tuple) else None))
    return found, problems


def require_layer_shapes(
    model: nn.Module, layers: Collection[str], size: tuple[int, int]
) -> dict[str, tuple[tuple[int, ...], int]]:
    """The shapes and channel axes that `layer_shapes` finds.

    Raises:
        InputError: the problems that it finds, all at once.
    """
    shapes, problems = layer_shapes(model, layers, size)
    if problems:
        raise InputError("\n".join(problems))
    return shapes


def channel_counts(model: nn.Module, layers: Collection[str], size: tuple[int, int]) -> dict[str, int]:
    """How many channels each layer puts out for a picture of `size`, (height, width).

    Raises:
        InputError: the problems that `layer_shapes` finds, all at once.
    """
    shapes = require_layer_shapes(model, layers, size)
    return {layer: shape[axis] if len(shape) > 1 else 0 for layer, (shape, axis) in shapes.items()}


# --- following a forward pass -----------------------------------------------------------------------------------


class _ShapesOnly(TorchFunctionMode):
    """On tensors without storage, gives the output's shape of batch norm, adaptive pooling and linear layers at once.

    Without it torch computes them in Python and imports its compiler for that: 1.5 s of processor time a process and
    0.2 s a pass of ResNet-50, in place of 0.04 s (`benchmarks/NOTES.md`).
    """

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if args and isinstance(args[0], Tensor) and args[0].is_meta:
            inputs = args[0]
            if func is F.batch_norm:
                return torch.empty_like(inputs)
            if func is F.adaptive_avg_pool2d and len(args) == 2:
                size = (args[1], args[1]) if isinstance(args[1], int) else args[1]
                sides = [own if side is None else side for side, own in zip(size, inputs.shape[-2:], strict=True)]
                return inputs.new_empty(*inputs.shape[:-2], *sides)
            if func is F.linear and len(args) > 1 and inputs.shape[-1] == args[1].shape[1]:  # else torch reports it
                return inputs.new_empty(*inputs.shape[:-1], args[1].shape[0])
        return func(*args, **(kwargs or {}))


class _Reached(Exception):
    """Ends a forward pass."""


def _meta_copy(model: nn.Module) -> nn.Module:
    """A copy without storage, on which shapes and calls can be followed at no cost."""
    with torch.no_grad():
        memo = {id(tensor): tensor.to("meta") for tensor in [*model.parameters(), *model.buffers()]}
        # deepcopy takes what `memo` already holds: no weight is copied on the way
        for parameter in model.parameters():
            memo[id(parameter)] = nn.Parameter(memo[id(parameter)], parameter.requires_grad)
        return copy.deepcopy(model, memo).eval().float()


def _real_copy(model: nn.Module) -> nn.Module:
    return copy.deepcopy(model).eval().float()


def _black_pictures(shadow: nn.Module, count: int, channels: int, size: tuple[int, int]) -> Tensor:
    """(count, channels, H, W) zeros, where the copy of the network is."""
    some = next(itertools.chain(shadow.parameters(), shadow.buffers()), None)
    return torch.zeros(count, channels, *size, device="cpu" if some is None else some.device)


@contextmanager
def _following() -> Iterator[None]:
    with torch.no_grad(), _ShapesOnly():
        yield


def _run(shadow: nn.Module, inputs: Tensor, until: str) -> None:
    """A forward pass that ends when the module `until` has been left."""

    def stop(_module: nn.Module, _inputs: Any, _output: Any) -> None:
        raise _Reached

    with suppress(_Reached), hooked(shadow, after={until: stop}), _following():
        shadow(inputs)


def _runnable_copy(model: nn.Module, until: str, channels: int) -> tuple[nn.Module, Tensor]:
    """A copy of the network and two pictures with which it runs up to a layer; without storage where that works."""
    known = dict(model.named_modules())
    if until not in known:
        raise InputError(f"there is no layer {until!r}{close_names(until, known)}")
    usual, *others = _SIZES
    reason = ""
    for sizes in ([usual], others):
        for copied in (_meta_copy, _real_copy):  # a network that asks for a value on the way needs real numbers
            shadow = copied(model)
            for size in sizes:
                inputs = _black_pictures(shadow, 2, channels, (size, size))
                try:
                    _run(shadow, inputs, until)
                    return shadow, inputs
                except Exception as error:  # whatever a network refuses a size by
                    reason = reason or str(error).strip().partition("\n")[0]
    raise InputError(f"{type(model).__name__} takes no picture of {min(_SIZES)} to {max(_SIZES)} px: {reason}")


def _shapes(
    shadow: nn.Module, layers: Sequence[str], size: tuple[int, int], channels: int
) -> dict[str, tuple[int, ...] | str]:
    """Each activation's shape, or why the network refuses a picture of that size on the way to it."""
    if not layers:
        return {}
    try:
        with activations_of(shadow, layers) as activations, _following():
            found = activations(_black_pictures(shadow, 1, channels, size))
            return {layer: tuple(activation.shape) for layer, activation in found.items()}
    except (RuntimeError, ValueError, AssertionError, TypeError, IndexError) as error:  # an InputError among them
        if len(layers) > 1:  # one of them keeps the others from being read
            return {layer: _shapes(shadow, [layer], size, channels)[layer] for layer in layers}
        return {layers[0]: str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}


def _size_problem(shadow: nn.Module, layer: str, size: tuple[int, int], channels: int, reason: str) -> str:
    def works(px: int) -> bool:
        return isinstance(_shapes(shadow, [layer], (px, px), channels)[layer], tuple)

    where = layer or "the output"
    refused = min(size)
    enough = next((px for px in (refused * 2**k for k in range(1, 6)) if works(px)), None)
    if enough is None:
        return f"{where}: the network refuses a picture of {size[0]} × {size[1]} px ({reason})"
    while enough - refused > 1:  # the least size lies in (refused, enough]
        middle = (refused + enough) // 2
        refused, enough = (refused, middle) if works(middle) else (middle, enough)
    return f"{where}: a picture of {size[0]} × {size[1]} px is too small for it, the least is {enough} px"
