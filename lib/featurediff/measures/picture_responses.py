"""All pictures of a layer, the base's and the tuned network's, shown to both networks: do the channels still agree?

This is the most sensitive use of the pictures that we found (`benchmarks/RESULTS.md`). A channel's own two pictures are
one sample each of what excites it, and after the least drift an optimiser reaches another point, so comparing them says
little about a channel that changed by half. But each picture also tests all other channels: a channel into which
another one's filter was mixed now responds to the other one's pictures. So every channel is shown every picture, and
its activations in the base and in the tuned network are compared. This needs no photographs, one seed a channel is
enough, and a failed picture is as good a test as any other.

The comparison is Spearman's rank correlation over the pictures. Pearson's would be decided almost entirely by the
channel's own few pictures, which excite it many times more than all others; that it still responds to those says
little.

The activation is taken before the layer's last ReLU, like the objective of the pictures: most pictures leave most
channels off, and how far off they are is half of the information.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor, nn

from feature_vis.images.batches import picture_batches
from feature_vis.images.colors import normalize
from feature_vis.networks.activations import activations_of, device_of
from featurediff.measures.activation_statistics import correlation, is_constant
from featurediff.measures.cross_activation import shared_channel_axis
from featurediff.measures.receptive_fields import maps
from featurediff.statistics.empirical_null import fit_null, log_above_zero
from featurediff.statistics.unchanged import distance_from_unchanged

__all__ = ["COLUMNS", "compare_activations", "picture_activations", "picture_responses"]

_BATCH = 32

# Over fewer pictures the error of a correlation is as large as the changes it should show.
FEW_PICTURES = 10

# name: (unit, meaning)
COLUMNS = {
    "layer": ("", "dotted module name"),
    "channel": ("", "number of the channel in its layer"),
    "pictures": ("pictures", "pictures of the layer's channels, of both networks, that were shown to both networks"),
    "picture_correlation": (
        "-1 to 1",
        "Spearman's correlation, over these pictures, of the channel's activation before the ReLU in base and tuned",
    ),
    "response_excess": ("spreads", "log of (1 - picture_correlation) above the layer's middle"),
    "p_response": ("probability", "of a response_excess this large in a channel that only drifts with its layer"),
    "reason": ("", "why values of the row are empty"),
}


def picture_responses(
    base: nn.Module, tuned: nn.Module, layer: str, channels: Sequence[int], pictures: Iterable[np.ndarray]
) -> pd.DataFrame:
    """Show the pictures to both networks, once: a row for each of the channels, see `COLUMNS`.

    The arguments and errors are those of `picture_activations`.
    """
    return compare_activations(layer, channels, picture_activations(base, tuned, layer, channels, pictures))


def picture_activations(
    base: nn.Module, tuned: nn.Module, layer: str, channels: Sequence[int], pictures: Iterable[np.ndarray]
) -> np.ndarray:
    """The activation of each channel for each picture in the base and in the tuned network, (2, N, K) float64.

    `pictures`: N pictures, (H, W, 3) uint8, of any channels of the layer and of both networks, in any order. One batch
    of them is held in memory at a time.

    Raises:
        InputError: a layer or channel that does not exist, networks that differ in it, or unusable pictures.
    """
    found: list[np.ndarray] = []  # (2, B, K) each
    axis = None
    for (shown,) in picture_batches(([picture] for picture in pictures), _BATCH):
        if axis is None:
            axis = shared_channel_axis(base, tuned, layer, channels, (shown.shape[2], shown.shape[3]))
        found.append(np.stack([_mean_maps(model, layer, axis, shown)[:, list(channels)] for model in (base, tuned)]))
    return np.concatenate(found, 1) if found else np.empty((2, 0, len(channels)))


def compare_activations(layer: str, channels: Sequence[int], activations: np.ndarray) -> pd.DataFrame:
    """The table of `picture_responses` from what `picture_activations` returns, (2, N, K)."""
    shown = activations.shape[1]
    finite, constant = np.isfinite(activations).all((0, 1)), np.zeros(len(channels), bool)
    spearman = np.full(len(channels), np.nan)
    enough = shown >= FEW_PICTURES
    if enough:
        constant = finite & is_constant(activations).any(0)
        spearman = np.where(finite & ~constant, correlation(stats.rankdata(activations, axis=1)), np.nan)
    distance = distance_from_unchanged("picture_correlation", spearman)
    equal, logs = distance == 0, log_above_zero(distance)
    null = fit_null(logs, int(equal.sum()))
    excess = null.score(logs)
    reasons = np.select(
        [
            np.full(len(channels), not enough),
            ~finite,
            constant,
            equal,
            np.full(len(channels), bool(null.reason)),
        ],
        [
            f"{shown} pictures of the layer, {FEW_PICTURES} are needed",
            "activation not finite",
            "the activation is the same for all pictures",
            "response_excess: exactly unchanged",
            f"response_excess: {null.reason}",
        ],
        "",
    )
    return pd.DataFrame(
        {
            "layer": layer,
            "channel": np.array(channels, np.int64),
            "pictures": shown,
            "picture_correlation": spearman,
            "response_excess": excess,
            "p_response": np.where(equal, 1.0, null.p_value(excess)),
            "reason": reasons,
        }
    )


def _mean_maps(model: nn.Module, layer: str, axis: int, pictures: Tensor) -> np.ndarray:
    """The mean of each channel's map before the layer's last ReLU, (B, K) float64."""
    inputs = normalize(pictures.to(device_of(model)))
    with activations_of(model.eval(), [layer], before_relu=True, axes={layer: axis}) as activations, torch.no_grad():
        return maps(activations(inputs)[layer]).mean(2, dtype=torch.float64).cpu().numpy()
