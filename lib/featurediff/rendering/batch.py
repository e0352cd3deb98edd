"""Render a batch of pictures to PNGs: current pictures stay, the rest is rendered, and no finished picture is lost.

A picture is current if the content key in its PNG is the key of the picture that is asked for. A rendered picture
first goes to a staging folder, under its key: the workflow engine removes the outputs of a job that failed, and the
next job finds there what this one had finished.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from feature_vis.errors import InputError
from feature_vis.files import write_bytes
from feature_vis.images.png import channel_of, peek_notes, read_notes, seed_of, write_picture
from feature_vis.networks.models import weights_digest
from feature_vis.objectives import Objective, Objectives
from feature_vis.recipe import Recipe, content_key
from feature_vis.render import Rendered, render
from featurediff.networks import load_network
from featurediff.runtime.progress import progress

__all__ = [
    "Target",
    "adopt",
    "layer_digests",
    "make_current",
    "make_targets",
    "other_networks",
    "thinned",
    "visualize",
]

log = logging.getLogger("featurediff")


@dataclass(frozen=True)
class Target:
    """A picture that is wanted."""

    recipe: Recipe
    key: str  # content key: of the recipe, of what it is a picture of, and of the weights on which that depends
    path: Path  # of its PNG; its name tells it from all that are staged in one folder, but for other seeds
    subject: Mapping[str, str | int]  # what it is a picture of, for the PNG's notes: the layer and the channel, say


def make_targets(paths: list[str], layer: str, recipes: dict[str, Any], digest: str) -> list[Target]:
    """The targets of PNGs named `channel<k>.png`; one in a folder `seed<s>` adds s to the seed of its recipe.

    `recipes`: `{"layer": settings, "channels": {channel: settings}}`. `digest`: of the weights up to the layer.
    """
    targets = []
    for path in paths:
        channel = channel_of(path)
        recipe = Recipe.from_settings(recipes["channels"].get(str(channel), recipes["layer"]))
        recipe = replace(recipe, seed=recipe.seed + seed_of(path))
        key = content_key(recipe, layer, channel, digest)
        targets.append(Target(recipe, key, Path(path), {"layer": layer, "channel": channel}))
    return targets


def visualize(
    targets: list[Target],
    layer: str,
    network: str | nn.Module,
    staging: Path,
    device: torch.device,
    elsewhere: Iterable[Path] = (),
) -> tuple[int, int]:
    """Make the picture of every target, which are channels of a layer, current; see `make_current`.

    `network`: a model, or its file, which is loaded only if something has to be rendered. `elsewhere`: folders of the
    layer's pictures in other networks, where equal ones may lie.
    """
    if copied := adopt(targets, elsewhere):
        log.info("copied %d equal pictures of other networks", copied)

    def channels(wanted: Sequence[Target]) -> list[Objective]:
        objectives = Objectives(network if isinstance(network, nn.Module) else load_network(network).module())
        return [objectives(layer, int(target.subject["channel"])) for target in wanted]

    return make_current(targets, channels, layer, staging, device)


def make_current(
    targets: list[Target],
    objectives: Callable[[Sequence[Target]], list[Objective]],
    what: str,
    staging: Path,
    device: torch.device,
) -> tuple[int, int]:
    """Make the picture of every target current; returns how many were rendered and how many reused.

    The file of a reused picture is not written. `objectives`: asked for those of the targets that have to be rendered.
    `what`: is rendered, for the progress bar.
    """
    missing = [target for target in targets if not _is_current(target.path, target.key)]
    unstaged = [target for target in missing if not _is_current(_staged(staging, target), target.key)]
    if unstaged:
        _render_to_staging(unstaged, objectives(unstaged), what, staging, device)
    for target in missing:
        target.path.parent.mkdir(parents=True, exist_ok=True)
        _staged(staging, target).replace(target.path)
    _clear(staging, targets)
    rendered, reused = len(unstaged), len(targets) - len(unstaged)
    log.info("rendered %d, reused %d", rendered, reused)
    return rendered, reused


def adopt(targets: Iterable[Target], folders: Iterable[Path]) -> int:
    """Copy pictures that lie under the same key in other folders; returns how many were copied.

    `folders`: of the layer's pictures in other networks, with `channel<k>.png` and `seed<s>/channel<k>.png`.
    """
    folders, adopted = list(folders), 0
    for target in targets:
        if _is_current(target.path, target.key):
            continue
        seed = target.path.parent.name if seed_of(target.path) else ""
        elsewhere = (folder / seed / target.path.name for folder in folders)
        if (found := next((path for path in elsewhere if _is_current(path, target.key)), None)) is not None:
            with suppress(FileNotFoundError):  # the job that owns it has just removed it
                write_bytes(target.path, found.read_bytes())
                adopted += 1
    return adopted


def other_networks(pictures: Path, layer: str) -> list[Path]:
    """The folders of a layer's pictures in all networks but that of `pictures`, `<results>/<network>/pictures`."""
    folders = pictures.parent.parent.glob(f"*/{pictures.name}/{layer}")
    return sorted(folder for folder in folders if folder.parent != pictures)


def _staged(staging: Path, target: Target) -> Path:
    return staging / f"{target.path.stem}-{target.key[:32]}.png"


def _is_current(path: Path, key: str) -> bool:
    """Whether a whole picture with this key lies there; it is decoded only if its notes have the key."""
    try:
        return peek_notes(path).get("key") == key and read_notes(path) is not None
    except InputError:
        return False


def _clear(staging: Path, targets: list[Target]) -> None:
    """Remove what older runs staged under these names; other batches keep what they staged."""
    for target in targets:
        for stale in staging.glob(f"{target.path.stem}-*.png"):
            stale.unlink(missing_ok=True)
    if staging.is_dir() and not any(staging.iterdir()):
        staging.rmdir()


def _render_to_staging(
    targets: list[Target], objectives: list[Objective], what: str, staging: Path, device: torch.device
) -> None:
    image_steps = sum(target.recipe.steps for target in targets)
    with (
        progress(image_steps, what, "step") as advance,
        # packs pictures while a GPU renders the next ones; one of 400 px takes a thread 60 ms
        ThreadPoolExecutor(torch.get_num_threads()) as writer,
    ):
        pictures = render(
            objectives,
            [target.recipe for target in targets],
            device=device,
            progress=advance,
            resume=staging / "unfinished",
        )
        written = []
        for result in pictures:
            target = targets[result.index]
            notes = _notes(result, target)
            written.append(writer.submit(write_picture, _staged(staging, target), result.picture, notes))
            if device.type == "cpu":  # rendering uses all cores of the job
                wait(written)
        for outcome in written:
            outcome.result()


def _notes(result: Rendered, target: Target) -> dict[str, Any]:
    """What is written into the PNG. No date, host or version, so that equal pictures are equal files."""
    return {
        **target.subject,
        "activation_start": result.activation_start,
        "activation_reached": result.activation_reached,
        "steps": len(result.trajectory),
        "trajectory": thinned(result.trajectory),
        "stopped": result.stopped,
        "recipe": result.recipe.settings(),
        "key": target.key,
    }


def thinned(trajectory: np.ndarray) -> list[float]:
    """At most 32 values of a trajectory, evenly spaced, the first and the last included; four significant digits."""
    places = np.linspace(0, len(trajectory) - 1, min(32, len(trajectory))).round().astype(int)
    return [float(f"{value:.4g}") for value in trajectory[places]]


def layer_digests(network_file: str, layers: list[str]) -> dict[str, str]:
    """The digest of a network's weights up to each layer."""
    model = load_network(network_file).module()
    return {layer: weights_digest(model, layer) for layer in layers}
