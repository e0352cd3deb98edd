"""Which layers a training leaves as they were."""

from collections.abc import Iterable

from torch import nn

from feature_vis.errors import InputError, close_names
from feature_vis.networks.activations import call_order
from feature_vis.networks.models import head_name, weights_digest
from featurediff.statistics.unchanged import FrozenLayerChanged

__all__ = ["frozen_layers", "layers_before"]


def layers_before(model: nn.Module, train_from: str | None, layers: Iterable[str]) -> list[str]:
    """Those of the layers that a training from `train_from` on does not touch
    (`featurediff.training.finetune.freeze_before`).

    A pass reaches the end of such a layer before it enters `train_from` or the head.

    Raises:
        InputError: the network has no module `train_from`, or does not use it.
    """
    if train_from is None:
        return []
    if train_from not in (order := call_order(model)):
        raise InputError(f"train_from: the network uses no module {train_from!r}{close_names(train_from, order)}")
    learning = {train_from, head_name(model)}
    return [layer for layer in layers if learning.isdisjoint(call_order(model, until=layer))]


def frozen_layers(base: nn.Module, tuned: nn.Module, layers: Iterable[str], promised: Iterable[str] = ()) -> list[str]:
    """Those of the layers whose weights and statistics, and all before them, are equal in both networks.

    `promised`: layers that training was told to leave alone, from `layers_before`. The weights by themselves cannot
    tell that such a layer drifted: it would no longer count as frozen, and nobody would look.

    Raises:
        FrozenLayerChanged: promised layers that differ.
    """
    if broken := [layer for layer in promised if not _same_weights(base, tuned, layer)]:
        raise FrozenLayerChanged(f"training was to leave {', '.join(broken)} alone, but weights or statistics changed")
    return [layer for layer in layers if _same_weights(base, tuned, layer)]


def _same_weights(base: nn.Module, tuned: nn.Module, layer: str) -> bool:
    return weights_digest(base, layer) == weights_digest(tuned, layer)
