"""Networks in which the changes are known: all trained weights drift a little, and some channels really change.

Nobody knows what fine-tuning changes in a layer, so no statistic can be checked on a fine-tuned network. Here the truth
is known: `drifted` moves every weight from `train_from` on by noise, as any training does, and `planted` gives some
channels of a layer another filter. A good statistic tells the two apart.

The filter of a channel is what `featurediff.measures.weight_change` finds: rows of the last convolutions, batch norm
included. A shortcut without weights stays as it is, as in fine-tuning: in a residual block the channel still receives
what the block below passes on.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import nn

from feature_vis.errors import InputError, close_names
from feature_vis.networks.structure import call_order, require_layer_shapes
from feature_vis.seeding import derive_seed, generator
from featurediff.measures.weight_change import FilterSource, find_filter_sources

__all__ = ["KINDS", "UNCHANGED", "Change", "area_under_curve", "draw_changes", "drifted", "planted"]

# kind of change -> share of the other channel's filter; "flipped" turns the sign of the channel's own
KINDS: Mapping[str, float] = {"replaced": 1.0, "half": 0.5, "quarter": 0.25, "flipped": 0.0}
UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Change:
    """What is planted in a channel: a kind of `KINDS`, or `UNCHANGED`; `other` is whose filter is mixed in."""

    channel: int
    kind: str
    other: int


def draw_changes(channels: int, each: int, unchanged: int, *seed: str | int) -> list[Change]:
    """Draw `each` channels for every kind and `unchanged` others from a layer's `channels`, in order of their number.

    The other channel is any of the layer but the channel itself.

    Raises:
        InputError: the layer has fewer channels.
    """
    wanted = each * len(KINDS) + unchanged
    if not 0 < wanted <= channels or channels < 2:
        raise InputError(f"{wanted} channels cannot be drawn from a layer of {channels}")
    rng = np.random.default_rng(derive_seed("planted", *seed))
    kinds = [kind for kind in KINDS for _ in range(each)] + [UNCHANGED] * unchanged
    drawn = rng.choice(channels, wanted, replace=False)
    others = (drawn + rng.integers(1, channels, size=wanted)) % channels
    changes = [Change(int(k), kind, int(other)) for k, kind, other in zip(drawn, kinds, others, strict=True)]
    return sorted(changes, key=lambda change: change.channel)


def drifted(model: nn.Module, train_from: str | None, noise: float, *seed: str | int) -> nn.Module:
    """A copy in which each parameter of what training reaches moves by `noise` times its tensor's standard deviation.

    `train_from`: the first module that learns, as in the config; None: all. Batch norm's statistics stay. The draw of
    a tensor depends on its name and on `seed` alone.

    Raises:
        InputError: the network has no module `train_from`, or does not use it.
    """
    order = call_order(model)
    if train_from is not None and train_from not in order:
        raise InputError(f"train_from: the network uses no module {train_from!r}{close_names(train_from, order)}")
    learning = order[order.index(train_from) if train_from is not None else 0 :]
    other = copy.deepcopy(model)
    with torch.no_grad():
        for owner in learning:
            for name, tensor in other.get_submodule(owner).named_parameters(recurse=False):
                spread = tensor.std() if tensor.numel() > 1 else tensor.new_zeros(())
                draw = torch.randn(tensor.shape, generator=generator("drift", f"{owner}.{name}", *seed))
                tensor.add_(noise * spread * draw.to(tensor))
    return other


def planted(model: nn.Module, layer: str, changes: Sequence[Change], size: tuple[int, int] = (64, 64)) -> nn.Module:
    """A copy in which channels of the layer have other filters. `size`: of the picture by which filters are found.

    Mixed is what the channel adds up, batch norm folded in: (1 - share) of its own filter and bias, `share` of the
    other's, of the network as it was given. A flipped one answers with the opposite sign around its bias.

    Raises:
        InputError: a layer that does not exist, or a channel that no single filter makes.
    """
    shape, axis = require_layer_shapes(model, [layer], size)[layer]
    changed = [change for change in changes if change.kind != UNCHANGED]
    if strangers := [c for c in changed if c.kind not in KINDS or not {c.channel, c.other} <= set(range(shape[axis]))]:
        raise InputError(f"{layer} has {shape[axis]} channels, and kinds are {', '.join(KINDS)}: not {strangers[0]}")
    other = copy.deepcopy(model)
    sources, reasons = find_filter_sources(other, layer, axis, size)
    for change in changed:
        if reason := reasons[change.channel] or reasons[change.other]:
            raise InputError(f"{layer}: nothing can be planted in channel {change.channel}: {reason}")
        for source in sources:
            _mix(model, other, source, change)
    return other


def _mix(model: nn.Module, other: nn.Module, source: FilterSource, change: Change) -> None:
    """Write the changed filter of one source, and of the batch norm that reads it, into `other`."""
    own, foreign = int(source.channels[change.channel]), int(source.channels[change.other])
    if own < 0 and foreign < 0:
        return
    if own < 0 or foreign < 0:
        raise InputError(f"channels {change.channel} and {change.other} are not made by the same modules")
    share, sign = KINDS[change.kind], -1.0 if change.kind == "flipped" else 1.0
    before, after = model.state_dict(), other.state_dict()  # the networks' own tensors, detached
    spread = before[f"{source.name}.weight"].new_ones(max(own, foreign) + 1)
    scales = spread
    if source.norm is not None:
        if f"{source.norm}.weight" not in before:
            raise InputError(f"nothing can be planted before {source.norm}: a batch norm without weights")
        spread = (before[f"{source.norm}.running_var"] + model.get_submodule(source.norm).eps).sqrt()
        scales = before[f"{source.norm}.weight"] / spread
    of_own, of_foreign = (1 - share) * scales[own], share * scales[foreign]
    scale = (of_own.abs() + of_foreign.abs()).clamp_min(torch.finfo(scales.dtype).tiny)  # of the mixture

    def mixed(name: str) -> None:  # what the scale multiplies
        values = before[name]
        after[name][own] = (sign * of_own * values[own] + of_foreign * values[foreign]) / scale

    def shared(name: str) -> None:  # what is added in the end
        after[name][own] = (1 - share) * before[name][own] + share * before[name][foreign]

    mixed(f"{source.name}.weight")
    if f"{source.name}.bias" in before:
        (shared if source.norm is None else mixed)(f"{source.name}.bias")
    if source.norm is not None:
        mixed(f"{source.norm}.running_mean")
        shared(f"{source.norm}.bias")
        after[f"{source.norm}.weight"][own] = scale * spread[own]


def area_under_curve(values: np.ndarray, changed: np.ndarray) -> tuple[float, float]:
    """ROC AUC of `values`, (K,), for telling the `changed`, (K,) bool, from the others, and its standard error.

    The AUC is Mann and Whitney's U as a share of all pairs. Its error is DeLong et al. 1988 (Biometrics 44). A NaN
    ranks below all numbers. Both are NaN if one of the sides is empty.
    """
    values = np.where(np.isnan(values), -np.inf, values)
    high, low = values[changed], values[~changed]
    if not len(high) or not len(low):
        return np.nan, np.nan
    area = stats.mannwhitneyu(high, low).statistic / (len(high) * len(low))
    ranks = stats.rankdata(np.concatenate([high, low]))
    above = (ranks[: len(high)] - stats.rankdata(high)) / len(low)  # for each value, the share of the other side below
    below = (ranks[len(high) :] - stats.rankdata(low)) / len(high)
    variance = sum(shares.var(ddof=1) / len(shares) for shares in (above, below) if len(shares) > 1)
    return float(area), float(np.sqrt(variance))
