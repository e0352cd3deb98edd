"""Networks of an experiment on disk: weights, architecture and class names in one file, their digest beside it."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from feature_vis.errors import InputError
from feature_vis.networks.models import build, load_file, load_state, save_file, state_digest
from feature_vis.networks.names import is_weights_name
from feature_vis.networks.state_dicts import unwrapped
from feature_vis.networks.user_module import source_digest
from feature_vis.seeding import derive_seed

__all__ = [
    "Network",
    "load_network",
    "load_weights",
    "network_of_checkpoint",
    "read_digest",
    "save_network",
    "start_network",
]


@dataclass(frozen=True)
class Network:
    """A network as the steps after training need it; `epoch` is None where it was not trained here."""

    architecture: str
    state: dict[str, Tensor]
    class_names: list[str] | None = None
    epoch: int | None = None

    def module(self) -> nn.Module:
        """The network itself, in `eval` mode."""
        return load_state(self.architecture, self.state, "the network's file")

    def digest(self) -> str:
        """Of all weights and statistics, and of the source where the network is the user's own."""
        digest, source = state_digest(self.state), source_digest(self.architecture)
        return hashlib.sha256(f"{digest} {source}".encode()).hexdigest() if source else digest


def save_network(path: str | Path, network: Network) -> None:
    """Write it whole or not at all."""
    content = {
        "architecture": network.architecture,
        "model": network.state,
        "class_names": network.class_names,
        "epoch": network.epoch,
    }
    save_file(path, content)


def load_network(path: str | Path) -> Network:
    """Read what `save_network` wrote.

    Raises:
        InputError: a file that is missing, cut off, or not of this kind.
    """
    loaded = _load_own(path)
    try:
        return Network(loaded["architecture"], loaded["model"], loaded["class_names"], loaded["epoch"])
    except KeyError as error:
        raise InputError(f"{path} is not a network of this workflow (no {error}): delete it and run again") from None


def load_weights(architecture: str, weights: str, *, headless: bool = False) -> Network:
    """A network with its library's weights of that name, or with those of a state dict's path.

    A file may be a plain state dict, or a checkpoint with one under any of `feature_vis.networks.state_dicts.WRAPPERS`.
    `headless`: it may lack the head, see `feature_vis.networks.models.load_state`.
    """
    if is_weights_name(weights):
        return Network(architecture, build(architecture, weights=weights).state_dict())
    loaded = load_file(weights)
    model = load_state(architecture, unwrapped(loaded), weights, headless=headless)
    return Network(architecture, model.state_dict(), loaded.get("class_names"))


def network_of_checkpoint(path: str | Path, architecture: str) -> Network:
    """The network in a checkpoint of `featurediff.training.finetune.finetune`.

    Raises:
        InputError: a file that is missing, cut off, or not of this kind.
    """
    loaded = _load_own(path)
    try:
        return Network(architecture, loaded["model"], loaded["class_names"], loaded["epoch"])
    except KeyError as error:
        raise InputError(f"{path} is not a checkpoint of this workflow (no {error}): delete it and run again") from None


def read_digest(path: str | Path) -> str:
    """Read a digest that was written beside a network, 64 hex digits.

    Raises:
        InputError: no such file, or one that is empty or cut off.
    """
    try:
        digest = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}): delete it and run again") from None
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise InputError(f"{path} does not hold a digest of 64 hex digits: delete it and run again")
    return digest


def _load_own(path: str | Path) -> dict[str, Any]:
    """A file that this workflow wrote and can write again."""
    try:
        return load_file(path)
    except InputError as error:
        raise InputError(f"{error}. The workflow made this file: delete it and run again") from None


def start_network(architecture: str, weights: str | None, other: Network | None, seed: int) -> nn.Module:
    """What training starts from: another network of the experiment, weights by name or path, or a seeded draw."""
    if other is not None:
        return other.module()
    if weights is not None:
        return load_weights(architecture, weights).module()
    # torchvision draws from the global generator: use a private state of it
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "start"))
        return build(architecture)
