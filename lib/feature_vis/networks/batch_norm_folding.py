"""Batch norm folded into the convolution before it: the same function in fewer passes over memory.

In `eval` mode a batch norm is an affine map of each channel. Composed with the convolution whose output it reads, it
is another convolution. Source: Jacob et al. 2018, section 3.2; `torch.nn.utils.fusion`.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from feature_vis.networks.activations import activations_of
from feature_vis.networks.hooks import hooked

__all__ = ["FilterCalls", "fold_batch_norm", "watch_filters"]

# The largest deviation that rounding explains, as a share of the largest activation.
_TOLERANCE = 1e-3

_FILTERS = (nn.Linear, nn.modules.conv._ConvNd)


@dataclass
class FilterCalls:
    """What a forward pass did with filters (convolutions and linear layers) and batch norms, by module names.

    `counts`: how often each was entered, in the order of the first time. `norms`: (filter, batch norm) where the
    batch norm read the very tensor that the filter put out.
    """

    counts: Counter[str] = field(default_factory=Counter)
    norms: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def watch_filters(model: nn.Module) -> Iterator[FilterCalls]:
    """Note the calls of filters, and of batch norms with running statistics, while the block runs."""
    calls = FilterCalls()
    made_by: dict[int, tuple[str, Tensor]] = {}  # the tensor is kept, so that its id stays its own

    def note_filter(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            calls.counts[name] += 1
            made_by[id(output)] = (name, output)

        return hook

    def note_norm(name: str) -> Any:
        def hook(_module: nn.Module, inputs: Any) -> None:
            calls.counts[name] += 1
            if inputs and id(inputs[0]) in made_by:
                calls.norms.append((made_by[id(inputs[0])][0], name))

        return hook

    modules = dict(model.named_modules())
    filters = {name: note_filter(name) for name, module in modules.items() if isinstance(module, _FILTERS)}
    norms = {
        name: note_norm(name)
        for name, module in modules.items()
        if isinstance(module, _BatchNorm) and module.running_mean is not None
    }
    with hooked(model, after=filters, before=norms):
        yield calls


def fold_batch_norm(model: nn.Module, layers: list[str], inputs: Tensor) -> int:
    """Fold every batch norm that reads a convolution's output directly; changes `model`, returns how many.

    Only what the activations of `layers` depend on is folded, and no convolution that is itself one of the layers.
    The pairs are found by following `inputs`, (B, C, H, W), through the network, not by names. The activations before
    and after are compared. Where they differ by more than rounding (somebody else reads the convolution's output as
    well), nothing is folded. So `inputs` should be noise: zeros hide differences.
    """
    pairs = _pairs(model, layers, inputs)
    if not pairs:
        return 0
    before = _activations(model, layers, inputs)
    parts = {name: model.get_submodule(name) for pair in pairs for name in pair}
    for convolution, norm in pairs:
        fused = fuse_conv_bn_eval(cast(nn.Conv2d, parts[convolution]), cast(nn.BatchNorm2d, parts[norm]))
        _replace(model, convolution, fused)
        _replace(model, norm, nn.Identity())
    after = _activations(model, layers, inputs)
    if all(_close(before[layer], after[layer]) for layer in layers):
        return len(pairs)
    for name, part in parts.items():
        _replace(model, name, part)
    return 0


def _activations(model: nn.Module, layers: list[str], inputs: Tensor) -> dict[str, Tensor]:
    with activations_of(model, layers) as activations, torch.no_grad():
        return activations(inputs)


def _pairs(model: nn.Module, layers: list[str], inputs: Tensor) -> list[tuple[str, str]]:
    """(convolution, batch norm) by name, each called once."""
    with watch_filters(model) as calls:
        _activations(model, layers, inputs)
    return [
        (convolution, norm)
        for convolution, norm in calls.norms
        # a subclass may do something else with its weights, or after its norm
        if type(model.get_submodule(convolution)) is nn.Conv2d
        and type(model.get_submodule(norm)) is nn.BatchNorm2d
        and calls.counts[convolution] == calls.counts[norm] == 1
        and convolution not in layers
    ]


def _replace(model: nn.Module, name: str, part: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, part)


def _close(before: Tensor, after: Tensor) -> bool:
    return bool((before - after).abs().max() <= _TOLERANCE * before.abs().max().clamp_min(1e-12))
