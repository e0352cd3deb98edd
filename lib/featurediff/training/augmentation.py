"""torchvision's RandAugment for photographs, and its MixUp and CutMix for batches, with seeds of their own.

torchvision draws from torch's global generator. Here each draw gets a private state of that generator, with a seed of
its own, so that the draws neither depend on the loader's processes and on dropout nor influence them.
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
    """`transform`, then `operations` of RandAugment (Cubuk et al. 2020); uncovered corners become black."""
    return partial(_randaugmented, transform=transform, operations=operations, magnitude=magnitude)


def make_mixing(settings: TrainingSettings, classes: int) -> Mixing | None:
    """MixUp (Zhang et al. 2018) or CutMix (Yun et al. 2019), or either at random; None where neither is set.

    Each photograph of a batch is mixed with its neighbour, and their labels in the same share.
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


# At module level, because spawned workers of a loader must pickle it.
def _randaugmented(
    picture: Image.Image, generator: torch.Generator, *, transform: PictureTransform, operations: int, magnitude: int
) -> Tensor:
    shown = transform(picture, generator)  # (3, H, W) uint8
    seed = int(torch.randint(1 << 62, (), generator=generator))
    # back to a Pillow image: on a CPU, Pillow is faster than torch at these operations
    image = Image.fromarray(shown.permute(1, 2, 0).numpy())
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
    """torch's global CPU generator with this seed, then with its earlier state; those of GPUs are left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
