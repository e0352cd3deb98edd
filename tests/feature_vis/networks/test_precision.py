"""Which type the networks compute in."""

import pytest
import torch

from feature_vis.networks import precision
from feature_vis.networks.models import build
from feature_vis.networks.precision import resolve_precision

CPU = torch.device("cpu")


def test_what_is_asked_for_is_taken() -> None:
    assert resolve_precision("float32", CPU, [build("resnet18")]) == torch.float32
    assert resolve_precision("bfloat16", CPU, [build("mobilenet_v2")]) == torch.bfloat16


@pytest.mark.parametrize(
    ("name", "dense"),
    [("resnet18", True), ("vgg11_bn", True), ("densenet121", True), ("mobilenet_v2", False), ("vit_b_32", False)],
)
def test_auto_is_bfloat16_for_dense_convolutions_where_the_processor_multiplies_it(name, dense, monkeypatch) -> None:
    model = build(name)
    monkeypatch.setattr(precision, "_processor_multiplies_bfloat16", lambda: True)
    assert resolve_precision("auto", CPU, [model]) == (torch.bfloat16 if dense else torch.float32)
    assert resolve_precision("auto", CPU, [model, build("mobilenet_v2")]) == torch.float32
    monkeypatch.setattr(precision, "_processor_multiplies_bfloat16", lambda: False)
    assert resolve_precision("auto", CPU, [model]) == torch.float32
