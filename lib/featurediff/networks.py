"""Networks on disk: weights, architecture and class names in one file, and their digest in another."""

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
    """Everything that is stored of a network. `epoch` is None for a network that was not trained in this experiment."""

    architecture: str
    state: dict[str, Tensor]
    class_names: list[str] | None = None
    epoch: int | None = None

    def module(self) -> nn.Module:
        """The `nn.Module`, in `eval` mode."""
        return load_state(self.architecture, self.state, "the network's file")

    def digest(self) -> str:
        """SHA-256 of all weights and statistics, and of the source file if the architecture is the user's own."""
        digest, source = state_digest(self.state), source_digest(self.architecture)
        return hashlib.sha256(f"{digest} {source}".encode()).hexdigest() if source else digest


def save_network(path: str | Path, network: Network) -> None:
    """Write a network, whole or not at all."""
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
        InputError: a file that is missing, cut off, or something else.
    """
    loaded = _load_own(path)
    try:
        return Network(loaded["architecture"], loaded["model"], loaded["class_names"], loaded["epoch"])
    except KeyError as error:
        raise InputError(f"{path} is not a network of this workflow (no {error}): delete it and run again") from None


def load_weights(architecture: str, weights: str, *, headless: bool = False) -> Network:
    """A network with named weights of its library, or with the weights in a file.

    `weights`: a name such as `IMAGENET1K_V2`, or the path of a state dict, or of a checkpoint that holds one under any
    of the keys in `feature_vis.networks.state_dicts.WRAPPERS`. `headless`: the file may lack the head, see
    `feature_vis.networks.models.load_state`.
    """
    if is_weights_name(weights):
        return Network(architecture, build(architecture, weights=weights).state_dict())
    loaded = load_file(weights)
    model = load_state(architecture, unwrapped(loaded), weights, headless=headless)
    return Network(architecture, model.state_dict(), loaded.get("class_names"))


def network_of_checkpoint(path: str | Path, architecture: str) -> Network:
    """The network in a checkpoint of `featurediff.training.finetune.finetune`.

    Raises:
        InputError: a file that is missing, cut off, or something else.
    """
    loaded = _load_own(path)
    try:
        return Network(architecture, loaded["model"], loaded["class_names"], loaded["epoch"])
    except KeyError as error:
        raise InputError(f"{path} is not a checkpoint of this workflow (no {error}): delete it and run again") from None


def read_digest(path: str | Path) -> str:
    """Read the digest of a network, 64 hex digits, from its file.

    Raises:
        InputError: a file that is missing, empty or cut off.
    """
    try:
        digest = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}): delete it and run again") from None
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise InputError(f"{path} does not hold a digest of 64 hex digits: delete it and run again")
    return digest


def _load_own(path: str | Path) -> dict[str, Any]:
    """Load a file that the workflow wrote and can write again."""
    try:
        return load_file(path)
    except InputError as error:
        raise InputError(f"{error}. The workflow made this file: delete it and run again") from None


def start_network(architecture: str, weights: str | None, other: Network | None, seed: int) -> nn.Module:
    """The model that training starts from: another network of the experiment, given weights, or a seeded draw."""
    if other is not None:
        return other.module()
    if weights is not None:
        return load_weights(architecture, weights).module()
    # torchvision draws from the global generator: its state is restored afterwards
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "start"))
        return build(architecture)
