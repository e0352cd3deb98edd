"""All pictures of a layer, the base's and the tuned network's, shown to both networks: do they still agree?

The sharpest use of the pictures that was found (`benchmarks/RESULTS.md`). Comparing a channel's two pictures sees one
point each of what excites it, and after the least drift an optimiser reaches another point: a picture is a poor
witness of a half-changed channel. But each picture is also a question to all other channels. A filter into which
another channel's was mixed answers to that channel's pictures where it did not before. So every channel is shown every
picture, and what is compared is its activation in the base and in the tuned network. No photographs are needed, one
seed a channel is enough, and a failed picture is as good a question as another.

Compared is the order of the pictures, by Spearman's rank correlation. In Pearson's the channel's own few pictures,
which excite it many times more than all others, decide nearly everything; that it still answers to those says little.

The activation is taken before the layer's last ReLU, as the pictures' objective is: most pictures leave most channels
off, and by how much is half of what can be seen.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import nn

from feature_vis.errors import InputError
from feature_vis.images.arrays import check_picture
from feature_vis.images.colors import IMAGENET_MEAN, IMAGENET_STD, normalize
from feature_vis.networks.activations import activations_of, layer_shapes
from featurediff.measures.accumulators import Moments
from featurediff.statistics.empirical_null import fit_null, log_above_zero
from featurediff.statistics.unchanged import distance_from_unchanged

__all__ = ["COLUMNS", "compare_answers", "picture_response", "show_pictures"]

# Of a correlation over fewer pictures the error is as large as what it is to show.
FEW_PICTURES = 10

# name: (unit, meaning)
COLUMNS = {
    "layer": ("", "dotted module name"),
    "channel": ("", "number of the channel in its layer"),
    "pictures": ("pictures", "pictures of the layer's channels, of both networks, that both networks were shown"),
    "picture_correlation": (
        "-1 to 1",
        "Spearman's correlation over these pictures of the channel's activation, before the ReLU, in base and tuned",
    ),
    "response_excess": ("spreads", "log of (1 - picture_correlation) above the layer's middle"),
    "p_response": ("probability", "of so large a response_excess for a channel that only drifts with its layer"),
    "reason": ("", "why values of the row are empty"),
}


def picture_response(
    base: nn.Module, tuned: nn.Module, layer: str, channels: Sequence[int], pictures: Iterable[np.ndarray]
) -> pd.DataFrame:
    """Show the pictures to both networks, once: a row for each of the channels, see `COLUMNS`.

    Arguments and errors are those of `show_pictures`.
    """
    return compare_answers(layer, channels, show_pictures(base, tuned, layer, channels, pictures))


def show_pictures(
    base: nn.Module,
    tuned: nn.Module,
    layer: str,
    channels: Sequence[int],
    pictures: Iterable[np.ndarray],
    *,
    batch: int = 32,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
) -> np.ndarray:
    """What each of the channels answers to each picture in base and tuned network, (2, N, K) float64.

    `pictures`: N of (H, W, 3) uint8, of any of the layer's channels, both networks', in any order; a batch of them is
    held in memory at a time.

    Raises:
        InputError: a layer or channel that does not exist, networks that differ in it, or unusable pictures.
    """
    answers: list[np.ndarray] = []  # (2, B, K)
    axis = None
    for shown in _batches(pictures, batch):
        if axis is None:
            axis = _axis(base, tuned, layer, channels, (shown.shape[1], shown.shape[2]))
        sides = [_answers(network, layer, axis, shown, mean, std)[:, list(channels)] for network in (base, tuned)]
        answers.append(np.stack(sides))
    return np.concatenate(answers, 1) if answers else np.empty((2, 0, len(channels)))


def compare_answers(layer: str, channels: Sequence[int], answers: np.ndarray) -> pd.DataFrame:
    """The table of `picture_response` from what `show_pictures` found, (2, N, K)."""
    shown = answers.shape[1]
    finite, constant = np.isfinite(answers).all((0, 1)), np.zeros(len(channels), bool)
    correlation = np.full(len(channels), np.nan)
    enough = shown >= FEW_PICTURES
    if enough:
        plain, ranked = Moments(len(channels)), Moments(len(channels))
        plain.add(answers)
        ranked.add(stats.rankdata(answers, axis=1))
        constant = finite & plain.constant().any(0)
        correlation = np.where(finite & ~constant, ranked.correlation(), np.nan)
    distance = distance_from_unchanged("picture_correlation", correlation)
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
            "picture_correlation": correlation,
            "response_excess": excess,
            "p_response": np.where(equal, 1.0, null.p_value(excess)),
            "reason": reasons,
        }
    )


def _answers(
    network: nn.Module, layer: str, axis: int, pictures: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...]
) -> np.ndarray:
    """The mean of each channel's map before the layer's last ReLU, (B, K) float64."""
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    inputs = normalize(torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).float() / 255, mean, std)
    with activations_of(network.eval(), [layer], before_relu=True, axes={layer: axis}) as activations, torch.no_grad():
        answer = activations(inputs)[layer]
    means = answer.flatten(2).mean(2, dtype=torch.float64) if answer.dim() > 2 else answer.double()
    return means.cpu().numpy()


def _batches(pictures: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """(B, H, W, 3) uint8, of one size each."""
    waiting: list[np.ndarray] = []
    for picture in chain(pictures, [None]):
        if picture is not None:
            check_picture(picture)
        if waiting and (picture is None or len(waiting) == size or picture.shape != waiting[0].shape):
            yield np.stack(waiting)
            waiting = []
        if picture is not None:
            waiting.append(picture)


def _axis(base: nn.Module, tuned: nn.Module, layer: str, channels: Sequence[int], size: tuple[int, int]) -> int:
    """Where the layer's channels stand."""
    (shapes, problems), (others, _) = (layer_shapes(network, [layer], size) for network in (base, tuned))
    if problems:
        raise InputError("\n".join(problems))
    shape, axis = shapes[layer]
    if others.get(layer, (shape, axis))[0][axis] != shape[axis]:
        raise InputError(f"{layer or 'the output'} differs between base and tuned network: {shape}, {others[layer][0]}")
    if strangers := [channel for channel in channels if not 0 <= channel < shape[axis]]:
        raise InputError(f"{layer or 'the output'} has {shape[axis]} channels, 0 to {shape[axis] - 1}, not {strangers}")
    return axis
