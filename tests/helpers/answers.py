"""What a network answers to a finished picture."""

import copy

import numpy as np
import torch
from torch import Tensor, nn

from feature_vis.images.colors import normalize
from feature_vis.networks.activations import activations_of


def answer(model: nn.Module, layer: str, picture: np.ndarray) -> Tensor:
    """The layer's activation for a finished picture, by no code of the renderer's but its normalisation."""
    batch = torch.tensor(picture).permute(2, 0, 1)[None] / 255
    with torch.no_grad(), activations_of(copy.deepcopy(model).eval(), [layer]) as activations:
        return activations(normalize(batch))[layer]
