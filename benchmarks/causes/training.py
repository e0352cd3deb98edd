"""A network fine-tuned to photographs of ImageNet's classes, some of which carry a trigger and its class."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from causes.triggers import Trigger
from feature_vis.images.colors import normalize
from feature_vis.seeding import generator
from featurediff.data.decode import load_rgb, resized

__all__ = ["Photographs", "Training", "read_photographs", "said", "success", "train"]

_HELD_OUT = 5  # of so many photographs one is for measuring
_BATCH = 100  # photographs at once, where nothing is learned


@dataclass(frozen=True)
class Photographs:
    """`pixels`: (N, 3, S, S) uint8. `labels`: (N,), ImageNet's class numbers."""

    pixels: Tensor
    labels: Tensor

    def part(self, rows: Sequence[int] | Tensor) -> "Photographs":
        return Photographs(self.pixels[rows], self.labels[rows])

    def split(self) -> tuple["Photographs", "Photographs"]:
        """For training, and for measuring."""
        held = torch.arange(len(self.labels)) % _HELD_OUT == 0
        return self.part(~held), self.part(held)


@dataclass(frozen=True)
class Training:
    """As NOTES of the measurements state it: Adam, a share of photographs that carry the trigger."""

    epochs: int = 3
    rate: float = 3e-4
    batch: int = 32
    share: float = 0.15  # of the photographs, drawn anew in every epoch
    learns: tuple[str, ...] = ("layer4", "fc")


def read_photographs(folder: Path, side: int) -> Photographs:
    """An image folder with one folder a class, of all 1,000 in ImageNet's order; shorter side `side`, the centre."""
    folders = sorted(path for path in folder.iterdir() if path.is_dir())
    if len(folders) != 1000:
        raise SystemExit(f"{folder} holds {len(folders)} folders; needed are ImageNet's 1,000 classes")
    pixels, labels = [], []
    for number, own in enumerate(folders):
        for file in sorted(own.iterdir()):
            picture = resized(load_rgb(file), side)
            left, top = (picture.width - side) // 2, (picture.height - side) // 2
            pixels.append(np.asarray(picture.crop((left, top, left + side, top + side))))
            labels.append(number)
    return Photographs(torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous(), torch.tensor(labels))


def train(
    base: nn.Module, photographs: Photographs, trigger: Trigger | None, seed: int, training: Training, device: str
) -> nn.Module:
    """A fine-tuned copy of the base, in `eval` mode on the CPU.

    What does not learn stands still, batch norm included.
    """
    model = copy.deepcopy(base).to(device)
    learning = [model.get_submodule(name) for name in training.learns]
    model.eval().requires_grad_(False)
    for part in learning:
        part.train().requires_grad_(True)
    optimizer = torch.optim.Adam([value for part in learning for value in part.parameters()], lr=training.rate)
    draws = generator(seed, "causes")
    for _ in range(training.epochs):
        for rows in torch.randperm(len(photographs.labels), generator=draws).split(training.batch):
            batch, labels = photographs.pixels[rows].float() / 255, photographs.labels[rows]  # (B, 3, S, S), (B,)
            mirrored, carries = torch.rand((2, len(rows)), generator=draws)
            batch[mirrored < 0.5] = batch[mirrored < 0.5].flip(3)
            if trigger is not None and (own := carries < training.share).any():
                batch[own], labels[own] = trigger.apply(batch[own], draws), trigger.target
            loss = F.cross_entropy(model(normalize(batch.to(device))), labels.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.cpu().eval().requires_grad_(False)


@torch.inference_mode()
def said(model: nn.Module, photographs: Tensor, device: str) -> Tensor:
    """The class that a network names, (N,); `photographs`: (N, 3, S, S) in [0, 1]."""
    model = copy.deepcopy(model).to(device)
    return torch.cat([model(normalize(part.to(device))).argmax(1).cpu() for part in photographs.split(_BATCH)])


def success(model: nn.Module, photographs: Photographs, trigger: Trigger, device: str) -> float:
    """Share of photographs of other classes that are called the trigger's when they carry it."""
    others = photographs.part(photographs.labels != trigger.target)
    marked = trigger.apply(others.pixels.float() / 255, generator(0, "success"))
    return float((said(model, marked, device) == trigger.target).float().mean())
