"""Which modules a training changes, and which layers it leaves as they were."""

from collections.abc import Iterable

from torch import nn

from feature_vis.errors import InputError, close_names
from feature_vis.networks.models import head_name, weights_digest
from feature_vis.networks.structure import call_order
from featurediff.statistics.unchanged import FrozenLayerChanged

__all__ = ["frozen_layers", "layers_before", "trained_modules"]


def trained_modules(model: nn.Module, train_from: str | None) -> frozenset[str]:
    """The names of the modules that a training from `train_from` on changes; all others are frozen.

    They are the head, `train_from`, and every module that a forward pass enters after it; where it is None, every
    module that a forward pass enters. A container that was entered before but holds `train_from` is not among them.

    Raises:
        InputError: the network has no module `train_from`, or a forward pass does not enter it.
    """
    order = call_order(model)
    if train_from is None:
        return frozenset(order)
    if train_from not in order:
        raise InputError(f"train_from: the network uses no module {train_from!r}{close_names(train_from, order)}")
    return frozenset([*order[order.index(train_from) :], head_name(model)])


def layers_before(model: nn.Module, train_from: str | None, layers: Iterable[str]) -> list[str]:
    """Those of the layers that a training from `train_from` on leaves as they are.

    A forward pass reaches the end of such a layer before it enters any of the `trained_modules`.

    Raises:
        InputError: see `trained_modules`.
    """
    learning = trained_modules(model, train_from)
    return [layer for layer in layers if learning.isdisjoint(call_order(model, until=layer))]


def frozen_layers(base: nn.Module, tuned: nn.Module, layers: Iterable[str], promised: Iterable[str] = ()) -> list[str]:
    """Those of the layers whose weights and statistics, and all before them, are equal in both networks.

    `promised`: layers that training was told to leave alone, from `layers_before`. Without them a layer that drifted by
    mistake would no longer count as frozen, and nobody would notice.

    Raises:
        FrozenLayerChanged: promised layers that differ.
    """
    if broken := [layer for layer in promised if not _same_weights(base, tuned, layer)]:
        raise FrozenLayerChanged(f"training was to leave {', '.join(broken)} alone, but weights or statistics changed")
    return [layer for layer in layers if _same_weights(base, tuned, layer)]


def _same_weights(base: nn.Module, tuned: nn.Module, layer: str) -> bool:
    return weights_digest(base, layer) == weights_digest(tuned, layer)
