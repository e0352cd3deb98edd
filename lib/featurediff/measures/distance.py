"""How far apart two pictures are in the representation of a network.

Two measures: the cosine between the embeddings of the pictures (what enters the network's last layer), and the
distance between the Gram matrices of each block's feature maps (texture, regardless of place).

Sources: Chobanyan, transfer-visualization `transfer/compare_features.py` and `transfer/distance.py`;
Gatys et al. 2016, "Image Style Transfer Using Convolutional Neural Networks", equation 3.
"""

import torch
from torch import Tensor

__all__ = ["cosine_similarity", "gram_distance", "gram_matrix"]


def cosine_similarity(a: Tensor, b: Tensor) -> Tensor:
    """Cosine of the angle between rows, (N, D) x (N, D) -> (N,) float64 in [-1, 1]; NaN where a row is zero.

    Equal rows give exactly 1.
    """
    a, b = (rows.double() / rows.double().abs().amax(1, keepdim=True) for rows in (a, b))  # 0 / 0 is NaN
    # sqrt(s * s) is s without rounding, sqrt(s) * sqrt(s) is not: equal rows stay exactly 1
    return ((a * b).sum(1) / ((a * a).sum(1) * (b * b).sum(1)).sqrt()).clamp(-1, 1)


def gram_matrix(features: Tensor) -> Tensor:
    """Products of channels summed over places, (B, C, H, W) -> (B, C, C), divided by C * H * W.

    Gatys et al. 2016, equation 3, leave the matrix itself undivided and divide the loss by 4 C² (H W)² instead;
    dividing here makes the matrices of layers and pictures of unlike sizes comparable.
    """
    _, channels, height, width = features.shape
    rows = features.flatten(2)  # (B, C, H * W)
    return rows @ rows.transpose(1, 2) / (channels * height * width)


def gram_distance(a: Tensor, b: Tensor) -> Tensor:
    """Frobenius norm of the difference of Gram matrices, (B, C, C) x (B, C, C) -> (B,)."""
    return torch.linalg.matrix_norm(a - b)
