"""Fixtures of the experiment's tests."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from made_config import CONFIG
from small_network import Net
from torch import nn

from feature_vis.errors import InputError
from feature_vis.networks.models import build
from featurediff.data.mat_file import variables_of
from featurediff.measures.embedder import Embedder
from featurediff.networks import Network, load_network, save_network


@pytest.fixture
def mat_files_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """MATLAB files are read without a process for each of them."""

    def read_mat(file: Path, *variables: str) -> dict:
        try:
            return variables_of(file, list(variables))
        except InputError as error:
            raise InputError(f"{file} {error}") from None

    monkeypatch.setattr("featurediff.data.formats.read_mat", read_mat)


@pytest.fixture
def config() -> dict[str, Any]:
    """A copy of `made_config.CONFIG` to change."""
    return copy.deepcopy(CONFIG)


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet-18 of two classes with random weights, as the workflow keeps its networks."""
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("network") / "network.pth"
    save_network(file, Network("resnet18", build("resnet18", classes=2).state_dict()))
    return file


@pytest.fixture(scope="module")
def base(small_weights: Path) -> nn.Module:
    return load_network(small_weights).module()


@pytest.fixture
def net() -> Net:
    torch.manual_seed(3)
    return Net()


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    torch.manual_seed(0)
    return Embedder(build("resnet18", classes=4), blocks=["layer1.0"])
