"""Hooks that last as long as a block."""

import pytest
import torch
from torch import nn

from feature_vis.networks.hooks import hooked


def test_hooks_run_before_and_after_and_are_gone_whatever_happens() -> None:
    model = nn.Sequential(nn.ReLU(), nn.ReLU())
    met = []
    with (
        hooked(model, {"0": lambda *_: met.append("left")}, {"0": lambda *_: met.append("entered")}),
        hooked(model, after={"0": lambda *_: met.append("inner"), "1": lambda _m, _i, output: output + 5}),
    ):
        assert model(torch.zeros(1)) == 5
    assert met == ["entered", "left", "inner"]
    with pytest.raises(AttributeError), hooked(model, {"0": print, "absent": print}):
        pass
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
