"""Films: chosen channels at chosen epochs of a fine-tuning, rendered from the same seeds and measured.

An epoch is compared with the base in the same way as the network that is visualized. Three things differ:

- The channels are few, and were chosen because they changed most in the end. After such a choice, probabilities of so
  large a change would be wrong, so there are none here. The ranking has them.
- `excess` is measured against the drift of the layer at the epoch that is visualized, which is known from all of its
  channels. So there is one scale for all epochs, on which a channel rises until it has the ranking's number.
- `mismatched_similarity` and `retained` only know the other channels of the film.

The pictures lie in a store, `epoch<e>/<layer>/channel<k>.png` and `…/seed<s>/channel<k>.png`. No rule declares them,
because the ranking decides which channels there are. As everywhere, the key in a PNG says whether it is current. A
picture that was made elsewhere under the same key (of a frozen layer, or of the epoch that is visualized) is copied.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from feature_vis.networks.models import weights_digest
from featurediff.comparison.compare import compare_networks
from featurediff.measures.embedder import Embedder
from featurediff.measures.photo_responses import PhotoResponses
from featurediff.rendering.batch import make_targets, visualize
from featurediff.rendering.failed_pictures import failed_of, find_failed
from featurediff.rendering.paths import picture_paths
from featurediff.rendering.picture_pairs import PicturePairs
from featurediff.rendering.picture_table import measure_pictures
from featurediff.statistics.empirical_null import EmpiricalNull, fit_distance_null

__all__ = ["film_channels", "film_pairs", "measure_epoch", "render_epoch"]

# The channels were chosen because they changed: they are no sample of their layer, and have no probabilities.
_UNFOUNDED = ["p_visual", "p_excess", "response_excess", "p_response"]


def film_channels(ranking: pd.DataFrame, wanted: Mapping[str, int | Sequence[int]]) -> dict[str, list[int]]:
    """The channels of each layer that are filmed, most changed first: those named, or as many as `wanted` says.

    `ranking`: of `featurediff.comparison.compare.rank_layers`. Channels without a rank (one seed, a frozen layer) come
    last, the least similar first, then by number.
    """
    order = ranking.sort_values(["rank", "paired_similarity", "channel"], kind="stable")
    chosen = {}
    for layer, which in wanted.items():
        channels = [int(channel) for channel in order.loc[order["layer"] == layer, "channel"]]
        chosen[layer] = channels[:which] if isinstance(which, int) else [k for k in channels if k in which]
    return chosen


def render_epoch(
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
        elsewhere = [folder / layer for folder in others]
        visualize(targets, layer, model, store / ".staging" / layer, device, elsewhere)


def film_pairs(
    channels: Mapping[str, Sequence[int]],
    seeds: Sequence[int],
    base: Path,
    store: Path,
    failed: pd.DataFrame,
    networks: tuple[str, str],
    rule: Mapping[str, Any],
) -> dict[str, PicturePairs]:
    """The pictures of the base and of an epoch, by layer.

    `base`, `store`: folders of the pictures, by layer. `failed`: the table of failed pictures, which knows the base's.
    `networks`: the names of base and tuned network. `rule`: the options of
    `featurediff.rendering.failed_pictures.find_failed`, which looks for those of the epoch.
    """
    of_base, of_epoch = (
        {layer: picture_paths(folder / layer, sorted(chosen), seeds) for layer, chosen in channels.items()}
        for folder in (base, store)
    )
    measured = [measure_pictures(paths, networks[1], layer) for layer, paths in of_epoch.items()]
    failed_now = find_failed(pd.concat(measured), **rule)
    return {
        layer: PicturePairs(
            of_base[layer],
            of_epoch[layer],
            failed_of(failed, networks[0], layer),
            failed_of(failed_now, networks[1], layer),
        )
        for layer in channels
    }


def measure_epoch(
    base: nn.Module,
    tuned: nn.Module,
    pictures: Mapping[str, PicturePairs],
    ranking: pd.DataFrame,
    embedder: Embedder,
    responses: PhotoResponses | None,
    *,
    network: str,
    epoch: int,
    train_from: str | None,
) -> pd.DataFrame:
    """A row for each layer and channel: a comparison's columns, but those that need the whole layer; epoch, layer_cka.

    `ranking`: of the network that is visualized. `responses`: of base and epoch, None if there are no probe images.
    The others: see `featurediff.comparison.compare.compare_networks`.

    Raises:
        FrozenLayerChanged: a frozen layer is not exactly unchanged.
    """
    nulls = {layer: _layer_null(ranking[ranking["layer"] == layer]) for layer in pictures}
    table = compare_networks(base, tuned, pictures, embedder, responses, nulls, network=network, train_from=train_from)
    table.insert(3, "epoch", epoch)
    if responses is not None:
        cka = responses.layers[["layer", "cka"]].rename(columns={"cka": "layer_cka"})
        table = table.merge(cka, on="layer", validate="many_to_one")
    return table.drop(columns=_UNFOUNDED)


def _layer_null(ranked: pd.DataFrame) -> EmpiricalNull:
    """The drift of a layer at the epoch that is visualized, from all of its channels."""
    return fit_distance_null(1 - ranked["paired_similarity"].to_numpy(float), ranked["floor"].to_numpy(float))
