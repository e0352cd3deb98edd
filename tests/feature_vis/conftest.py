"""Fixtures of the renderer's tests."""

import pytest
import torch
from torch import nn

from feature_vis.networks.models import build


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    torch.manual_seed(0)
    return build("resnet18", classes=5)
