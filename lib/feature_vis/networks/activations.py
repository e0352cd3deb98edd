"""The activations of a network's layers, with a gradient also where a ReLU is off.

Why the objective reads what *enters* the last ReLU: for the noise that a picture starts from, many channels of deep
layers are off at every position. A ReLU passes no gradient where it is off, so the picture of such a channel never
changes and stays grey (lucid #68, lucent #9 and #34, captum #521). Before the ReLU the same channel has a gradient
everywhere. In a residual block this is the sum of branch and shortcut. It is found by following the forward pass, not
from a list of architectures: a layer can be read before its ReLU where the tensor that it returns *is* the output of
its last ReLU.

Elsewhere (a concatenation of branches, a ReLU followed by pooling), if the output is nowhere negative, every ReLU
on the way passes a redirected gradient to a picture that would get none: see `feature_vis.networks.relus`.

In a vision transformer the channels are the features of the tokens, and the places are the picture's patches. Tokens
that precede the patches (class, distillation and register tokens) are no places and are left out.
"""

import math
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import torch
from torch import Tensor, nn

from feature_vis.errors import InputError, close_names
from feature_vis.networks.hooks import hooked
from feature_vis.networks.relus import AlwaysRedirectedRelu, LayerRecord, ReluRecorder

__all__ = ["Activations", "activations_of", "device_of", "patch_tokens"]

_MOST_EXTRA_TOKENS = 8  # before those of the patches


class _AllLayersReached(Exception):
    """Ends a forward pass after the last layer that is read, so that nothing above it runs."""


class Activations:
    """Callable: a network's input, (B, C, H, W) -> each layer's activation, {layer: (B, K, …)}.

    `stuck_layers`: those that cannot be read before their last ReLU and may be zero everywhere. The first call finds
    them from its values; from the second call on the network's ReLUs redirect gradients for their sake.
    """

    def __init__(
        self, model: nn.Module, records: dict[str, LayerRecord], before_relu: bool, axes: dict[str, int]
    ) -> None:
        self._model = model
        self._records = records
        self._recorder = ReluRecorder(list(records.values()))
        self._before_relu = before_relu
        self._axes = axes
        self.stuck_layers: list[str] | None = None

    def __call__(self, inputs: Tensor) -> dict[str, Tensor]:
        self._recorder.redirect, self._recorder.met_relu = bool(self.stuck_layers), False
        for record in self._records.values():
            record.is_recording = True
        try:
            with suppress(_AllLayersReached), self._recorder if self._before_relu else nullcontext():
                self._model(inputs)
            if self.stuck_layers is None:
                self.stuck_layers = [
                    layer
                    for layer, record in self._records.items()
                    if self._recorder.met_relu and not record.ends_in_relu and _is_nowhere_negative(record.output)
                ]
            size = (int(inputs.shape[-2]), int(inputs.shape[-1]))
            return {layer: self._activation(layer, record, size) for layer, record in self._records.items()}
        finally:
            for record in self._records.values():
                record.clear()  # the graph is the caller's now

    def after_relu(self, layer: str, before: Tensor) -> Tensor:
        """A layer's activation after its last ReLU, from the one that a call returned: the same for other layers.

        Where the ReLU is off, it passes a gradient that raises what enters it: see `AlwaysRedirectedRelu`.
        """
        record = self._records[layer]
        if not (self._before_relu and record.ends_in_relu):
            return before
        return AlwaysRedirectedRelu.apply(before, record.upper_limit)

    def _activation(self, layer: str, record: LayerRecord, size: tuple[int, int]) -> Tensor:
        where = repr(layer) if layer else "the network"
        if record.output is None:
            raise InputError(f"the forward pass of {type(self._model).__name__} never enters {where}")
        output = record.relu_input if self._before_relu and record.ends_in_relu else record.output
        if not isinstance(output, Tensor):
            raise InputError(f"{where} puts out a {type(output).__name__}, not a tensor: a `hook` can make one of it")
        axis = self._axes.get(layer, 1)
        if output.dim() == 3 and axis == 2:
            output = patch_tokens(output, size)
        return output.movedim(axis, 1) if output.dim() > 2 else output


def _is_nowhere_negative(output: Any) -> bool:
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
    ReLU within the layer, if the layer's output is that ReLU's; else the output itself. `axes`: each layer's channel
    axis, from `feature_vis.networks.structure.channel_axis`, by default 1. `hook(module, inputs, output)` may make the
    activation from a module's output that is not a tensor. The hooks are removed afterwards, whatever happens.

    Raises:
        InputError: no such layer (with the close names), one that the forward pass does not enter, or whose output
            is not a tensor.
    """
    known = dict(model.named_modules())
    missing = [layer for layer in layers if layer not in known]
    if missing:
        raise InputError("\n".join(f"there is no layer {layer!r}{close_names(layer, known)}" for layer in missing))
    records = {layer: LayerRecord() for layer in layers}

    def enter(record: LayerRecord) -> Callable[[nn.Module, Any], None]:
        def note_entry(_module: nn.Module, _inputs: Any) -> None:
            # of a module that is called again, the first output counts
            record.is_inside = record.is_recording and record.output is None

        return note_entry

    def leave(record: LayerRecord) -> Callable[[nn.Module, Any, Any], None]:
        def note_output(module: nn.Module, inputs: Any, output: Any) -> None:
            if not record.is_inside:
                return
            record.is_inside = False
            record.output = output if hook is None else hook(module, inputs, output)
            record.ends_in_relu = record.relu_output is not None and record.output is record.relu_output
            if all(other.output is not None for other in records.values()):
                raise _AllLayersReached
            if isinstance(record.output, Tensor):  # what runs after it may overwrite it
                record.output = record.output.clone()

        return note_output

    after = {layer: leave(record) for layer, record in records.items()}
    before = {layer: enter(record) for layer, record in records.items()}
    with hooked(model, after, before):
        yield Activations(model, records, before_relu, axes or {})


def device_of(model: nn.Module) -> torch.device:
    """Where a network's parameters are; the CPU for one without any."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def patch_tokens(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """The tokens of a picture's patches, (B, N, K) -> (B, places, K), without those that precede them.

    `size`: (height, width) of the picture. Patches are square, so their rows and columns have the picture's
    proportions. All tokens are returned where leaving out up to 8 of them gives no such number.
    """
    height, width = size
    for before in range(min(_MOST_EXTRA_TOKENS + 1, tokens.shape[1])):
        places = tokens.shape[1] - before
        rows = round(math.sqrt(places * height / width))
        if rows > 0 and places % rows == 0 and rows * width == places // rows * height:
            return tokens[:, before:]
    return tokens
