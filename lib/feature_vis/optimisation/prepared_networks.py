"""Networks made ready for rendering: two private copies of each, so that the user's own is never touched.

The *fast* copy is what pictures are optimised against: nothing above the targets, no weight gradients, batch norm
folded, channels last in memory, in bfloat16 where the hardware multiplies it. The *plain* copy is the network as it
is, in float32: what a finished picture is measured with.
"""

import copy
import functools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from feature_vis.errors import InputError
from feature_vis.images.colors import normalize
from feature_vis.networks.activations import Activations, activations_of, layer_shapes
from feature_vis.networks.batch_norm_folding import fold_batch_norm
from feature_vis.objectives import Objective, Objectives, Read, terms

__all__ = ["Prepared", "prepare", "problems"]


@dataclass(frozen=True)
class _Network:
    """A network and the form in which it wants its input."""

    activations: Activations
    dtype: torch.dtype = torch.float32
    memory_format: torch.memory_format = torch.contiguous_format

    def __call__(self, inputs: Tensor) -> dict[str, Tensor]:
        return self.activations(inputs.to(self.dtype).contiguous(memory_format=self.memory_format))


class Prepared:
    """The networks that some objectives read, on a device. Both methods give a `read` for one batch of pictures."""

    def __init__(self, fast: dict[Objectives, _Network], plain: dict[Objectives, _Network]) -> None:
        self.fast = fast
        self.plain = plain

    def read_fast(self, pictures: Tensor) -> Read:
        """Of pictures, (B, C, H, W) in [0, 1]: activations before the last ReLU where the recipe says so, float32."""
        return _reader(self.fast, pictures)

    def read_plain(self, pictures: Tensor) -> Read:
        """The same, exactly as the network puts them out."""
        return _reader(self.plain, pictures)


def _reader(networks: dict[Objectives, _Network], pictures: Tensor) -> Read:
    answered: dict[Objectives, dict[str, Tensor]] = {}

    def read(source: Objectives, layer: str) -> Tensor:
        if source not in answered:  # each network runs once a batch, however many terms read it
            answered[source] = networks[source](normalize(pictures, source.mean, source.std))
        return answered[source][layer].float()

    return read


@contextmanager
def prepare(
    objectives: Sequence[Objective],
    size: tuple[int, int],
    device: torch.device,
    *,
    before_relu: bool,
    dtype: torch.dtype,
) -> Iterator[Prepared]:
    """Make ready every network that the objectives read, for pictures (height, width) as the networks see them.

    Raises:
        InputError: the `problems` of the objectives, all at once.
    """
    axes, wrong = _look(objectives, size)
    if wrong:
        raise InputError("\n".join(wrong))
    fast, plain = {}, {}
    with ExitStack() as stack:
        for source, layers in _layers(objectives).items():
            model = copy.deepcopy(source.model).eval().requires_grad_(False).float().to(device)
            quick = copy.deepcopy(model)  # before hooks are on it, which would be copied too
            read = functools.partial(activations_of, layers=layers, axes=axes[source], hook=source.hook)
            plain[source] = _Network(stack.enter_context(read(model)))
            # zeros would not show where two networks differ
            noise = torch.randn(1, len(source.mean), *size, generator=torch.Generator().manual_seed(0)).to(device)
            if source.hook is None:  # a hook reads whatever it likes: leave the network as it is
                fold_batch_norm(quick, layers, noise)
            quick.to(dtype)
            fast[source] = _tried(quick, stack.enter_context(read(quick, before_relu=before_relu)), noise, dtype)
        yield Prepared(fast, plain)


def _tried(model: nn.Module, activations: Activations, noise: Tensor, dtype: torch.dtype) -> _Network:
    """Channels last in memory, which convolutions want, unless the network takes a `view` that cannot bear it.

    The trial also tells `activations` which layers may get stuck, before the first step.
    """
    network = _Network(activations, dtype, torch.channels_last)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.no_grad():
        try:
            network(noise)
        except RuntimeError:
            network = _Network(activations, dtype)
            model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
            network(noise)
    return network


def problems(objectives: Sequence[Objective], size: tuple[int, int]) -> list[str]:
    """What is wrong with objectives for pictures of (height, width) as the networks see them, a line each.

    Layers, channels and positions that do not exist, pictures of a size that a network does not take. What a
    `hook` will give is not known before it does.
    """
    return _look(objectives, size)[1]


def _layers(objectives: Sequence[Objective]) -> dict[Objectives, list[str]]:
    """What is read of each network."""
    layers: dict[Objectives, dict[str, None]] = {}
    for objective in objectives:
        for term in terms(objective):
            layers.setdefault(term.source, {})[term.layer] = None
    return {source: list(names) for source, names in layers.items()}


def _look(objectives: Sequence[Objective], size: tuple[int, int]) -> tuple[dict[Objectives, dict[str, int]], list[str]]:
    """Each layer's channel axis, and every mistake."""
    axes: dict[Objectives, dict[str, int]] = {}
    shapes: dict[tuple[Objectives, str], tuple[int, ...]] = {}  # (K, …) of one picture's activation
    wrong = []
    for source, layers in _layers(objectives).items():
        axes[source] = {}
        if source.hook is not None:
            continue
        found, refused = layer_shapes(source.model, layers, size, len(source.mean))
        wrong += refused
        for layer, (shape, axis) in found.items():
            axes[source][layer] = axis
            shapes[source, layer] = (shape[axis], *(side for i, side in enumerate(shape) if i not in (0, axis)))
    for objective in objectives:
        leaves = list(terms(objective))
        if not leaves:
            wrong.append(f"{objective}: an objective of numbers alone reads no network, there is nothing to render")
        seen = [(leaf, shapes[leaf.source, leaf.layer]) for leaf in leaves if (leaf.source, leaf.layer) in shapes]
        wrong += [problem for leaf, shape in seen if (problem := leaf.problem(shape)) is not None]
    return axes, list(dict.fromkeys(wrong))
