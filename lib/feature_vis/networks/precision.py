"""The type that networks compute in while pictures are optimised.

Half as many bits are half the memory to move and, where the hardware multiplies them, twice the operations a second;
the ascent does not mind the rounding (`benchmarks/RESULTS.md`). Finished pictures are measured in float32 always.
"""

import sys
from collections.abc import Sequence

import torch
from torch import nn

__all__ = ["resolve_precision"]


def resolve_precision(name: str, device: torch.device, models: Sequence[nn.Module]) -> torch.dtype:
    """`auto`, `float32` or `bfloat16` -> the type.

    `auto` takes bfloat16 on a GPU that multiplies it; on a processor that does, only for networks of dense
    convolutions: depthwise convolutions and attention are slower in it there (MobileNetV2 1.6 ×, ViT-B/32 2 ×
    the time of float32, ResNet-18 and ResNet-50 half of it). It never depends on a measured time: pictures must not.
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
    # torch has no public question for this; where it does not answer, float32 is never wrong
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
