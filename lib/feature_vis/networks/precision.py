"""The type in which networks compute while pictures are optimised.

With half as many bits there is half the memory to move and, on hardware that multiplies them, twice the speed. Gradient
ascent tolerates the rounding (`benchmarks/RESULTS.md`). Finished pictures are always measured in float32.
"""

import sys
from collections.abc import Sequence

import torch
from torch import nn

__all__ = ["resolve_precision"]


def resolve_precision(name: str, device: torch.device, models: Sequence[nn.Module]) -> torch.dtype:
    """The type that a recipe's `precision` stands for: `auto`, `float32` or `bfloat16`.

    `auto` is bfloat16 on a GPU that multiplies it. On a processor that does, it is bfloat16 for networks of dense
    convolutions only (ResNet-18 and ResNet-50 take half of float32's time), because depthwise convolutions and
    attention are slower in it (MobileNetV2 takes 1.6 ×, ViT-B/32 2 × the time). No time is measured: the pictures must
    not depend on it.
    """
    if name != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
    if device.type == "cuda":
        multiplies = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        multiplies = _processor_multiplies_bfloat16() and all(_is_densely_convolutional(model) for model in models)
    return torch.bfloat16 if multiplies and device.type in ("cpu", "cuda") else torch.float32


def _processor_multiplies_bfloat16() -> bool:
    if sys.platform != "linux":
        return False
    # torch has no public function for this; float32 is right wherever these are missing
    answers = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    return any(answer() for answer in answers if answer is not None)


def _is_densely_convolutional(model: nn.Module) -> bool:
    """Whether all weights belong to ungrouped convolutions, batch norms and linear layers."""
    for module in model.modules():
        if not any(True for _ in module.parameters(recurse=False)):
            continue
        dense = isinstance(module, nn.Conv2d) and module.groups == 1
        if not dense and not isinstance(module, nn.BatchNorm2d | nn.Linear):
            return False
    return True
