"""torchvision's augmentations, drawn from seeds of their own: RandAugment on pictures, MixUp and CutMix on batches.

They draw from torch's global generator. Here each has a private state of it, seeded by what it is drawn for, so that
neither the loader's processes nor dropout decide what is drawn, nor the other way round.
"""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from feature_vis.networks.torchvision_import import torchvision
from feature_vis.seeding import derive_seed
from featurediff.data.torch_dataset import PictureTransform
from featurediff.training.settings import TrainingSettings

__all__ = ["Mixing", "make_mixing", "with_randaugment"]

# (pictures (B, 3, H, W), labels (B,), epoch, number of the batch) -> (mixed pictures, targets (B, classes))
Mixing = Callable[[Tensor, Tensor, int, int], tuple[Tensor, Tensor]]


def with_randaugment(transform: PictureTransform, operations: int, magnitude: int) -> PictureTransform:
    """`transform`, then so many operations of RandAugment (Cubuk et al. 2020); what they bare is black."""
    return partial(_randaugmented, transform=transform, operations=operations, magnitude=magnitude)


def make_mixing(settings: TrainingSettings, classes: int) -> Mixing | None:
    """MixUp (Zhang et al. 2018), CutMix (Yun et al. 2019), or one of the two for each batch; None where neither is set.

    A batch is mixed with itself, moved on by one picture, in one share, which is that of the labels as well.
    """
    alphas = {name: alpha for name, alpha in (("MixUp", settings.mixup), ("CutMix", settings.cutmix)) if alpha > 0}
    if not alphas:
        return None
    v2 = _v2()
    one_of_them = v2.RandomChoice([getattr(v2, name)(alpha=a, num_classes=classes) for name, a in alphas.items()])

    def mix(pictures: Tensor, labels: Tensor, epoch: int, number: int) -> tuple[Tensor, Tensor]:
        with _global_generator(derive_seed(settings.seed, "mix", epoch, number)):
            return one_of_them(pictures, labels)

    return mix


# Module-level, since a loader's workers may be spawned and then need to pickle it.
def _randaugmented(
    picture: Image.Image, generator: torch.Generator, *, transform: PictureTransform, operations: int, magnitude: int
) -> Tensor:
    prepared = transform(picture, generator)  # (3, H, W) uint8
    seed = int(torch.randint(1 << 62, (), generator=generator))
    # as a picture again: Pillow is quicker at these operations than torch is on a processor
    image = Image.fromarray(prepared.permute(1, 2, 0).numpy())
    with _global_generator(seed):
        image = _randaugment(operations, magnitude)(image)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


@lru_cache(maxsize=8)
def _randaugment(operations: int, magnitude: int) -> Callable[[Image.Image], Image.Image]:
    v2 = _v2()
    return v2.RandAugment(operations, magnitude, interpolation=v2.InterpolationMode.BILINEAR)


def _v2() -> Any:
    """torchvision.transforms.v2, which torchvision itself does not import."""
    return importlib.import_module(f"{torchvision.__name__}.transforms.v2")


@contextmanager
def _global_generator(seed: int) -> Iterator[None]:
    """torch's global generator of the CPU, seeded anew and then put back; those of GPUs are not touched."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
