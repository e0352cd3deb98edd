"""Pictures in files: photographs, and those of a layer as rendering leaves them."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from feature_vis.images.png import write_picture
from featurediff.data.decode import load_rgb

CHANNELS, SEEDS = (10, 2, 5), (0, 1, 2)


def write(folder: Path, random: np.random.Generator, changed: int | None = None) -> list[str]:
    """Pictures of every seed and channel; of one channel others than `random`'s."""
    paths = []
    for seed in SEEDS:
        place = folder / f"seed{seed}" if seed else folder
        for channel in CHANNELS:
            picture = random.integers(0, 255, (32, 32, 3), dtype=np.uint8)
            paths.append(str(place / f"channel{channel}.png"))
            write_picture(paths[-1], 255 - picture if channel == changed else picture, {})
    return paths


def save(image: Image.Image, path: Path, **options: object) -> np.ndarray:
    """Write a file; returns it as it is read, (H, W, 3) uint8."""
    image.save(path, **options)
    picture = load_rgb(path)
    assert picture.mode == "RGB"
    return np.asarray(picture)


def gradient(width: int = 20, height: int = 12) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 12, y * 20, (x + y) * 8], axis=-1).astype(np.uint8))


def pixels_of(tensor: torch.Tensor) -> np.ndarray:
    """(H, W, 3) of (3, H, W) uint8."""
    assert tensor.dtype == torch.uint8
    return tensor.permute(1, 2, 0).numpy()
