"""Through time: chosen channels at chosen epochs of a fine-tuning, rendered from the same seeds and measured.

An epoch is compared with the base just as the network that is visualized is: by
`featurediff.statistics.multiple_testing` from pictures, by `featurediff.measures.channels` on probe images, on both
networks' pictures, and in the filters. Three things differ:

- The channels are few, and chosen because they changed most in the end. Probabilities of so large a change would be
  wrong after such a choice, so there are none here; the ranking has them.
- `excess` is against the drift of the layer at the epoch that is visualized, known from all of its channels: one
  scale for all epochs, on which a channel rises, and at that epoch reaches the ranking's number.
- `mismatched_similarity` and `retained` know the other channels of the film alone.

Pictures lie in a store, `epoch<e>/<layer>/channel<k>.png` and `…/seed<s>/channel<k>.png`, which no rule declares,
since which channels there are depends on the ranking. As everywhere the key in a PNG says whether it is current; a
picture that was made elsewhere under the same key (of a frozen layer, or of the epoch that is visualized) is copied.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from feature_vis.networks.models import weights_digest
from featurediff.comparison.compare import compare_networks
from featurediff.measures.embedder import Embedder
from featurediff.measures.photo_responses import PhotoResponses
from featurediff.rendering.batch import adopt, make_targets, visualize
from featurediff.rendering.failed_pictures import find_failed
from featurediff.rendering.paths import picture_paths
from featurediff.rendering.picture_table import measure_pictures
from featurediff.statistics.empirical_null import EmpiricalNull, fit_distance_null

__all__ = ["choose_channels", "find_failed_by_layer", "have_pictures", "measure_epoch"]

log = logging.getLogger("featurediff")

# The channels were chosen because they changed: nothing of theirs is a probability, and they are no bulk of a layer.
_UNFOUNDED = ["p_visual", "p_excess", "response_excess", "p_response"]


def choose_channels(ranking: pd.DataFrame, wanted: Mapping[str, int | Sequence[int]]) -> dict[str, list[int]]:
    """Channels of each layer, most changed first: those named, or so many as `wanted` says.

    `ranking`: of `featurediff.comparison.compare.rank_layers`. Its rank counts; channels without one (one seed, a
    frozen layer) come after, the least similar first, then by number.
    """
    order = ranking.sort_values(["rank", "paired_similarity", "channel"], kind="stable")
    chosen = {}
    for layer, which in wanted.items():
        channels = [int(channel) for channel in order.loc[order["layer"] == layer, "channel"]]
        chosen[layer] = channels[:which] if isinstance(which, int) else [k for k in channels if k in which]
    return chosen


def have_pictures(
    model: nn.Module,
    channels: Mapping[str, Sequence[int]],
    recipes: Mapping[str, Any],
    seeds: Sequence[int],
    store: Path,
    others: Sequence[Path],
    device: torch.device,
) -> None:
    """Make the pictures of an epoch current in its folder of the store.

    `recipes`: by layer, see `featurediff.rendering.batch.make_targets`. `others`: folders of other networks' pictures,
    by layer, where equal ones may lie.
    """
    for layer, chosen in channels.items():
        paths = picture_paths(store / layer, chosen, seeds)
        targets = make_targets(paths, layer, recipes[layer], weights_digest(model, layer))
        adopted = adopt(targets, [folder / layer for folder in others])
        log.info("%s: copied %d of %d pictures", layer, adopted, len(targets))
        visualize(targets, layer, model, store / ".staging" / layer, device)


def find_failed_by_layer(
    pictures: Mapping[str, Sequence[str]], network: str, rule: Mapping[str, Any]
) -> dict[str, set[tuple[int, int]]]:
    """Each layer's failed pictures, (channel, seed), by the rule of `featurediff.rendering.failed_pictures`."""
    bad = find_failed(pd.concat([measure_pictures(paths, network, layer) for layer, paths in pictures.items()]), **rule)
    return {
        layer: set(bad.loc[bad["layer"] == layer, ["channel", "seed"]].itertuples(index=False, name=None))
        for layer in pictures
    }


def measure_epoch(
    base: nn.Module,
    tuned: nn.Module,
    pictures: Mapping[str, tuple[Sequence[str], Sequence[str]]],
    bad: Mapping[str, Sequence[Collection[tuple[int, int]]]],
    ranking: pd.DataFrame,
    embedder: Embedder,
    responses: PhotoResponses | None,
    *,
    network: str,
    epoch: int,
    train_from: str | None,
) -> pd.DataFrame:
    """A row a layer and channel: a comparison's columns but for those that need the whole layer; epoch, layer_cka.

    `ranking`: of the network that is visualized. `responses`: of base and epoch, None if there are no probe images.
    The others: see `featurediff.comparison.compare.compare_networks`.

    Raises:
        FrozenLayerChanged: a frozen layer that does not come out as exactly unchanged.
    """
    nulls = {layer: _null(ranking[ranking["layer"] == layer]) for layer in pictures}
    table = compare_networks(
        base, tuned, pictures, bad, embedder, responses, nulls, network=network, train_from=train_from
    )
    table.insert(3, "epoch", epoch)
    if responses is not None:
        cka = responses.layers[["layer", "cka"]].rename(columns={"cka": "layer_cka"})
        table = table.merge(cka, on="layer", validate="many_to_one")
    return table.drop(columns=_UNFOUNDED)


def _null(ranked: pd.DataFrame) -> EmpiricalNull:
    """The drift of a layer at the epoch that is visualized, from all of its channels."""
    return fit_distance_null(1 - ranked["paired_similarity"].to_numpy(float), ranked["floor"].to_numpy(float))
