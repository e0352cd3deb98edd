"""Pictures of a layer in a folder, as rendering leaves them."""

from pathlib import Path

import numpy as np

from feature_vis.png import write_picture

CHANNELS, SEEDS = (10, 2, 5), (0, 1, 2)


def write(folder: Path, random: np.random.Generator, changed: int | None = None) -> list[str]:
    """Pictures of every seed and channel; of one channel others than `random`'s."""
    paths = []
    for seed in SEEDS:
        place = folder / f"seed{seed}" if seed else folder
        place.mkdir(parents=True, exist_ok=True)
        for channel in CHANNELS:
            picture = random.integers(0, 255, (32, 32, 3), dtype=np.uint8)
            paths.append(str(place / f"channel{channel}.png"))
            write_picture(paths[-1], 255 - picture if channel == changed else picture, {})
    return paths
