"""Networks made ready for rendering: two private copies of each, so that the user's own is never touched.

Pictures are optimised against the *fast* copy: it has nothing above the layers that are read, no weight gradients,
batch norm folded into convolutions and channels last in memory, and computes in bfloat16 where the hardware
multiplies it. Finished pictures are measured with the *exact* copy: the network as it is, in float32.
"""

import copy
import functools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from feature_vis.errors import InputError
from feature_vis.evaluation import ReadActivation
from feature_vis.images.colors import normalize
from feature_vis.networks.activations import Activations, activations_of
from feature_vis.networks.batch_norm_folding import fold_batch_norm
from feature_vis.networks.structure import layer_shapes
from feature_vis.objectives import Objective, Objectives, reads, terms

__all__ = ["PreparedNetworks", "find_problems", "prepared_networks"]


@dataclass(frozen=True)
class _Network:
    """A network and the form in which it takes its input."""

    activations: Activations
    dtype: torch.dtype = torch.float32
    memory_format: torch.memory_format = torch.contiguous_format

    def __call__(self, inputs: Tensor) -> dict[str, Tensor]:
        return self.activations(inputs.to(self.dtype).contiguous(memory_format=self.memory_format))


@dataclass(frozen=True)
class PreparedNetworks:
    """The networks that some objectives read, on a device.

    Both methods take pictures, (B, C, H, W) in [0, 1], and return a function that reads their activations, in the
    networks' type.
    """

    fast: dict[Objectives, _Network]
    exact: dict[Objectives, _Network]

    def fast_activations(self, pictures: Tensor) -> ReadActivation:
        """As pictures are optimised; before the last ReLU where the recipe says so and the reader wants it."""
        return _reader(self.fast, pictures)

    def exact_activations(self, pictures: Tensor) -> ReadActivation:
        """As the network puts them out."""
        return _reader(self.exact, pictures)


def _reader(networks: dict[Objectives, _Network], pictures: Tensor) -> ReadActivation:
    @functools.cache  # each network runs once a batch, however many terms read it
    def activations(source: Objectives) -> dict[str, Tensor]:
        return networks[source](normalize(pictures, source.mean, source.std))

    @functools.cache
    def after_relu(source: Objectives, layer: str) -> Tensor:
        return networks[source].activations.after_relu(layer, activations(source)[layer])

    return lambda source, layer, before: activations(source)[layer] if before else after_relu(source, layer)


@contextmanager
def prepared_networks(
    objectives: Sequence[Objective],
    size: tuple[int, int],
    device: torch.device,
    *,
    before_relu: bool,
    dtype: torch.dtype,
) -> Iterator[PreparedNetworks]:
    """Prepare every network that the objectives read, for pictures (height, width) as the networks see them.

    Raises:
        InputError: what `find_problems` finds, all at once.
    """
    axes, problems = _examine(objectives, size)
    if problems:
        raise InputError("\n".join(problems))
    fast, exact = {}, {}
    with ExitStack() as stack:
        for source, layers in _layers(objectives).items():
            model = copy.deepcopy(source.model).eval().requires_grad_(False).float()
            fast_model = copy.deepcopy(model).cpu()  # before `model` gets hooks, which would be copied too
            model.to(device)
            read = functools.partial(activations_of, layers=layers, axes=axes[source], hook=source.hook)
            exact[source] = _Network(stack.enter_context(read(model)))
            # zeros would not show where two networks differ
            noise = torch.randn(1, len(source.mean), *size, generator=torch.Generator().manual_seed(0))
            if source.hook is None:  # a hook may read anything, so the network must stay as it is
                # on the CPU: a GPU rounds float32 to TF32 in convolutions, which looks like another function
                fold_batch_norm(fast_model, layers, noise)
            fast_model.to(device, dtype)
            activations = stack.enter_context(read(fast_model, before_relu=before_relu))
            fast[source] = _with_channels_last(fast_model, activations, noise.to(device), dtype)
        yield PreparedNetworks(fast, exact)


def _with_channels_last(model: nn.Module, activations: Activations, noise: Tensor, dtype: torch.dtype) -> _Network:
    """Put channels last in memory, which is faster for convolutions, unless the network's `view` fails on it.

    This first run also tells `activations` which layers may pass no gradient.
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


def find_problems(objectives: Sequence[Objective], size: tuple[int, int]) -> list[str]:
    """What is wrong with objectives for pictures of (height, width) as the networks see them, one line each.

    Found are layers, channels and positions that do not exist, and pictures of a size that a network does not take.
    What a `hook` returns is not known in advance.
    """
    return _examine(objectives, size)[1]


def _layers(objectives: Sequence[Objective]) -> dict[Objectives, list[str]]:
    """The layers that are read of each network."""
    layers: dict[Objectives, dict[str, None]] = {}
    for objective in objectives:
        for source, layer in reads(objective):
            layers.setdefault(source, {})[layer] = None
    return {source: list(names) for source, names in layers.items()}


def _examine(
    objectives: Sequence[Objective], size: tuple[int, int]
) -> tuple[dict[Objectives, dict[str, int]], list[str]]:
    """Each layer's channel axis, and every problem."""
    axes: dict[Objectives, dict[str, int]] = {}
    shapes: dict[tuple[Objectives, str], tuple[int, ...]] = {}  # (K, …) of one picture's activation
    problems = []
    for source, layers in _layers(objectives).items():
        axes[source] = {}
        if source.hook is not None:
            continue
        found, refused = layer_shapes(source.model, layers, size, len(source.mean))
        problems += refused
        for layer, (shape, axis) in found.items():
            axes[source][layer] = axis
            shapes[source, layer] = (shape[axis], *(side for i, side in enumerate(shape) if i not in (0, axis)))
    for objective in objectives:
        leaves = list(terms(objective))
        if not leaves:
            problems.append(f"{objective}: an objective of numbers alone reads no network, there is nothing to render")
        known = [leaf for leaf in leaves if all(read in shapes for read in leaf.reads)]
        found_in = [leaf.problem(*(shapes[read] for read in leaf.reads)) for leaf in known]
        problems += [problem for problem in found_in if problem is not None]
    return axes, list(dict.fromkeys(problems))
