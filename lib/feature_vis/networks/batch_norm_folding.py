"""Batch norm folded into the convolution before it: the same function in fewer passes over memory.

In `eval` mode a batch norm is an affine map of each channel; composed with the convolution whose output it reads,
it is another convolution. Source: Jacob et al. 2018, section 3.2; `torch.nn.utils.fusion`.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from feature_vis.networks.activations import activations_of

__all__ = ["fold_batch_norm"]

# largest deviation that rounding explains, as a share of the largest activation
_TOLERANCE = 1e-3


def fold_batch_norm(model: nn.Module, layers: list[str], inputs: Tensor) -> int:
    """Fold every batch norm that reads a convolution's output directly; changes `model`, returns how many.

    Only what the activations of `layers` depend on is folded, and no convolution that is itself one of them. Which
    pairs there are is seen by following `inputs`, (B, C, H, W), through the network, not by names. The
    activations before and after are compared: where they differ by more than rounding (a convolution whose output
    somebody else reads as well), nothing is folded. So `inputs` should be noise: zeros hide differences.
    """
    pairs = _pairs(model, layers, inputs)
    if not pairs:
        return 0
    with activations_of(model, layers) as activations, torch.no_grad():
        before = activations(inputs)
    parts = {name: model.get_submodule(name) for pair in pairs for name in pair}
    for convolution, norm in pairs:
        fused = fuse_conv_bn_eval(cast(nn.Conv2d, parts[convolution]), cast(nn.BatchNorm2d, parts[norm]))
        _replace(model, convolution, fused)
        _replace(model, norm, nn.Identity())
    with activations_of(model, layers) as activations, torch.no_grad():
        after = activations(inputs)
    if all(_close(before[layer], after[layer]) for layer in layers):
        return len(pairs)
    for name, part in parts.items():
        _replace(model, name, part)
    return 0


def _pairs(model: nn.Module, layers: list[str], inputs: Tensor) -> list[tuple[str, str]]:
    """(convolution, batch norm) by name, where the norm's input is the very tensor that the convolution put out."""
    names = {module: name for name, module in model.named_modules()}
    made_by: dict[int, tuple[nn.Module, Tensor]] = {}  # the tensor is held, so that its id stays its own
    calls: dict[nn.Module, int] = {}
    read_by: list[tuple[nn.Module, nn.Module]] = []

    def note_convolution(module: nn.Module, _inputs: Any, output: Tensor) -> None:
        calls[module] = calls.get(module, 0) + 1
        made_by[id(output)] = (module, output)

    def note_norm(module: nn.Module, arguments: Any) -> None:
        calls[module] = calls.get(module, 0) + 1
        if arguments and id(arguments[0]) in made_by:
            read_by.append((made_by[id(arguments[0])][0], module))

    handles = []
    for module in model.modules():
        # a subclass may do something else with its weights, or after its norm
        if type(module) is nn.Conv2d:
            handles.append(module.register_forward_hook(note_convolution))
        elif type(module) is nn.BatchNorm2d and module.running_mean is not None:
            handles.append(module.register_forward_pre_hook(note_norm))
    try:
        with activations_of(model, layers) as activations, torch.no_grad():
            activations(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return [
        (names[convolution], names[norm])
        for convolution, norm in read_by
        if calls[convolution] == calls[norm] == 1 and names[convolution] not in layers
    ]


def _replace(model: nn.Module, name: str, part: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, part)


def _close(before: Tensor, after: Tensor) -> bool:
    return bool((before - after).abs().max() <= _TOLERANCE * before.abs().max().clamp_min(1e-12))
