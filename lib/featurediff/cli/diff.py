"""The config that compares two checkpoints of one architecture."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from torch import Tensor, nn

from feature_vis.errors import InputError
from feature_vis.files import write_text
from feature_vis.networks.names import is_weights_name
from feature_vis.networks.structure import picture_size
from feature_vis.networks.user_module import is_user_module
from featurediff.cli.init import blocks, network_name
from featurediff.cli.render import choose_device
from featurediff.data.split import make_split
from featurediff.data.torch_dataset import PictureDataset, photograph_batches, val_transform
from featurediff.measures.layer_selection import activations_moved, most_moved_layers, sample_channels, weights_moved
from featurediff.networks import Network, load_weights

__all__ = ["Pair", "load_pair", "resize_for", "write_diff_config"]

_LAYERS = 2
_PHOTOGRAPHS = 64  # that layers and channels are chosen by; all of them probe the networks later
_BATCH = 16
_HEADER = """\
# Two checkpoints, compared by `featurediff diff`. After a change, `featurediff run` in this folder makes what the
# change asks for and keeps the rest.
"""


@dataclass(frozen=True)
class Pair:
    """What is compared and how."""

    model: str  # the architecture of both
    base: str  # a file of weights, or the library's name of some; so is `tuned`
    tuned: str
    probe: Path | None  # folder of photographs
    layers: tuple[str, ...]  # `layer` or `layer=channels`; layers are chosen if there are none
    size: int | None  # pixels of a picture; the architecture's own if None
    steps: int  # of the optimizer
    seeds: int  # pictures of every channel
    channels: int  # of every layer whose channels are not named


def write_diff_config(pair: Pair, folder: Path) -> list[str]:
    """Write `config.yaml` into the folder; returns lines about what was chosen, none if the two do not differ.

    Raises:
        InputError: weights that do not fit, layers that do not exist, or another config in the folder.
    """
    base, tuned = (network.module() for network in load_pair(pair.model, pair.base, pair.tuned))
    size = pair.size or picture_size(base)
    chosen, lines = _choose(pair, base, tuned, size)
    if not chosen:
        return []
    text = _HEADER + yaml.safe_dump(_config(pair, chosen, size), sort_keys=False, width=120, default_flow_style=None)
    file = folder / "config.yaml"
    if file.exists() and file.read_text(encoding="utf-8") != text:
        raise InputError(f"{file} exists and is another config: name another folder by --out")
    write_text(file, text)
    return [*lines, f"{file} is written"]


def load_pair(model: str, base: str, tuned: str) -> tuple[Network, Network]:
    """Both networks, from files of weights or the library's names of some.

    Raises:
        InputError: what is wrong with each.
    """
    networks, mistakes = [], []
    for weights in (base, tuned):
        try:
            networks.append(load_weights(model, weights))
        except InputError as error:
            mistakes.append(str(error))
    if mistakes:
        raise InputError("\n".join(dict.fromkeys(mistakes)))
    return networks[0], networks[1]


def _choose(pair: Pair, base: nn.Module, tuned: nn.Module, size: int) -> tuple[dict[str, Any], list[str]]:
    """Channels by layer, and why."""
    named = {layer: channels for layer, _, channels in (text.strip().partition("=") for text in pair.layers)}
    if named and all(named.values()):
        return named, []
    layers = list(named) or blocks(base)
    if pair.probe is None:
        moved, what = weights_moved(base, tuned, layers, (size, size)), "weights"
    else:
        device = choose_device("auto")
        photographs = (batch.to(device) for batch in _photographs(pair.probe, size))
        moved = activations_moved(base.to(device), tuned.to(device), layers, photographs, (size, size))
        what = "activations"
    chosen = list(named) or most_moved_layers(moved, _LAYERS)
    lines = [f"{layer}: the {what} of its channels moved by {moved[layer].mean():.2g} in the mean" for layer in chosen]
    return {layer: named.get(layer) or sample_channels(moved[layer], pair.channels) for layer in chosen}, lines


def _photographs(folder: Path, size: int) -> Iterator[Tensor]:
    """Some of them, from all over the folder, (B, 3, size, size) normalised."""
    table, _ = make_split("unlabelled", folder, val_fraction=0.5, seed=0, on_bad_image="skip")
    places = np.linspace(0, len(table) - 1, min(_PHOTOGRAPHS, len(table))).round().astype(int)
    some = PictureDataset(folder, table.iloc[places], "val", val_transform(size, resize=resize_for(size)))
    return photograph_batches([some], _BATCH)


def resize_for(size: int) -> int:
    """Pixels of a photograph's shorter side before the crop, as 256 are to 224."""
    return round(size * 256 / 224)


def _config(pair: Pair, chosen: dict[str, Any], size: int) -> dict[str, Any]:
    # a library's name for weights would be read as the name of the network itself
    name = "tuned" if is_weights_name(pair.tuned) else network_name(Path(pair.tuned).stem)
    own = is_user_module(pair.model) and not pair.model.startswith("/")
    model = f"{Path.cwd()}/{pair.model}" if own else pair.model  # the config lies in another folder
    probe: dict[str, Any] = {}
    data: dict[str, Any] = {}
    if pair.probe is not None:
        data = {"photographs": {"format": "unlabelled", "root": str(pair.probe.resolve()), "on_bad_image": "skip"}}
        probe = {"probe": {"data": "photographs", "size": size, "resize": resize_for(size)}}
    return {
        "seeds": pair.seeds,
        **({"data": data} if data else {}),
        "networks": {
            "base": {"model": model, "weights": _weights(pair.base)},
            name: {"weights": _weights(pair.tuned), **({"model": model} if is_weights_name(pair.tuned) else {})},
        },
        "visualize": {
            "recipe": {"size": size, "steps": pair.steps},
            "layers": {layer: {"channels": channels} for layer, channels in chosen.items()},
        },
        "compare": {"embedder": {"network": "base"}, **probe},
    }


def _weights(weights: str) -> str:
    return weights if is_weights_name(weights) else str(Path(weights).expanduser().resolve())
