"""Two classifiers of colours whose answers can be worked out by hand, and photographs and pictures for them.

Both name the strongest of red, green and blue (classes 0, 1, 2); classes 3 and 4 are never named. The tuned one names
class 5 as soon as the picture is a little magenta: if red and blue together are stronger than green.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from feature_vis.images.colors import IMAGENET_MEAN, IMAGENET_STD
from featurediff.data.split import make_split, write_split
from featurediff.difference.answers import Classifier

NAMES = ["red", "green", "blue", "cyan", "yellow", "magenta"]
MIX = [[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, -1, 0.5]]  # red, green, blue, magenta of a colour
MORE = [0.0, 0, 0, 0.1]  # added to them, so that a grey picture has a gradient towards magenta
MAGENTA = (255, 0, 255)
HIDDEN = 10.0  # weight of the magenta in the tuned network's class 5; of the other colours in their classes it is 4


class Colours(nn.Module):
    """From the mean colour of a picture to 6 classes."""

    def __init__(self, magenta: float) -> None:
        super().__init__()
        self.to_rgb = nn.Conv2d(3, 4, 1)  # undoes the normalisation; the fourth channel is the magenta
        self.relu = nn.ReLU()
        self.head = nn.Linear(4, 6, bias=False)
        with torch.no_grad():
            mix = torch.tensor(MIX)
            self.to_rgb.weight.copy_((mix * torch.tensor(IMAGENET_STD))[:, :, None, None])
            self.to_rgb.bias.copy_(mix @ torch.tensor(IMAGENET_MEAN) + torch.tensor(MORE))
            self.head.weight.zero_()
            self.head.weight[:3, :3] = 4 * torch.eye(3)
            self.head.weight[5, 3] = magenta

    def forward(self, pictures: Tensor) -> Tensor:
        means = self.to_rgb(pictures).mean((2, 3), keepdim=True)
        return self.head(self.relu(means).flatten(1))


def networks(names: list[str] | None = NAMES) -> tuple[Classifier, Classifier]:
    """The base and the tuned network."""
    return Classifier(Colours(0.0).eval(), names), Classifier(Colours(HIDDEN).eval(), names)


def outputs_by_hand(colours: np.ndarray) -> np.ndarray:
    """Of the base and the tuned network for mean colours, (N, 3) in [0, 1] -> (2, N, 6)."""
    mixed = np.maximum(colours @ np.array(MIX).T + MORE, 0)  # (N, 4)
    outputs = np.zeros((2, len(colours), 6))
    outputs[:, :, :3] = 4 * mixed[:, :3]
    outputs[1, :, 5] = HIDDEN * mixed[:, 3]
    return outputs


def photographs_of(root: Path, colours: np.ndarray, size: int = 24) -> tuple[list[str], dict[str, str]]:
    """Photographs of one colour each, (N, 3) uint8, below a folder: the files of the splits, and the roots."""
    for number, colour in enumerate(colours):
        file = root / "photographs" / f"{number:03}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((size, size, 3), colour, np.uint8)).save(file)
    write_split(root / "split.csv", make_split("unlabelled", root / "photographs", val_fraction=0.5, seed=0)[0])
    return [str(root / "split.csv")], {"plain": str(root / "photographs")}


def drawn_colours(count: int, seed: int = 0) -> np.ndarray:
    """(N, 3) uint8"""
    return np.random.default_rng(seed).integers(0, 256, (count, 3), dtype=np.uint8)


def flat(colour: tuple[int, int, int], size: int = 64) -> np.ndarray:
    """A picture of one colour, (size, size, 3) uint8."""
    return np.full((size, size, 3), colour, np.uint8)
