"""A network read at its layers: what a unit answers to a picture, and a slope for it to climb.

Why the objective reads what *enters* the last ReLU: at the noise a picture starts from, many units of deep
layers are off at every position. A ReLU passes no gradient where it is off, so the picture of such a unit never
moves and stays grey (lucid #68, lucent #9 and #34, captum #521). Before the ReLU the same unit has a slope
everywhere. In a residual block this is the sum of branch and shortcut. It is found by watching the forward pass,
not from a list of architectures: a layer can be read before its ReLU where the tensor that it puts out *is* what
its last ReLU put out.

Where it is not (a concatenation of branches, a ReLU followed by pooling) and the output is nowhere negative, every
ReLU on the way passes a redirected gradient to a picture that would get none: see `feature_vis.networks.relus`.

Of a vision transformer the channels are the features of the tokens, and the places are the picture's patches; tokens
that stand before these (of the class, of distillation, registers) are no places and are left out.
"""

import copy
import itertools
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import torch
from torch import Tensor, nn

from feature_vis.errors import InputError, close_names
from feature_vis.networks.relus import ReluWatch, Target

__all__ = [
    "Activations",
    "activations_of",
    "call_order",
    "channel_axis",
    "channel_counts",
    "device_of",
    "layer_shapes",
    "patch_tokens",
    "picture_size",
    "require_layer_shapes",
]

# Pixels of the square pictures that are tried on a network: the usual ones, then all that patches of 14 and 16 or
# small networks may want.
_SIZES = (224, 32, 64, 299, 384, *range(16, 641, 2))


class _LayersReached(Exception):
    """Ends a forward pass when the last target has answered: nothing above it runs."""


class Activations:
    """Callable: a network's input, (B, C, H, W) -> each target's activation, {layer: (B, K, …)}.

    `stuck_layers`: those that cannot be read before their last ReLU and may be zero everywhere. Known after the
    first call, from its values; from the second call on the network's ReLUs redirect for their sake.
    """

    def __init__(self, model: nn.Module, targets: dict[str, Target], before_relu: bool, axes: dict[str, int]) -> None:
        self._model = model
        self._targets = targets
        self._watch = ReluWatch(list(targets.values()))
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
            size = (int(inputs.shape[-2]), int(inputs.shape[-1]))
            return {layer: self._answer(layer, target, size) for layer, target in self._targets.items()}
        finally:
            for target in self._targets.values():
                target.clear()  # the graph is the caller's now

    def _answer(self, layer: str, target: Target, size: tuple[int, int]) -> Tensor:
        where = repr(layer) if layer else "the network"
        if target.output is None:
            raise InputError(f"the forward pass of {type(self._model).__name__} never enters {where}")
        answer = target.entered if self._before_relu and target.ends_in_relu else target.output
        if not isinstance(answer, Tensor):
            raise InputError(f"{where} puts out a {type(answer).__name__}, not a tensor: a `hook` can make one of it")
        axis = self._axes.get(layer, 1)
        if answer.dim() == 3 and axis == 2:
            answer = patch_tokens(answer, size)
        return answer.movedim(axis, 1) if answer.dim() > 2 else answer


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
    targets = {layer: Target() for layer in layers}

    def enter(target: Target) -> Callable[[nn.Module, Any], None]:
        def note_entry(_module: nn.Module, _inputs: Any) -> None:
            # of a module that is called again, the first answer counts
            target.inside = target.watched and target.output is None

        return note_entry

    def leave(target: Target) -> Callable[[nn.Module, Any, Any], None]:
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
        shadow = copy.deepcopy(model, memo).eval().float()
    for module in shadow.modules():
        # Without storage torch computes these in Python: it took most of the time, and the import of its compiler.
        if type(module) in _SHAPES_ALONE:
            module.__class__ = _SHAPES_ALONE[type(module)]
    return shadow


class _BatchNorm(nn.BatchNorm2d):
    def forward(self, maps: Tensor) -> Tensor:
        self._check_input_dim(maps)
        return maps.view_as(maps)


class _Pooling(nn.AdaptiveAvgPool2d):
    def forward(self, maps: Tensor) -> Tensor:
        given = self.output_size if isinstance(self.output_size, tuple) else (self.output_size, self.output_size)
        sides = [there if wanted is None else wanted for wanted, there in zip(given, maps.shape[-2:], strict=True)]
        return maps.new_empty(*maps.shape[:-2], *sides)


class _Linear(nn.Linear):
    def forward(self, rows: Tensor) -> Tensor:
        if rows.shape[-1] != self.in_features:
            return super().forward(rows)  # torch says what is wrong
        return rows.new_empty(*rows.shape[:-1], self.out_features)


_SHAPES_ALONE = {nn.BatchNorm2d: _BatchNorm, nn.AdaptiveAvgPool2d: _Pooling, nn.Linear: _Linear}


def _that_runs(model: nn.Module, until: str, channels: int) -> tuple[nn.Module, Tensor]:
    """A copy of the network and two pictures with which it runs up to a layer; without storage where that works."""
    known = dict(model.named_modules())
    if until not in known:
        raise InputError(f"there is no layer {until!r}{close_names(until, known)}")
    usual, *others = _SIZES
    reason = ""
    for sizes in ([usual], others):
        for copied in (_on_meta, _real):  # a network that asks for a value on the way runs with real numbers alone
            shadow = copied(model)
            some = next(itertools.chain(shadow.parameters(), shadow.buffers()), None)
            for size in sizes:
                inputs = torch.zeros(2, channels, size, size, device="cpu" if some is None else some.device)
                try:
                    with suppress(_LayersReached), _ended_by(shadow.get_submodule(until)), torch.no_grad():
                        shadow(inputs)
                    return shadow, inputs
                except Exception as error:  # whatever a network refuses a size by
                    reason = reason or str(error).strip().partition("\n")[0]
    raise InputError(f"{type(model).__name__} takes no picture of {min(_SIZES)} to {max(_SIZES)} px: {reason}")


def _real(model: nn.Module) -> nn.Module:
    return copy.deepcopy(model).eval().float()


@contextmanager
def _ended_by(module: nn.Module) -> Iterator[None]:
    """A forward pass ends when this module has been left."""

    def leave(_module: nn.Module, _inputs: Any, _output: Any) -> None:
        raise _LayersReached

    handle = module.register_forward_hook(leave)
    try:
        yield
    finally:
        handle.remove()


def device_of(model: nn.Module) -> torch.device:
    """Where a network's parameters are; the CPU for one without any."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def picture_size(model: nn.Module, channels: int = 3) -> int:
    """Pixels of a square picture that the network takes: 224 where it can, else the first that it does.

    Raises:
        InputError: it takes none of 16 to 640 px.
    """
    return int(_that_runs(model, "", channels)[1].shape[-1])


def call_order(model: nn.Module, until: str | None = None, channels: int = 3) -> list[str]:
    """Names of the modules in the order in which a forward pass first enters them; the root is `""`.

    With `until`, the pass ends when that module has been left. A module that is never entered follows the one around
    it, if that has been left: its weights may be read without calling it, as attention does with its projections.

    Raises:
        InputError: no such module, or no picture of 16 to 640 px with which the network runs up to it.
    """
    shadow, inputs = _that_runs(model, until or "", channels)
    entered: dict[str, None] = {}
    left: set[str] = set()
    for name, module in shadow.named_modules():
        module.register_forward_pre_hook(lambda _m, _i, name=name: entered.setdefault(name))
        module.register_forward_hook(lambda _m, _i, _o, name=name: left.add(name))
    with suppress(_LayersReached), torch.no_grad(), _ended_by(shadow.get_submodule(until or "")):
        shadow(inputs)
    inside: dict[str, list[str]] = {}  # a module that was entered -> those in it that never were
    for name, _ in shadow.named_modules():
        if name not in entered:
            around = name
            while around not in entered:
                around = around.rpartition(".")[0]
            inside.setdefault(around, []).append(name)
    return [each for name in entered for each in (name, *(inside.get(name, []) if name in left else []))]


def patch_tokens(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """The tokens of a picture's patches, (B, N, K) -> (B, places, K): without those that stand before them.

    `size`: height and width of the picture. Patches are square, so their rows and columns are to each other as its
    height and width. All tokens where no such number of them is left by leaving out at most 8.
    """
    height, width = size
    for before in range(min(9, tokens.shape[1])):
        places = tokens.shape[1] - before
        rows = round(math.sqrt(places * height / width))
        if rows > 0 and places % rows == 0 and rows * width == places // rows * height:
            return tokens[:, before:]
    return tokens


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
    shapes = _shapes(shadow, wanted, size, channels)
    if wanted and not any(isinstance(shape, tuple) for shape in shapes.values()):
        # Some networks cannot be followed there: one that asks for a value, or holds a tensor that is no buffer.
        real = _real(model)
        of_real = _shapes(real, wanted, size, channels)
        if any(isinstance(shape, tuple) for shape in of_real.values()):
            shadow, shapes = real, of_real
    maps = [layer for layer, shape in shapes.items() if isinstance(shape, tuple) and len(shape) == 4]
    larger = _shapes(shadow, maps, (2 * size[0], 2 * size[1]), channels)
    found = {}
    for layer, shape in shapes.items():
        if isinstance(shape, str):
            problems.append(_size_problem(shadow, layer, size, channels, shape))
        else:
            of_larger = larger.get(layer)
            found[layer] = (shape, channel_axis(shape, of_larger if isinstance(of_larger, tuple) else None))
    return found, problems


def require_layer_shapes(
    model: nn.Module, layers: Collection[str], size: tuple[int, int]
) -> dict[str, tuple[tuple[int, ...], int]]:
    """The shapes and channel axes that `layer_shapes` finds.

    Raises:
        InputError: everything that is wrong with the layers.
    """
    shapes, problems = layer_shapes(model, layers, size)
    if problems:
        raise InputError("\n".join(problems))
    return shapes


def _shapes(
    shadow: nn.Module, layers: Sequence[str], size: tuple[int, int], channels: int
) -> dict[str, tuple[int, ...] | str]:
    """Each activation's shape, or why the network refuses a picture of that size on the way to it."""
    if not layers:
        return {}
    some = next(itertools.chain(shadow.parameters(), shadow.buffers()), None)
    inputs = torch.zeros(1, channels, *size, device="cpu" if some is None else some.device)
    try:
        with activations_of(shadow, layers) as activations, torch.no_grad():
            return {layer: tuple(activation.shape) for layer, activation in activations(inputs).items()}
    except (RuntimeError, ValueError, AssertionError, TypeError, IndexError) as error:  # an InputError among them
        if len(layers) > 1:  # one of them is in the way of the others
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


def channel_counts(model: nn.Module, layers: Collection[str], size: tuple[int, int]) -> dict[str, int]:
    """How many channels each layer puts out for a picture of `size`, (height, width).

    Raises:
        InputError: what is wrong with the layers, see `layer_shapes`: all at once.
    """
    shapes = require_layer_shapes(model, layers, size)
    return {layer: shape[axis] if len(shape) > 1 else 0 for layer, (shape, axis) in shapes.items()}
