"""Pictures as a classifier sees them: their embeddings, and the Gram matrices of its blocks."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from feature_vis.errors import InputError
from feature_vis.images.batches import picture_batches
from feature_vis.images.colors import normalize
from feature_vis.images.png import channel_of, read_picture, seed_of
from feature_vis.networks.activations import device_of
from feature_vis.networks.hooks import hooked
from feature_vis.networks.structure import layer_shapes, picture_size
from featurediff.measures.distance import cosine_similarity, gram_distance, gram_matrix
from featurediff.networks import load_network, load_weights
from featurediff.runtime.progress import progress

__all__ = ["Embedder", "embed_pictures", "load_embedder"]

_BATCH = 8

# Containers without a meaning of their own. A subclass of one (torchvision has many) counts as a block again.
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


class Embedder:
    """A classifier that embeds pictures, and computes Gram matrices of its blocks.

    An embedding is what enters the network's last Linear layer: for a ResNet-50 the 2048 values before its classifier.
    If the classifier is a Conv2d, it is averaged over places. Pictures are normalised as for ImageNet. The network is
    kept in `eval` mode.

    `blocks`: dotted names of modules that put out maps, (B, C, H, W). If None, every module with parts that puts out
    maps, that is neither a bare container nor the network itself, and that lies in no other block: the 16 bottlenecks
    of a ResNet-50. In a network without such modules (VGG) every Conv2d is a block.

    Raises:
        InputError: no last layer, or blocks that do not exist, are not run, or do not put out maps.
    """

    def __init__(self, model: nn.Module, *, blocks: Sequence[str] | None = None) -> None:
        self.model = model.eval()
        size = picture_size(model)
        dimensions = _output_dimensions(model, size)
        modules = dict(model.named_modules())
        heads = [name for name in dimensions if isinstance(modules[name], nn.Linear | nn.Conv2d)]
        if not heads:
            raise InputError(f"{type(model).__name__} has no linear or convolution layer to read an embedding before")
        self.head = heads[-1]
        self.blocks = _find_blocks(model, dimensions) if blocks is None else list(blocks)
        for name in self.blocks:
            if dimensions.get(name) != 4:
                why = "puts out no (B, C, H, W)" if name in dimensions else "does not exist or is not run"
                raise InputError(f"Gram distances: the block {name!r} of the embedding network {why}")
        shapes, _ = layer_shapes(model, self.blocks, (size, size))
        self._axes = {name: axis for name, (_, axis) in shapes.items()}  # Swin's channels come last

    def __call__(self, pictures: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Pictures, (B, 3, H, W) in [0, 1] -> embeddings, (B, D), and each block's Gram matrices, (B, C, C).

        All Gram matrices together are large (ResNet-50: 80 MB a picture); `distances` does not hold them at once.
        """
        grams: dict[str, Tensor] = {}
        embedding = self._pass(pictures, lambda name, maps: grams.__setitem__(name, gram_matrix(maps)))
        return embedding, {name: grams[name] for name in self.blocks}

    def embed(self, pictures: Tensor) -> Tensor:
        """Pictures, (B, 3, H, W) in [0, 1] -> embeddings, (B, D), alone."""
        return self._pass(pictures, None)

    def distances(self, first: Tensor, second: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Two batches of pictures, (B, 3, H, W) in [0, 1] -> cosines, (B,), and each block's Gram distances, (B,).

        Each batch has a pass of its own, so that equal pictures give equal values to the last bit; in one joint batch
        they might not. The first pass keeps the maps, the second compares two Gram matrices at a time.
        """
        kept: dict[str, Tensor] = {}
        grams: dict[str, Tensor] = {}

        def keep(name: str, maps: Tensor) -> None:
            kept[name] = maps.clone()  # a ReLU in place may overwrite the maps

        def compare(name: str, maps: Tensor) -> None:
            pairs = zip(kept.pop(name).split(1), maps.split(1), strict=True)  # each (1, C, H, W)
            grams[name] = torch.cat([gram_distance(gram_matrix(a), gram_matrix(b)) for a, b in pairs])

        embeddings = self._pass(first, keep), self._pass(second, compare)
        return cosine_similarity(*embeddings), {name: grams[name] for name in self.blocks}

    def _pass(self, pictures: Tensor, look: Callable[[str, Tensor], None] | None) -> Tensor:
        """One forward pass; `look(block, maps)` is called as soon as maps are there. Returns the embeddings, (B, D)."""
        if pictures.dim() != 4 or pictures.shape[1] != 3 or not pictures.is_floating_point():
            raise InputError(
                f"pictures must be (B, 3, H, W) in [0, 1], not {tuple(pictures.shape)} of {pictures.dtype}"
            )
        entered: list[Tensor] = []

        def enter_head(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            entered.append(inputs[0].clone())

        def leave(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
            return lambda _module, _inputs, output: look(name, output.movedim(self._axes[name], 1)) if look else None

        inputs = normalize(pictures.to(device_of(self.model)))
        hooks = {name: leave(name) for name in self.blocks}
        with hooked(self.model, after=hooks, before={self.head: enter_head}), torch.no_grad():
            self.model(inputs.contiguous())  # the memory layout decides the last bits
        last = entered[-1]
        return last.mean((2, 3)) if last.dim() == 4 else last.flatten(1)  # (B, D)


def _output_dimensions(model: nn.Module, size: int) -> dict[str, int]:
    """Module name -> number of dimensions of its output (0 for no tensor), in the order in which modules finish."""
    found: dict[str, int] = {}

    def leave(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            found[name] = output.dim() if isinstance(output, Tensor) else 0

        return hook

    with hooked(model, after={name: leave(name) for name, _ in model.named_modules()}), torch.no_grad():
        model(torch.zeros(1, 3, size, size, device=device_of(model)))
    return found


def _find_blocks(model: nn.Module, dimensions: dict[str, int]) -> list[str]:
    modules = dict(model.named_modules())
    maps = [name for name, count in dimensions.items() if name and count == 4]
    # list(): an empty Sequential among the parts is false by itself
    able = {name for name in maps if list(modules[name].children()) and type(modules[name]) not in _CONTAINERS}
    outermost = [name for name in maps if name in able and not any(name.startswith(f"{other}.") for other in able)]
    return outermost or [name for name in maps if isinstance(modules[name], nn.Conv2d)]


def load_embedder(settings: dict[str, Any], network_file: str | None, device: torch.device) -> Embedder:
    """The embedder that the config names: one of the experiment's networks, or an architecture with weights.

    A file of weights may lack the head, like those of DINO: an embedding is what enters the head.
    """
    if network_file is not None:
        network = load_network(network_file)
    else:
        network = load_weights(settings["model"], settings["weights"], headless=True)
    return Embedder(network.module().to(device))


def embed_pictures(embedder: Embedder, paths: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embed a layer's pictures of every seed: channels (K,), seeds (S,), embeddings (K, S, D) float32.

    Batches go through the pictures by channel, then by seed. Equal pictures of two networks thus stand in equal places
    of equal batches, and get equal embeddings to the last bit.
    """
    by_place = {(channel_of(path), seed_of(path)): path for path in paths}
    channels, seeds = (sorted(set(numbers)) for numbers in zip(*by_place, strict=True))
    groups = ([read_picture(by_place[channel, seed])[0]] for channel in channels for seed in seeds)
    found: list[Tensor] = []
    with progress(len(paths), "embedding", "img") as advance:
        for (batch,) in picture_batches(groups, _BATCH):
            found += embedder.embed(batch)
            advance(len(batch))
    stacked = torch.stack(found).float().cpu().numpy().reshape(len(channels), len(seeds), -1)  # (K, S, D)
    return np.array(channels), np.array(seeds), stacked
