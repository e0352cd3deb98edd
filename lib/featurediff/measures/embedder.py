"""What a classifier sees in pictures: their embeddings, and the Gram matrices of its blocks."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from feature_vis.errors import InputError
from feature_vis.images.colors import IMAGENET_MEAN, IMAGENET_STD, normalize
from feature_vis.images.png import channel_of, read_picture, seed_of
from feature_vis.networks.activations import device_of, layer_shapes, picture_size
from featurediff.measures.distance import cosine_similarity, gram_distance, gram_matrix
from featurediff.networks import load_network, load_weights
from featurediff.runtime.progress import progress

__all__ = ["Embedder", "embed_pictures", "find_blocks", "load_embedder"]

# Containers without a meaning of their own; a subclass of one (torchvision has many) is a block again.
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def find_blocks(model: nn.Module, example: Tensor) -> list[str]:
    """Dotted names of a network's blocks, in the order in which a pass of `example`, (B, 3, H, W), leaves them.

    A block is a module with parts that is neither a bare container nor the network itself, puts out (B, C, H, W)
    and lies in no other block: the 16 bottlenecks of ResNet-50. Where there are none (VGG), every Conv2d is one.
    """
    return _blocks(model, _trace(model, example))


class Embedder:
    """A classifier that looks at pictures: embeddings, and Gram matrices of its blocks.

    The embedding is what enters the network's last Linear layer (or Conv2d, where the classifier is one, averaged
    over places): for a ResNet-50 the 2048 values before its last layer. `mean` and `std`: what the network's
    input is normalised by. `blocks`: dotted names, those of `find_blocks` where None. `example`: (1, 3, H, W),
    of a size that the network takes; found where None. The network is kept in `eval` mode.

    Raises:
        InputError: no last layer; blocks that do not exist, are not run, or put out something else than maps.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        blocks: Sequence[str] | None = None,
        example: Tensor | None = None,
    ) -> None:
        self.model = model
        self.mean, self.std = tuple(mean), tuple(std)
        if example is None:
            size = picture_size(model)
            example = torch.zeros(1, 3, size, size)
        left = _trace(model, example)
        modules = dict(model.named_modules())
        heads = [name for name in left if isinstance(modules[name], nn.Linear | nn.Conv2d)]
        if not heads:
            raise InputError(f"{type(model).__name__} has no linear or convolution layer to read an embedding before")
        self.head = heads[-1]
        self.blocks = _blocks(model, left) if blocks is None else list(blocks)
        for name in self.blocks:
            if left.get(name) != 4:
                why = "puts out no (B, C, H, W)" if name in left else "does not exist or is not run"
                raise InputError(f"Gram distances: the block {name!r} of the embedding network {why}")
        shapes, _ = layer_shapes(model, self.blocks, (example.shape[2], example.shape[3]))
        self._axes = {name: axis for name, (_, axis) in shapes.items()}  # Swin's channels come last

    def __call__(self, pictures: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Pictures, (B, 3, H, W) in [0, 1] -> embeddings (B, D), and each block's Gram matrices (B, C, C).

        All blocks' matrices at once are large (ResNet-50: 80 MB a picture); `distances` does not hold them.
        """
        grams: dict[str, Tensor] = {}
        embedding = self._pass(pictures, lambda name, maps: grams.__setitem__(name, gram_matrix(maps)))
        return embedding, {name: grams[name] for name in self.blocks}

    def embed(self, pictures: Tensor) -> Tensor:
        """Pictures, (B, 3, H, W) in [0, 1] -> embeddings (B, D) alone."""
        return self._pass(pictures, lambda _name, _maps: None)

    def distances(self, first: Tensor, second: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Pictures x pictures, (B, 3, H, W) in [0, 1] -> cosine (B,), and each block's Gram distance (B,).

        Two passes of one shape, so that equal pictures give equal values to the last bit; in one joint batch they
        need not. The first pass keeps feature maps, the second compares, two Gram matrices at a time.
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

    def _pass(self, pictures: Tensor, look: Callable[[str, Tensor], None]) -> Tensor:
        """One forward pass; `look(block, maps)` is called while they are fresh. Returns the embeddings, (B, D)."""
        if pictures.dim() != 4 or pictures.shape[1] != 3 or not pictures.is_floating_point():
            raise InputError(
                f"pictures must be (B, 3, H, W) in [0, 1], not {tuple(pictures.shape)} of {pictures.dtype}"
            )
        entered: list[Tensor] = []

        def leave(name: str, _inputs: Any, output: Any) -> None:
            if name in self.blocks:
                look(name, output.movedim(self._axes[name], 1))

        def head(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            entered.append(inputs[0].clone())

        handle = self.model.get_submodule(self.head).register_forward_pre_hook(head)
        try:
            batch = normalize(pictures.to(device_of(self.model)), self.mean, self.std)
            with _leaving(self.model, self.blocks, leave), torch.no_grad():
                self.model.eval()(batch)
        finally:
            handle.remove()
        last = entered[-1]
        return last.mean((2, 3)) if last.dim() == 4 else last.flatten(1)  # (B, D)


@contextmanager
def _leaving(model: nn.Module, names: Iterable[str], hook: Callable[[str, Any, Any], None]) -> Iterator[None]:
    """Call `hook(name, inputs, output)` whenever one of the modules is left; the hooks are gone afterwards."""
    handles = []
    try:
        for name in names:
            module = model.get_submodule(name)
            handles.append(module.register_forward_hook(lambda _m, i, o, name=name: hook(name, i, o)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _trace(model: nn.Module, example: Tensor) -> dict[str, int]:
    """Module name -> dimensions of its output (0 where that is no tensor), in the order the modules are left."""
    left: dict[str, int] = {}

    def leave(name: str, _inputs: Any, output: Any) -> None:
        left[name] = output.dim() if isinstance(output, Tensor) else 0

    with _leaving(model, [name for name, _ in model.named_modules()], leave), torch.no_grad():
        model.eval()(example.to(device_of(model)))
    return left


def _blocks(model: nn.Module, left: dict[str, int]) -> list[str]:
    modules = dict(model.named_modules())
    maps = [name for name, dimensions in left.items() if name and dimensions == 4]
    # list(): an empty Sequential among the parts is false by itself
    able = {name for name in maps if list(modules[name].children()) and type(modules[name]) not in _CONTAINERS}
    outermost = [name for name in maps if name in able and not any(name.startswith(f"{other}.") for other in able)]
    return outermost or [name for name in maps if isinstance(modules[name], nn.Conv2d)]


def load_embedder(settings: dict[str, Any], network_file: str | None, device: torch.device) -> Embedder:
    """The embedder of the config: one of the experiment's networks, or torchvision's by name with weights.

    A file of weights may lack the head, as those of DINO do: an embedding is what enters it.
    """
    if network_file is not None:
        network = load_network(network_file)
    else:
        network = load_weights(settings["model"], settings["weights"], headless=True)
    return Embedder(network.module().to(device))


def embed_pictures(embedder: Embedder, paths: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embed a layer's pictures of every seed: channels (K,), seeds (S,), embeddings (K, S, D) float32.

    Pictures pass in batches by channel, then seed, so that equal pictures of two networks, in equal places, get equal
    embeddings to the last bit.
    """
    by_place = {(channel_of(path), seed_of(path)): path for path in paths}
    channels, seeds = (sorted(set(numbers)) for numbers in zip(*by_place, strict=True))
    found: list[torch.Tensor] = []
    with progress(len(paths), "embedding", "img") as advance:
        for batch in _batches(by_place, channels, seeds):
            found += embedder.embed(batch)
            advance(len(batch))
    stacked = torch.stack(found).float().cpu().numpy().reshape(len(channels), len(seeds), -1)  # (K, S, D)
    return np.array(channels), np.array(seeds), stacked


def _batches(
    by_place: dict[tuple[int, int], str], channels: Sequence[int], seeds: Sequence[int], size: int = 8
) -> Iterator[torch.Tensor]:
    """Pictures of one size at a time, (B, 3, H, W) in [0, 1]."""
    waiting: list[torch.Tensor] = []
    for channel in channels:
        for seed in seeds:
            picture = torch.tensor(read_picture(by_place[channel, seed])[0]).permute(2, 0, 1).float() / 255
            if waiting and (len(waiting) == size or waiting[0].shape != picture.shape):
                yield torch.stack(waiting)
                waiting = []
            waiting.append(picture)
    yield torch.stack(waiting)
