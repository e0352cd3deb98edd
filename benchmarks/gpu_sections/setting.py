"""What every section of a run is given."""

import json
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import nn
from weights import load_network

from feature_vis.networks.structure import layer_shapes

__all__ = ["PACKED", "PHOTOGRAPHS", "ROOT", "NotPossible", "Setting", "end_blocks"]

ROOT = Path(__file__).resolve().parents[2]

PACKED = ROOT / "build" / "packed"  # where weights and photographs are packed, and looked for
PHOTOGRAPHS = "photographs"  # the packed image folder


class NotPossible(Exception):
    """A section has nothing to do here; the message says why."""


@dataclass(frozen=True)
class Setting:
    """`rehearse`: everything small, to try the code. `until`: when the section is ended, seconds since 1970."""

    packed: Path
    out: Path  # what is brought home
    work: Path  # the section's own; removed after it
    device: str
    model: str
    rehearse: bool
    until: float

    def left(self) -> float:
        """Seconds."""
        return self.until - time.time()

    def torch_device(self) -> torch.device:
        return torch.device(self.device)

    def network(self) -> nn.Module:
        """The packed network, in `eval` mode on the CPU."""
        return load_network(self.weights(), self.model)

    def weights(self) -> Path:
        return self.packed / f"{self.model}.pth"

    def photographs(self) -> Path:
        return self.packed / PHOTOGRAPHS

    def size(self, pixels: int, small: int = 64) -> int:
        """Of a picture: as given, or small in a rehearsal."""
        return small if self.rehearse else pixels

    def number(self, wanted: int, few: int) -> int:
        """Of steps, channels or rounds: as wanted, or few in a rehearsal."""
        return few if self.rehearse else wanted

    def to_json(self) -> str:
        return json.dumps(
            {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}
        )

    @classmethod
    def from_json(cls, text: str) -> "Setting":
        given = json.loads(text)
        paths = {field.name: Path(given[field.name]) for field in fields(cls) if field.type is Path}
        return cls(**{**given, **paths})


def end_blocks(model: nn.Module) -> dict[str, int]:
    """The layers of a ResNet that the original chose, and their channels: the end of `layer3` and all of `layer4`."""
    third, fourth = (len(list(model.get_submodule(name).children())) for name in ("layer3", "layer4"))
    names = [f"layer3.{third - 1}", *(f"layer4.{number}" for number in range(fourth))]
    shapes, _ = layer_shapes(model, names, (64, 64))
    return {name: shapes[name][0][shapes[name][1]] for name in names}
