"""Networks made ready for rendering: two private copies of each, so that the user's own is never touched.

The *fast* copy is what pictures are optimised against: nothing above the targets, no weight gradients, batch norm
folded, channels last in memory, in bfloat16 where the hardware multiplies it. The *plain* copy is the network as it
is, in float32: what a finished picture is measured with.
"""

import copy
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from feature_vis.activations import Activations, activations_of, layer_shapes
from feature_vis.colors import normalize
from feature_vis.errors import InputError
from feature_vis.folding import fold_batch_norm
from feature_vis.objectives import Objective, Objectives, Read, terms

__all__ = ["Prepared", "prepare", "resolve_precision"]


def resolve_precision(name: str, device: torch.device) -> torch.dtype:
    """`auto`, `float32` or `bfloat16` -> the type that networks compute in while pictures are optimised."""
    if name != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
    return torch.bfloat16 if _multiplies_bfloat16(device) else torch.float32


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu" and sys.platform == "linux":
        # torch has no public question for this; where it does not answer, float32 is never wrong
        answers = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
        return any(answer() for answer in answers if answer is not None)
    return False


class Prepared:
    """The networks that some objectives read, on a device. Both methods give a `read` for one batch of pictures."""

    def __init__(
        self, fast: dict[Objectives, Activations], plain: dict[Objectives, Activations], dtype: torch.dtype
    ) -> None:
        self.fast = fast
        self.plain = plain
        self._dtype = dtype

    def read_fast(self, pictures: Tensor) -> Read:
        """Of pictures, (B, C, H, W) in [0, 1]: activations before the last ReLU where the recipe says so, float32."""
        return _reader(self.fast, pictures, self._dtype)

    def read_plain(self, pictures: Tensor) -> Read:
        """The same, exactly as the network puts them out."""
        return _reader(self.plain, pictures, torch.float32)


def _reader(networks: dict[Objectives, Activations], pictures: Tensor, dtype: torch.dtype) -> Read:
    answered: dict[Objectives, dict[str, Tensor]] = {}

    def read(source: Objectives, layer: str) -> Tensor:
        if source not in answered:  # each network runs once a batch, however many terms read it
            inputs = normalize(pictures, source.mean, source.std)
            answered[source] = networks[source](inputs.to(dtype).contiguous(memory_format=torch.channels_last))
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
        InputError: layers or channels that do not exist, pictures too small: all at once.
    """
    layers: dict[Objectives, dict[str, None]] = {}
    for objective in objectives:
        for term in terms(objective):
            layers.setdefault(term.source, {})[term.layer] = None
    if not layers:
        raise InputError("an objective of numbers alone reads no network: there is nothing to render")
    axes = _check(objectives, {source: list(names) for source, names in layers.items()}, size)
    fast, plain = {}, {}
    with ExitStack() as stack:
        for source, names in layers.items():
            model = _frozen_copy(source.model, device)
            quick = _fast_copy(model, source, list(names), size, device).to(dtype)
            plain[source] = stack.enter_context(activations_of(model, names, axes=axes[source], hook=source.hook))
            fast[source] = stack.enter_context(
                activations_of(quick, names, before_relu=before_relu, axes=axes[source], hook=source.hook)
            )
        yield Prepared(fast, plain, dtype)


def _frozen_copy(model: nn.Module, device: torch.device) -> nn.Module:
    return copy.deepcopy(model).eval().requires_grad_(False).to(device)


def _fast_copy(
    model: nn.Module, source: Objectives, layers: list[str], size: tuple[int, int], device: torch.device
) -> nn.Module:
    quick = copy.deepcopy(model)
    if source.hook is None:  # a hook reads whatever it likes: leave the network as it is
        fold_batch_norm(quick, layers, torch.zeros(1, len(source.mean), *size, device=device))
    return quick.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _check(
    objectives: Sequence[Objective], layers: dict[Objectives, list[str]], size: tuple[int, int]
) -> dict[Objectives, dict[str, int]]:
    """Each layer's channel axis; every mistake in one error."""
    axes: dict[Objectives, dict[str, int]] = {}
    counts: dict[tuple[Objectives, str], int] = {}
    problems = []
    for source, names in layers.items():
        if source.hook is not None:
            axes[source] = {}
            continue
        try:
            shapes = layer_shapes(source.model, names, size, len(source.mean))
        except InputError as error:
            problems.append(str(error))
            continue
        axes[source] = {layer: axis for layer, (_, axis) in shapes.items()}
        counts |= {(source, layer): shape[axis] for layer, (shape, axis) in shapes.items() if len(shape) > 1}
    wrong: dict[tuple[Objectives, str], set[int]] = {}
    for objective in objectives:
        for term in terms(objective):
            channel, place = getattr(term, "channel", None), (term.source, term.layer)
            if channel is not None and place in counts and not 0 <= channel < counts[place]:
                wrong.setdefault(place, set()).add(channel)
    for place, channels in wrong.items():
        named = ", ".join(str(channel) for channel in sorted(channels))
        problems.append(
            f"{place[1] or 'the output'} has no channel {named}: it has {counts[place]}, 0 to {counts[place] - 1}"
        )
    if problems:
        raise InputError("\n".join(problems))
    return axes
