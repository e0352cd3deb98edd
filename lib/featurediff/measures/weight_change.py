"""How far the filter behind a channel moved, batch norm included.

The filters of a channel are the last convolutions or linear layers on the way to it: those that reach it without
passing another one, and channel by channel (through batch norm, a ReLU, pooling, an addition, a concatenation). Where
branches are added, each has its own filter: in a residual block with a convolution on the shortcut these are the last
convolution of the branch and the one of the shortcut. Earlier layers do not count, nor does a shortcut without weights.

The filters are found by following a forward pass, not by names. To see where the channels of a module go, some of them
are set to NaN; the layer's channels that become NaN depend on them. One pass, with a picture for each binary digit of
the channel's number, identifies the source of every channel. Where several channels mix into one (layer norm,
attention, a gate computed from all of them), the channel has no filter of its own.

A batch norm that reads the filter's output directly is folded in (Jacob et al. 2018, section 3.2), because training
often changes its scale more than the filter. Other scales are not folded in, such as those of ConvNeXt's blocks.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from feature_vis.networks.activations import activations_of, device_of
from feature_vis.networks.batch_norm_folding import watch_filters
from feature_vis.networks.hooks import hooked
from feature_vis.networks.structure import require_layer_shapes
from featurediff.measures.distance import cosine_similarity

__all__ = ["COLUMNS", "FilterSource", "effective_filters", "find_filter_sources", "weight_change"]

_FILTERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)

# name: (unit, meaning)
COLUMNS = {
    "layer": ("", "dotted module name"),
    "channel": ("", "number of the channel in its layer"),
    "weight_change": ("ratio", "|tuned - base| / |base| of the filter, its bias included, batch norm folded in"),
    "weight_cosine": ("-1 to 1", "cosine between the filters of the base and of the tuned network, likewise"),
    "filters": ("", "the modules that hold the filter; their outputs are added up in the channel"),
    "reason": ("", "why values of the row are empty"),
}


@dataclass(frozen=True, eq=False)
class FilterSource:
    """A module that holds filters of a layer's channels.

    `channels`: for each of the layer's channels, the number of the module's output channel behind it, or -1.
    `norm`: the batch norm that reads the module's output, if any.
    """

    name: str
    norm: str | None
    channels: np.ndarray


def weight_change(
    base: nn.Module, tuned: nn.Module, layers: Collection[str], *, size: tuple[int, int] = (64, 64)
) -> pd.DataFrame:
    """Compare the filters behind each channel of the layers: a row a channel, see `COLUMNS`.

    `size`: height and width of the pictures that are sent through `base` to find the filters. Small ones save time;
    some networks, such as vision transformers, accept only one size.

    Raises:
        InputError: layers that do not exist or are not reached.
    """
    shapes = require_layer_shapes(base, layers, size)
    tables = []
    for layer, (shape, axis) in shapes.items():
        sources, reasons = find_filter_sources(base, layer, axis, size)
        table = _compare(base, tuned, sources, reasons, shape[axis])
        table.insert(0, "layer", layer)
        tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(COLUMNS))


def _compare(
    base: nn.Module, tuned: nn.Module, sources: list[FilterSource], reasons: list[str], count: int
) -> pd.DataFrame:
    change, cosine = np.full(count, np.nan), np.full(count, np.nan)
    of_channel = [[source for source in sources if source.channels[channel] >= 0] for channel in range(count)]
    # channels with the same sources are compared at once
    for group in {tuple(source.name for source in found): found for found in of_channel if found}.values():
        channels = np.array([channel for channel, found in enumerate(of_channel) if found == group])
        if not _has_same_filters(base, tuned, group):
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
            "filters": [" + ".join(source.name for source in found) for found in of_channel],
            "reason": reasons,
        }
    )


def _has_same_filters(base: nn.Module, tuned: nn.Module, sources: list[FilterSource]) -> bool:
    """Whether the tuned network has filters of the same names, kinds and shapes."""
    others = dict(tuned.named_modules())
    for source in sources:
        own = base.get_submodule(source.name)
        other = others.get(source.name)
        if not isinstance(other, _FILTERS) or type(own) is not type(other) or own.weight.shape != other.weight.shape:
            return False
        if source.norm is not None and not isinstance(others.get(source.norm), _BatchNorm):
            return False
    return True


def _filters(model: nn.Module, sources: list[FilterSource], channels: np.ndarray) -> Tensor:
    """The filters behind each of the channels, side by side, and the sum of their biases, (N, D + 1)."""
    parts = [effective_filters(model, source) for source in sources]
    rows = [torch.from_numpy(source.channels[channels]) for source in sources]
    weights = [weight[row] for (weight, _), row in zip(parts, rows, strict=True)]
    bias = torch.stack([bias[row] for (_, bias), row in zip(parts, rows, strict=True)]).sum(0)
    return torch.cat([*weights, bias.unsqueeze(1)], 1)


def effective_filters(model: nn.Module, source: FilterSource) -> tuple[Tensor, Tensor]:
    """The module's filters, (K, D), and biases, (K,), in float64, with the batch norm after it folded in."""
    module = model.get_submodule(source.name)
    assert isinstance(module, _FILTERS)
    weight = module.weight.detach().cpu().double().flatten(1)  # (K, D)
    bias = torch.zeros(len(weight), dtype=torch.float64)
    if module.bias is not None:
        bias = module.bias.detach().cpu().double()
    if source.norm is None:
        return weight, bias
    norm = model.get_submodule(source.norm)
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


def find_filter_sources(
    model: nn.Module, layer: str, axis: int, size: tuple[int, int]
) -> tuple[list[FilterSource], list[str]]:
    """The modules that hold the filters of the layer's channels, and for each channel why it has none ("" if it has).

    The search stays within the layer. A layer without filters of its own (a ReLU, a pooling) gets those that run
    before it. `axis`: the axis of the layer's channels. `size`: height and width of the picture that is followed.
    """
    forward = _Forward(model.eval(), layer, axis, size)
    inside = [name for name, _ in model.named_modules() if not layer or f"{name}.".startswith(f"{layer}.")]
    own = any(isinstance(model.get_submodule(name), _FILTERS) for name in inside)
    where = inside if own else [name for name, _ in model.named_modules()]
    count, filters, norms = _find_filters(forward, where)
    traces = {name: _trace(forward, name, filters) for name in filters}
    nothing = np.zeros(count, bool)
    last = {}
    for name, trace in traces.items():
        later = [traces[reader].reached for reader in trace.readers]
        last[name] = trace.reached & ~np.logical_or.reduce([nothing, *later])
    mixed = np.logical_or.reduce([nothing, *(last[name] & ~traces[name].single for name in traces)])
    sources = [
        FilterSource(name, norms.get(name), np.where(last[name] & ~mixed, trace.source, -1))
        for name, trace in traces.items()
        if (last[name] & ~mixed).any()
    ]
    found = np.logical_or.reduce([nothing, *last.values()])
    reasons = np.where(mixed, "several filters mix into it", np.where(found, "", "no filter makes it"))
    return sources, reasons.tolist()


@dataclass(frozen=True)
class _Forward:
    """Passes of black pictures of `size` up to a layer whose channels stand on `axis`."""

    model: nn.Module
    layer: str
    axis: int
    size: tuple[int, int]

    def activation(self, pictures: int) -> Tensor:
        """The layer's activation for that many pictures, (pictures, K, …)."""
        inputs = torch.zeros(pictures, 3, *self.size, device=device_of(self.model))
        with activations_of(self.model, [self.layer], axes={self.layer: self.axis}) as activations, torch.no_grad():
            return activations(inputs)[self.layer]


@dataclass(frozen=True, eq=False)
class _Trace:
    """Where the channels of one module go.

    For each of the layer's channels, (K,): whether the module reaches it, whether by a `single` channel, and by which.
    `readers`: the other modules that read the module's output, directly or not.
    """

    reached: np.ndarray
    single: np.ndarray
    source: np.ndarray
    readers: set[str]


def _trace(forward: _Forward, name: str, filters: list[str]) -> _Trace:
    """Set the module's output to NaN and see where the NaN appears.

    For each binary digit of the channel's number there are two pictures: in one the channels with a 1 are NaN, in the
    other those with a 0. A channel of the layer with a single source is NaN in exactly one of the two. The other
    filters block every NaN except in the last picture, in which all channels are NaN; it finds the readers.
    """
    channels = _output_channels(forward.model.get_submodule(name))
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

    # registered before the hooks that read the layer, these run first
    with hooked(forward.model, after={other: plant if other == name else stop(other) for other in filters}):
        answer = forward.activation(len(patterns))
    out = answer.isnan().flatten(2).any(2) if answer.dim() > 2 else answer.isnan()  # (pictures, K)
    from_ones, from_zeros = out[:digits].cpu().numpy(), out[digits:-1].cpu().numpy()  # (digits, K)
    return _Trace(
        reached=(from_ones | from_zeros).any(0),
        single=(from_ones ^ from_zeros).all(0),
        source=(from_ones << np.arange(digits)[:, None]).sum(0),
        readers=readers,
    )


def _for_each_row(patterns: Tensor, output: Tensor) -> Tensor:
    """A pattern for each row of an output. A picture may have several rows (windows); all False if they do not fit."""
    each, rest = divmod(len(output), len(patterns))
    return patterns.repeat_interleave(each, 0) if not rest else patterns.new_zeros(len(output), *patterns.shape[1:])


def _find_filters(forward: _Forward, where: list[str]) -> tuple[int, list[str], dict[str, str]]:
    """One pass up to the layer: its number of channels, the filters among `where` that run, in order, and the batch
    norm that reads the output of each.
    """
    with watch_filters(forward.model) as calls:
        count = forward.activation(1).shape[1]
    allowed = {name for name in where if isinstance(forward.model.get_submodule(name), _FILTERS)}
    return count, [name for name in calls.counts if name in allowed], dict(calls.norms)


def _output_channels(module: nn.Module) -> int:
    count = module.out_features if isinstance(module, nn.Linear) else module.out_channels
    return int(count)  # type: ignore[arg-type]
