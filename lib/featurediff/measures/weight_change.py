"""How far the filter moved that makes a channel, batch norm included.

A channel is made by the last convolutions or linear layers on the way to it: those from which it is reached
without another one in between, and channel by channel (through batch norm, a ReLU, pooling, an addition, a
concatenation). Where branches are added, each has its filter: in a residual block with a convolution on the
shortcut, the last convolution of the branch and the shortcut's. Not counted are what comes before them, and a
shortcut without weights.

They are found by following a forward pass, not by names. To see where the channels of one module go, some are set
to NaN, and the layer's channels that come out as NaN have them for a source; one pass with a picture for each
binary digit of the channel's number tells every source. Where several channels mix into one (layer norm,
attention, a gate computed from all of them), no single filter makes it.

A batch norm that reads the filter's output directly is folded in (Jacob et al. 2018, section 3.2): training often
moves its scale more than the filter. Other scales are not, such as ConvNeXt's of each block.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from feature_vis.errors import InputError
from feature_vis.networks.activations import activations_of, layer_shapes
from featurediff.measures.distance import cosine_similarity

__all__ = ["COLUMNS", "Maker", "effective_filters", "find_makers", "weight_change"]

_FILTERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)

# name: (unit, meaning)
COLUMNS = {
    "layer": ("", "dotted module name"),
    "channel": ("", "number of the channel in its layer"),
    "weight_change": ("ratio", "|tuned - base| / |base| of the filter, its bias included, batch norm folded in"),
    "weight_cosine": ("-1 to 1", "cosine between the filter of the base and of the tuned network, likewise"),
    "filters": ("", "the modules that the filter is made of: those whose outputs are added to the channel"),
    "reason": ("", "why values of the row are empty"),
}


@dataclass(frozen=True, eq=False)
class Maker:
    """A module whose filters make channels of a layer.

    `sources`: for each of the layer's channels the number of the module's channel that makes it, or -1.
    `norm`: the batch norm that reads the module's output, if any.
    """

    name: str
    norm: str | None
    sources: np.ndarray


def weight_change(
    base: nn.Module, tuned: nn.Module, layers: Collection[str], *, size: tuple[int, int] = (64, 64)
) -> pd.DataFrame:
    """Compare the filters behind each channel of the layers: a row a channel, see `COLUMNS`.

    `size`: height and width of the pictures by which the filters are found, in `base`. Small ones save time; some
    networks, such as vision transformers, take one size only.

    Raises:
        InputError: layers that do not exist or cannot be reached.
    """
    shapes, problems = layer_shapes(base, layers, size)
    if problems:
        raise InputError("\n".join(problems))
    tables = []
    for layer in dict.fromkeys(layers):
        shape, axis = shapes[layer]
        makers, reasons = find_makers(base, layer, axis, size)
        table = _compare(base, tuned, makers, reasons, shape[axis])
        table.insert(0, "layer", layer)
        tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(COLUMNS))


def _compare(base: nn.Module, tuned: nn.Module, makers: list[Maker], reasons: list[str], count: int) -> pd.DataFrame:
    change, cosine = np.full(count, np.nan), np.full(count, np.nan)
    names = [[maker for maker in makers if maker.sources[channel] >= 0] for channel in range(count)]
    # channels with the same makers are compared at once
    for group in {tuple(maker.name for maker in found): found for found in names if found}.values():
        channels = np.array([channel for channel, found in enumerate(names) if found == group])
        if not _alike(base, tuned, group):
            for channel in channels:
                reasons[channel] = "no such filter in the tuned network"
            continue
        before, after = (_filters(model, group, channels) for model in (base, tuned))  # (N, D)
        norms = before.norm(dim=1)
        change[channels] = ((after - before).norm(dim=1) / norms.where(norms > 0, torch.nan)).numpy()
        cosine[channels] = cosine_similarity(before, after).numpy()
        finite = torch.isfinite(before).all(1) & torch.isfinite(after).all(1)
        for channel, whole in zip(channels, finite.tolist(), strict=True):
            if np.isnan(cosine[channel]):
                reasons[channel] = "a filter of zeros" if whole else "not finite"
    return pd.DataFrame(
        {
            "channel": np.arange(count),
            "weight_change": change,
            "weight_cosine": cosine,
            "filters": [" + ".join(maker.name for maker in found) for found in names],
            "reason": reasons,
        }
    )


def _alike(base: nn.Module, tuned: nn.Module, makers: list[Maker]) -> bool:
    """Whether the tuned network has the same filters: of these names, kinds and shapes."""
    others = dict(tuned.named_modules())
    for maker in makers:
        own = base.get_submodule(maker.name)
        other = others.get(maker.name)
        if not isinstance(other, _FILTERS) or type(own) is not type(other) or own.weight.shape != other.weight.shape:
            return False
        if maker.norm is not None and not isinstance(others.get(maker.norm), _BatchNorm):
            return False
    return True


def _filters(model: nn.Module, makers: list[Maker], channels: np.ndarray) -> Tensor:
    """What makes each of the channels: the filters side by side, and the sum of their biases, (N, D + 1)."""
    parts = [effective_filters(model, maker) for maker in makers]
    rows = [torch.from_numpy(maker.sources[channels]) for maker in makers]
    weights = [weight[row] for (weight, _), row in zip(parts, rows, strict=True)]
    bias = torch.stack([bias[row] for (_, bias), row in zip(parts, rows, strict=True)]).sum(0)
    return torch.cat([*weights, bias.unsqueeze(1)], 1)


def effective_filters(model: nn.Module, maker: Maker) -> tuple[Tensor, Tensor]:
    """The module's filters, (K, D), and biases, (K,), in float64, with the batch norm after it folded in."""
    module = model.get_submodule(maker.name)
    assert isinstance(module, _FILTERS)
    weight = module.weight.detach().cpu().double().flatten(1)  # (K, D)
    bias = torch.zeros(len(weight), dtype=torch.float64)
    if module.bias is not None:
        bias = module.bias.detach().cpu().double()
    if maker.norm is None:
        return weight, bias
    norm = model.get_submodule(maker.norm)
    assert isinstance(norm, _BatchNorm)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var.cpu().double() + norm.eps).rsqrt()
    if norm.affine:
        scale = scale * norm.weight.detach().cpu().double()
    bias = (bias - norm.running_mean.cpu().double()) * scale
    if norm.affine:
        bias = bias + norm.bias.detach().cpu().double()
    return weight * scale.unsqueeze(1), bias


def find_makers(model: nn.Module, layer: str, axis: int, size: tuple[int, int]) -> tuple[list[Maker], list[str]]:
    """The modules that make the layer's channels, and for each channel why none does ("" where one does).

    Looked for within the layer; where it has no filters of its own (a ReLU, a pooling), in all that runs before it.
    `axis`: where the layer's channels stand. `size`: of the picture that is followed.
    """
    model.eval()
    inside = [name for name, _ in model.named_modules() if not layer or f"{name}.".startswith(f"{layer}.")]
    own = any(isinstance(model.get_submodule(name), _FILTERS) for name in inside)
    where = inside if own else [name for name, _ in model.named_modules()]
    count, filters, norms = _enter(model, layer, axis, size, where)
    traces = {name: _trace(model, layer, axis, size, name, filters) for name in filters}
    last = {}
    for name, trace in traces.items():
        later = [traces[reader].reached for reader in trace.readers]
        last[name] = trace.reached & ~np.logical_or.reduce([np.zeros(count, bool), *later])
    mixed = np.logical_or.reduce([np.zeros(count, bool), *(last[name] & ~traces[name].single for name in traces)])
    makers = [
        Maker(name, norms.get(name), np.where(last[name] & ~mixed, trace.source, -1))
        for name, trace in traces.items()
        if (last[name] & ~mixed).any()
    ]
    made = np.logical_or.reduce([np.zeros(count, bool), *last.values()])
    reasons = np.where(mixed, "several filters mix into it", np.where(made, "", "no filter makes it"))
    return makers, reasons.tolist()


@dataclass(frozen=True, eq=False)
class _Trace:
    """Where one module's channels go: for each of the layer's channels, (K,), whether it is reached, whether from a
    `single` one, and from which; and the other modules that read the module's output, at whatever distance.
    """

    reached: np.ndarray
    single: np.ndarray
    source: np.ndarray
    readers: set[str]


def _trace(model: nn.Module, layer: str, axis: int, size: tuple[int, int], name: str, filters: list[str]) -> _Trace:
    """Plant NaN in the module's output and see where it comes out.

    For each binary digit of the channel's number there is a picture in which the channels with a 1 are NaN, and one
    for those with a 0; a channel of the layer with a single source is NaN in exactly one of the two. The other
    filters pass no NaN on, but for the last picture, in which all channels are NaN and the readers are found.
    """
    channels = _channels(model.get_submodule(name))
    digits = max(1, (channels - 1).bit_length())
    ones = (torch.arange(channels) >> torch.arange(digits).unsqueeze(1)) % 2 == 1  # (digits, channels)
    patterns = torch.cat([ones, ~ones, torch.ones(1, channels, dtype=torch.bool)])  # (pictures, channels)
    readers: set[str] = set()

    def plant(module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        rows = _for_each_row(patterns, output)  # (rows, channels)
        between = [1] * (output.dim() - 2)
        shape = (len(rows), *between, channels) if isinstance(module, nn.Linear) else (len(rows), channels, *between)
        return output.masked_fill(rows.view(shape).to(output.device), torch.nan)

    def stop(other: str) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
            through = _for_each_row(torch.arange(len(patterns)) == len(patterns) - 1, output).to(output.device)
            if bool(output[through].isnan().any()):
                readers.add(other)
            return output.where(through.view(-1, *[1] * (output.dim() - 1)), output.nan_to_num())

        return hook

    with _hooks(model, {other: plant if other == name else stop(other) for other in filters}):
        answer = _answer(model, layer, axis, size, len(patterns))  # (pictures, K, …)
    out = answer.isnan().flatten(2).any(2) if answer.dim() > 2 else answer.isnan()
    from_ones, from_zeros = out[:digits].cpu().numpy(), out[digits:-1].cpu().numpy()  # (digits, K)
    return _Trace(
        reached=(from_ones | from_zeros).any(0),
        single=(from_ones ^ from_zeros).all(0),
        source=(from_ones << np.arange(digits)[:, None]).sum(0),
        readers=readers,
    )


def _for_each_row(patterns: Tensor, output: Tensor) -> Tensor:
    """A pattern for each row of an output, whose rows may be several to a picture (windows); none where neither."""
    each, rest = divmod(len(output), len(patterns))
    return patterns.repeat_interleave(each, 0) if not rest else patterns.new_zeros(len(output), *patterns.shape[1:])


def _enter(
    model: nn.Module, layer: str, axis: int, size: tuple[int, int], where: list[str]
) -> tuple[int, list[str], dict[str, str]]:
    """One pass up to the layer: its number of channels, the filters among `where` that it enters, in order, and for
    each the batch norm that reads the very tensor it puts out.
    """
    made: dict[int, tuple[str, Tensor]] = {}  # the tensor is held, so that its id stays its own
    norms: dict[str, str] = {}
    entered: list[str] = []

    def note_filter(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            entered.append(name)
            made[id(output)] = (name, output)

        return hook

    def note_norm(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
            if inputs and id(inputs[0]) in made:
                norms[made[id(inputs[0])][0]] = name

        return hook

    hooks: dict[str, Callable[[nn.Module, Any, Tensor], Any]] = {}
    for name in where:
        module = model.get_submodule(name)
        if isinstance(module, _FILTERS):
            hooks[name] = note_filter(name)
        elif isinstance(module, _BatchNorm) and module.running_mean is not None:
            hooks[name] = note_norm(name)
    with _hooks(model, hooks):
        count = _answer(model, layer, axis, size, 1).shape[1]
    return count, list(dict.fromkeys(entered)), norms


def _answer(model: nn.Module, layer: str, axis: int, size: tuple[int, int], pictures: int) -> Tensor:
    """The layer's activation, (pictures, K, …), for as many black pictures."""
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    with activations_of(model, [layer], axes={layer: axis}) as activations, torch.no_grad():
        return activations(torch.zeros(pictures, 3, *size, device=device))[layer]


def _channels(module: nn.Module) -> int:
    count = module.out_features if isinstance(module, nn.Linear) else module.out_channels
    return int(count)  # type: ignore[arg-type]


@contextmanager
def _hooks(model: nn.Module, hooks: dict[str, Callable[[nn.Module, Any, Tensor], Any]]) -> Iterator[None]:
    """Forward hooks by module name; gone afterwards. Made before those that read the layer, they run before them."""
    handles = []
    try:
        for name, hook in hooks.items():
            handles.append(model.get_submodule(name).register_forward_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()
