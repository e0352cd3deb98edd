"""State dicts as others write them: each loads into the network it came from, with its values."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from feature_vis.errors import InputError
from feature_vis.networks.models import build, load_file, load_state
from feature_vis.networks.state_dicts import fitted, unwrapped
from featurediff.networks import load_weights

State = dict[str, Any]


@pytest.fixture(scope="module")
def network(own: str) -> nn.Module:
    torch.manual_seed(3)
    return build(f"{own}:cnn")


def prefixed(state: State, prefix: str) -> State:
    return {f"{prefix}{key}": value for key, value in state.items()}


def lightning(state: State) -> State:
    others = {"epoch": 3, "pytorch-lightning_version": "2.5.0", "optimizer_states": [{"param_groups": [{"lr": 0.1}]}]}
    return {"state_dict": {**prefixed(state, "model."), "criterion.weight": torch.ones(4)}, **others}


WRITTEN: dict[str, Callable[[State], State]] = {
    "plain": lambda state: state,
    "ddp": lambda state: prefixed(state, "module."),
    "compiled": lambda state: prefixed(state, "_orig_mod."),
    "lightning": lightning,
    "lightning and ddp": lambda state: lightning(prefixed(state, "module.")),
    "timm": lambda state: {"epoch": 3, "arch": "own", "state_dict": state, "args": argparse.Namespace(lr=0.1)},
    "tutorial": lambda state: {"epoch": 3, "model_state_dict": state, "optimizer_state_dict": {}, "loss": 0.1},
    "ours": lambda state: {"epoch": 1, "model": state},
    "without counters": lambda state: {key: value for key, value in state.items() if "num_batches" not in key},
    "half": lambda state: {key: x.half() if x.is_floating_point() else x for key, x in state.items()},
}


@pytest.mark.parametrize("how", WRITTEN)
def test_a_checkpoint_loads_however_it_was_written(how: str, network: nn.Module, own: str, tmp_path: Path) -> None:
    torch.save(WRITTEN[how](network.state_dict()), tmp_path / "w.ckpt")
    loaded = load_weights(f"{own}:cnn", str(tmp_path / "w.ckpt"))
    for key, value in network.state_dict().items():
        expected = value.half().float() if how == "half" and value.is_floating_point() else value
        assert torch.equal(loaded.state[key], expected), key


def test_safetensors(network: nn.Module, own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors.torch import save_file

    file = tmp_path / "model.safetensors"
    save_file(network.state_dict(), file)
    loaded = load_weights(f"{own}:cnn", str(file))
    assert all(torch.equal(loaded.state[key], value) for key, value in network.state_dict().items())
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(InputError, match="cannot be read as weights"):
        load_file(file)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(InputError, match=r"needs safetensors.*pip install"):
        load_file(file)


def test_pruned_and_quantised_weights(own: str, network: nn.Module, caplog: pytest.LogCaptureFixture) -> None:
    pruned = build(f"{own}:cnn")
    pruned.load_state_dict(network.state_dict())
    prune.l1_unstructured(pruned[1].conv, "weight", amount=0.5)
    prune.random_unstructured(pruned[5], "bias", amount=1)
    quantised = torch.quantize_per_tensor(pruned[5].weight.detach(), scale=0.01, zero_point=0, dtype=torch.qint8)
    with caplog.at_level("INFO", logger="featurediff"):
        state = {**pruned.state_dict(), "5.weight": quantised}
        loaded = load_state(f"{own}:cnn", state, "pruned.pth")
    assert "the masks of 2 weights were applied" in caplog.text
    with pytest.raises(InputError, match=r"5\.weight_mask"):  # a mask of what is there without one
        load_state(f"{own}:cnn", {**state, "5.weight_mask": quantised}, "pruned.pth")
    assert torch.equal(loaded[1].conv.weight, pruned[1].conv.weight)
    assert float((loaded[1].conv.weight == 0).float().mean()) == 0.5
    assert torch.equal(loaded[5].bias, pruned[5].bias)
    assert torch.equal(loaded[5].weight, quantised.dequantize())


def test_a_mismatch_names_the_keys_without_their_prefix(network: nn.Module, own: str) -> None:
    both = {**prefixed(network.state_dict(), "student."), **prefixed(network.state_dict(), "teacher.")}
    with pytest.raises(InputError, match=r"w\.pth cannot be used: it holds 2 networks that fit, student\., teacher\."):
        load_state(f"{own}:cnn", both, "w.pth")
    state = prefixed(network.state_dict(), "model.")
    del state["model.1.conv.weight"]
    state["model.2.norm.bias"] = torch.zeros(3)
    state["model.5.weight"] = "many"
    state["model.5.lora_A.weight"] = torch.zeros(2, 12)
    with pytest.raises(InputError) as raised:
        load_state(f"{own}:cnn", state, "w.pth")
    assert str(raised.value).splitlines()[1:] == [
        "  missing: 1.conv.weight",
        "  unexpected: 5.lora_A.weight",
        "  2.norm.bias: (3,) in the file, (12,) in the network",
        "  5.weight: a str in the file, not a tensor",
        "  it holds separate adapters (LoRA): merge them (peft: model.merge_and_unload()) and save the result",
        "  (the names begin with 'model.')",
    ]


class Callback:
    """What a training leaves in its checkpoint, and nobody else can read."""


def test_what_else_is_in_a_file_is_named(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "callbacks": [Callback()]}, tmp_path / "w.ckpt")
    with pytest.raises(InputError, match=r"It holds .*Callback: if you trust its source"):
        load_file(tmp_path / "w.ckpt")


def test_an_empty_prefix_wins_and_unknown_states_stay_as_they_are() -> None:
    expected = {"a.weight": torch.zeros(1), "b.weight": torch.zeros(1)}
    both = {**expected, "model.a.weight": torch.ones(1), "model.b.weight": torch.ones(1)}
    assert fitted(both, expected) == (both, [])
    assert fitted({"x": 1}, expected)[0] == {"x": 1}
    assert unwrapped({"epoch": 1, "model": {"a": 2}}) == unwrapped({"a": 2}) == {"a": 2}
