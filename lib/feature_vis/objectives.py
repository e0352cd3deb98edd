"""What a picture is optimised for: one number a picture, from the activation of the target layer."""

import torch
from torch import Tensor

__all__ = ["channel"]


def channel(activation: Tensor, channels: Tensor) -> Tensor:
    """Mean activation of each picture's own channel: (B, K, …), (B,) whole numbers -> (B,).

    A feature map counts with its mean over all positions; the output of a linear layer, (B, K), as it is.
    """
    rows = torch.arange(len(channels), device=activation.device)
    maps = activation[rows, channels]  # (B, …)
    return maps.flatten(1).mean(1) if maps.dim() > 1 else maps
