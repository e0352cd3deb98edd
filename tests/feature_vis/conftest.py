"""Fixtures of the renderer's tests."""

import os

import pytest
import torch
from torch import nn

from feature_vis.networks.models import build
from feature_vis.render import render


@pytest.fixture(autouse=True)
def _device_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`FEATUREDIFF_TEST_DEVICE=cuda` renders there what a test renders on no device of its own."""
    if (device := os.environ.get("FEATUREDIFF_TEST_DEVICE")) is not None:
        monkeypatch.setitem(render.__kwdefaults__, "device", device)


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    torch.manual_seed(0)
    return build("resnet18", classes=5)
