"""How far two pictures are from each other in a network's eyes.

Two measures: the cosine between the embeddings of the pictures (what enters the network's last layer), and the
distance between the Gram matrices of each block's feature maps (texture, regardless of place).

Sources: Chobanyan, transfer-visualization `transfer/compare_features.py` and `transfer/distance.py`;
Gatys et al. 2016, "Image Style Transfer Using Convolutional Neural Networks", equation 3.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn

from feature_vis.activations import layer_shapes, picture_size
from feature_vis.colors import IMAGENET_MEAN, IMAGENET_STD, normalize
from feature_vis.errors import InputError

__all__ = [
    "Embedder",
    "compare_layer",
    "compare_pictures",
    "cosine_similarity",
    "find_blocks",
    "gram_distance",
    "gram_matrix",
    "most_different",
    "most_similar",
    "pair_picture",
]

Picture = np.ndarray | Tensor
Row = dict[str, float]

# Containers without a meaning of their own; a subclass of one (torchvision has many) is a block again.
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def cosine_similarity(a: Tensor, b: Tensor) -> Tensor:
    """Cosine of the angle between rows, (N, D) x (N, D) -> (N,) float64 in [-1, 1]; NaN where a row is zero.

    Equal rows give exactly 1.
    """
    a, b = (rows.double() / rows.double().abs().amax(1, keepdim=True) for rows in (a, b))  # 0 / 0 is NaN
    # sqrt(s * s) is s without rounding, sqrt(s) * sqrt(s) is not: equal rows stay exactly 1
    return ((a * b).sum(1) / ((a * a).sum(1) * (b * b).sum(1)).sqrt()).clamp(-1, 1)


def gram_matrix(features: Tensor) -> Tensor:
    """Products of channels summed over places, (B, C, H, W) -> (B, C, C), divided by C * H * W.

    Gatys et al. 2016, equation 3, leave the matrix itself undivided and divide the loss by 4 C² (H W)² instead;
    dividing here makes the matrices of layers and pictures of unlike sizes comparable.
    """
    _, channels, height, width = features.shape
    rows = features.flatten(2)  # (B, C, H * W)
    return rows @ rows.transpose(1, 2) / (channels * height * width)


def gram_distance(a: Tensor, b: Tensor) -> Tensor:
    """Frobenius norm of the difference of Gram matrices, (B, C, C) x (B, C, C) -> (B,)."""
    return torch.linalg.matrix_norm(a - b)


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
            batch = normalize(pictures.to(_device(self.model)), self.mean, self.std)
            with _leaving(self.model, self.blocks, leave), torch.no_grad():
                self.model.eval()(batch)
        finally:
            handle.remove()
        last = entered[-1]
        return last.mean((2, 3)) if last.dim() == 4 else last.flatten(1)  # (B, D)


def compare_pictures(embedder: Embedder, pairs: Iterable[tuple[Picture, Picture]], batch: int = 8) -> Iterator[Row]:
    """One row a pair, in order: `cosine`, and `gram_<block>` for every block; one batch of pairs in memory.

    A picture is (H, W, 3) uint8, or (3, H, W) in [0, 1] where it is a tensor. The two of a pair have one size;
    pairs need not.

    Raises:
        InputError: the two pictures of a pair differ in size.
    """
    waiting: list[tuple[Tensor, Tensor]] = []
    for number, (first, second) in enumerate(pairs):
        pair = _as_tensor(first), _as_tensor(second)
        if pair[0].shape != pair[1].shape:
            sizes = " and ".join(f"{tensor.shape[2]}×{tensor.shape[1]}" for tensor in pair)
            raise InputError(f"the pictures of pair {number} differ in size: {sizes} px; render them at one size")
        if waiting and (len(waiting) >= batch or waiting[0][0].shape != pair[0].shape):
            yield from _rows(embedder, waiting)
            waiting = []
        waiting.append(pair)
    if waiting:
        yield from _rows(embedder, waiting)


def compare_layer(
    embedder: Embedder,
    pairs: Iterable[tuple[Picture, Picture]],
    *,
    model: str,
    layer: str,
    channels: Sequence[int],
    bad_base: Collection[int] = (),
    bad_tuned: Collection[int] = (),
    batch: int = 8,
) -> pd.DataFrame:
    """Compare a layer of the base network with the same layer of the network `model`, channel by channel.

    `pairs`: (base's picture, tuned network's picture) for each of `channels`, in their order. `bad_base`,
    `bad_tuned`: channels with a faulty picture. Columns: model, layer, channel, cosine, gram_<block>…, bad_base,
    bad_tuned, and rank: 1 is the most different, ties in the order of channels, empty where either picture is
    faulty or the cosine is not defined. Rows in the order of channels.
    """
    rows = compare_pictures(embedder, pairs, batch)
    table = pd.DataFrame(
        [{"channel": channel, **row} for channel, row in zip(channels, rows, strict=True)],
        columns=["channel", "cosine", *(f"gram_{name}" for name in embedder.blocks)],
    )
    table = table.sort_values("channel", ignore_index=True)
    table.insert(0, "model", model)
    table.insert(1, "layer", layer)
    table["bad_base"] = table["channel"].isin(list(bad_base))
    table["bad_tuned"] = table["channel"].isin(list(bad_tuned))
    sound = table["cosine"].where(~(table["bad_base"] | table["bad_tuned"]))
    table["rank"] = sound.rank(method="first").astype("Int64")
    return table


def most_different(table: pd.DataFrame, k: int) -> pd.DataFrame:
    """The `k` ranked channels of `compare_layer`'s table that differ most, most different first.

    Exactly `k`, or all where fewer are ranked. (The original's `.loc[:k]` gave one more.)
    """
    _check_count(k)
    return table.dropna(subset="rank").sort_values("rank").head(k)


def most_similar(table: pd.DataFrame, k: int) -> pd.DataFrame:
    """The `k` ranked channels of `compare_layer`'s table that differ least, most similar first, ties by channel."""
    _check_count(k)
    return table.dropna(subset="rank").sort_values(["cosine", "channel"], ascending=[False, True]).head(k)


def pair_picture(base: Image.Image, tuned: Image.Image, gap: int = 4) -> Image.Image:
    """The two pictures side by side, base left, on white with `gap` pixels between them."""
    sheet = Image.new("RGB", (base.width + gap + tuned.width, max(base.height, tuned.height)), "white")
    sheet.paste(base.convert("RGB"), (0, 0))
    sheet.paste(tuned.convert("RGB"), (base.width + gap, 0))
    return sheet


def _rows(embedder: Embedder, pairs: list[tuple[Tensor, Tensor]]) -> Iterator[Row]:
    cosine, grams = embedder.distances(*(torch.stack(side) for side in zip(*pairs, strict=True)))
    columns = {"cosine": cosine.tolist()} | {f"gram_{name}": values.tolist() for name, values in grams.items()}
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


def _as_tensor(picture: Picture) -> Tensor:
    """(3, H, W) in [0, 1]."""
    if isinstance(picture, Tensor):
        return picture
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise InputError(f"a picture must be (H, W, 3) uint8, not {picture.shape} of {picture.dtype}")
    return torch.tensor(picture).permute(2, 0, 1).float() / 255


def _check_count(k: int) -> None:
    if k < 0:
        raise InputError(f"the number of pairs must be 0 or above, not {k}")


def _device(model: nn.Module) -> torch.device:
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


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
        model.eval()(example.to(_device(model)))
    return left


def _blocks(model: nn.Module, left: dict[str, int]) -> list[str]:
    modules = dict(model.named_modules())
    maps = [name for name, dimensions in left.items() if name and dimensions == 4]
    # list(): an empty Sequential among the parts is false by itself
    able = {name for name in maps if list(modules[name].children()) and type(modules[name]) not in _CONTAINERS}
    outermost = [name for name in maps if name in able and not any(name.startswith(f"{other}.") for other in able)]
    return outermost or [name for name in maps if isinstance(modules[name], nn.Conv2d)]
