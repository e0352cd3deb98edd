"""The network of a benchmark: from a state dict's file, or by torchvision's name of its weights."""

from pathlib import Path

from torch import nn

from feature_vis.networks.models import build, load_file, load_state

__all__ = ["load_network"]


def load_network(weights: str | Path, name: str = "resnet50") -> nn.Module:
    """`weights`: a file, in which numbers may have half precision, or a name such as IMAGENET1K_V2."""
    if Path(weights).is_file():
        return load_state(name, load_file(weights), weights)
    return build(name, weights=str(weights))
