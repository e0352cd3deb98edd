"""A network of two blocks, and pictures for it."""

import numpy as np
from torch import Tensor, nn


class Block(nn.Module):
    """A convolution with a ReLU in place, and a bare container inside."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.parts = nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.ReLU(inplace=True))

    def forward(self, maps: Tensor) -> Tensor:
        return self.parts(maps)


class Net(nn.Module):
    """Two blocks in a container; a ReLU in place overwrites what each block put out."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(Block(3, 4), nn.Hardtanh(0.0, 0.1, inplace=True), Block(4, 5))
        self.drop = nn.Dropout(0.9)
        self.head = nn.Linear(5, 7)

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self.body(pictures)
        return self.head(self.drop(nn.functional.relu_(maps - 0.01).mean((2, 3))))


def pictures(count: int, size: int = 16, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (size, size, 3), dtype=np.uint8) for _ in range(count)]


def numpy_gram(maps: np.ndarray) -> np.ndarray:
    """A Gram matrix of (K, h, w), summed over places."""
    return np.einsum("ihw,jhw->ij", maps, maps) / maps.size
