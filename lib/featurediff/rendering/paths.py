"""Where the pictures of a layer lie. No torch here: the workflow asks while it builds its graph."""

from collections.abc import Iterable
from pathlib import Path

__all__ = ["picture_paths"]


def picture_paths(folder: str | Path, channels: Iterable[int], seeds: Iterable[int]) -> list[str]:
    """A layer's pictures, seed after seed: of seed 0 in its folder, of further ones in `seed<s>` below."""
    channels = list(channels)
    folders = [Path(folder, f"seed{seed}") if seed else Path(folder) for seed in seeds]
    return [f"{place}/channel{channel}.png" for place in folders for channel in channels]
