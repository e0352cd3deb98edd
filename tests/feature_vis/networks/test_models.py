"""Networks: built, loaded strictly, told apart by their weights."""

import errno
import pickle
import re
import sys
from pathlib import Path

import pytest
import torch

from feature_vis.errors import InputError
from feature_vis.images.colors import normalize
from feature_vis.networks.models import (
    build,
    cached_weights,
    head_name,
    load_file,
    load_state,
    replace_head,
    save_file,
    state_digest,
    weights_digest,
)
from feature_vis.networks.torchvision_import import torchvision

HEADS = {"resnet18": "fc", "vgg11": "classifier.6", "mobilenet_v2": "classifier.1", "densenet121": "classifier"}
HEADS |= {"squeezenet1_1": "classifier.1", "googlenet": "fc", "vit_b_32": "heads.head", "timm:test_resnet": "fc"}


@pytest.mark.parametrize("name", HEADS)
def test_the_head_is_found_and_replaced(name: str) -> None:
    model = build(name)
    assert head_name(model) == HEADS[name]
    size = 224 if name == "vit_b_32" else 64
    assert replace_head(model, 7, seed=0).eval()(torch.zeros(2, 3, size, size)).shape == (2, 7)


def test_weights_without_a_head_serve_who_reads_what_enters_it(resnet) -> None:
    state = {key: value for key, value in resnet.state_dict().items() if not key.startswith("fc.")}
    with pytest.raises(InputError, match=r"missing: fc\.weight"):
        load_state("resnet18", state, "dino.pth")
    loaded = load_state("resnet18", state, "dino.pth", headless=True)
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in state.items())
    assert not loaded.fc.weight.any()
    del state["conv1.weight"]
    with pytest.raises(InputError, match=r"missing: conv1\.weight"):
        load_state("resnet18", state, "dino.pth", headless=True)


class Bomb:
    def __reduce__(self) -> tuple:
        return (print, ("code was run",))


def test_files_that_are_no_weights(tmp_path, capsys) -> None:
    def load(name: str, message: str) -> None:
        with pytest.raises(InputError, match=message) as caught:
            load_file(tmp_path / name)
        assert name in str(caught.value)
        assert "will likely succeed" not in str(caught.value)  # torch's advice to run code

    load("absent.pth", "does not exist")
    torch.save({"a": torch.zeros(1000)}, tmp_path / "whole.pth")
    (tmp_path / "truncated.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:-500])
    load("truncated.pth", "cannot be read as weights")
    (tmp_path / "text.pth").write_text("hello")
    load("text.pth", "cannot be read as weights")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    load("list.pth", "holds a list, not a state dict")
    for old in (False, True):
        torch.save({"a": Bomb()}, tmp_path / "code.pth", _use_new_zipfile_serialization=not old)
        load("code.pth", r"is refused because reading it would run code \(print\)")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps({"a": Bomb()}))  # not written by torch
    load("plain.pkl", "cannot be read .* more than tensors")
    assert "code was run" not in capsys.readouterr().out


def test_what_is_no_tensor_is_named(resnet) -> None:
    state = {**resnet.state_dict(), "conv1.weight": 3, "fc.weight": torch.tensor(1.0), 7: torch.zeros(1)}
    with pytest.raises(InputError, match=r"(?s)unexpected: 7.*conv1.weight: a int in.*fc.weight: \(\) in the file"):
        load_state("resnet18", state, "w.pth")
    state = {**resnet.state_dict(), "fc.weight": torch.zeros(1).expand(10**10, 512)}  # more than the file holds
    with pytest.raises(InputError, match=r"fc\.weight: \(10000000000, 512\) in the file, \(1000, 512\) in the network"):
        load_state("resnet18", state, "w.pth")


def test_the_digest_covers_what_the_layer_depends_on_and_no_more(resnet) -> None:
    before = weights_digest(resnet, "layer3.1")
    with torch.no_grad():
        resnet.layer4[0].conv1.weight += 1
        resnet.fc.weight += 1
    assert weights_digest(resnet, "layer3.1") == before
    with torch.no_grad():
        resnet.layer3[1].bn2.running_mean += 1e-3
    assert weights_digest(resnet, "layer3.1") != before


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of weights on a machine whose every connection is refused: nothing listens on port 9."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setattr("urllib.request._opener", None)  # else the proxies of an earlier call
    return tmp_path / "hub" / "checkpoints"


def test_without_internet_a_file_that_was_put_there_is_taken(cache: Path) -> None:
    with pytest.raises(InputError, match="refused") as caught:
        build("resnet18", weights="IMAGENET1K_V1")
    assert f"put the file resnet18-f37072fd.pth into {cache}" in str(caught.value)
    state = build("resnet18").state_dict()
    cache.mkdir(parents=True, exist_ok=True)
    torch.save(state, cache / "resnet18-f37072fd.pth")
    assert state_digest(build("resnet18", weights="IMAGENET1K_V1").state_dict()) == state_digest(state)


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", "cut", "another network"])
def test_a_damaged_file_in_the_cache_is_named(cache: Path, content: bytes | str) -> None:
    cache.mkdir(parents=True)
    file = cache / "resnet18-f37072fd.pth"
    torch.save({"conv1.weight": torch.zeros(1000)}, file)
    if content != "another network":
        file.write_bytes(file.read_bytes()[:2000] if content == "cut" else content)
    words = f"^{re.escape(str(file))}.* is not IMAGENET1K_V1 of resnet18 as it was published .*delete the file$"
    with pytest.raises(InputError, match=words):
        build("resnet18", weights="IMAGENET1K_V1")


def test_a_timm_network_takes_pictures_as_all_others_do() -> None:
    import timm

    model = build("timm:test_vit.r160_in1k", classes=3)
    torch.manual_seed(0)
    plain = timm.create_model("test_vit.r160_in1k", num_classes=3).eval()
    plain.load_state_dict(model.state_dict())
    assert tuple(model.pretrained_cfg["mean"]) == (0.5, 0.5, 0.5)
    pictures = torch.rand(2, 3, 160, 160)
    with torch.no_grad():
        torch.testing.assert_close(model(normalize(pictures)), plain((pictures - 0.5) / 0.5), atol=1e-4, rtol=1e-4)
    assert weights_digest(model, "blocks.0") != weights_digest(plain, "blocks.0")  # it sees other colours


UNKNOWN = [
    ("resnet5O", None, "close names: .*resnet50"),
    ("resnet50", "IMAGENET1K_V9", "IMAGENET1K_V2"),
    ("timm:resnet5O", None, "timm has no network called 'resnet5O'; close names: .*resnet50"),
    ("timm:resnet50.a1_in2k", None, "timm has no weights 'a1_in2k' of resnet50: it has .*a1_in1k"),
    ("timm:resnet50", "IMAGENET1K_V2", "write `pretrained` for those of resnet50, or the path"),
    ("{own}:cnn", "pretrained", "has no weights called 'pretrained': give the path"),
]


@pytest.mark.parametrize(("name", "weights", "message"), UNKNOWN)
def test_unknown_names_come_with_the_known_ones(name: str, weights: str | None, message: str, own: str) -> None:
    for find in (build, cached_weights) if weights is not None else (build,):
        with pytest.raises(InputError, match=message):
            find(name.format(own=own), weights=weights)


def test_what_timms_networks_need_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=r"not be downloaded .*copy the file model\.safetensors of timm/test_resnet"):
        build("timm:test_resnet.r160_in1k", weights="pretrained")
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"timm:resnet50 needs timm.*pip install"):
        build("timm:resnet50")


def test_a_users_network_gets_a_head_of_its_classes_and_is_told_by_its_source(own: str) -> None:
    model = build(f"{own}:cnn", classes=9)
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 9)
    before = weights_digest(model, "2")
    model.definition = "another source"
    assert weights_digest(model, "2") != before


def test_a_vision_transformer_of_other_pictures_is_as_large_as_its_weights() -> None:
    model = torchvision.models.vit_b_32(image_size=64, num_classes=2)
    loaded = load_state("vit_b_32", model.state_dict(), "w.pth")
    assert loaded.image_size == 64
    assert loaded(torch.zeros(1, 3, 64, 64)).shape == (1, 2)


def test_equal_content_is_saved_as_equal_bytes(tmp_path) -> None:
    for name in ("a.pth", "b.pth"):
        save_file(tmp_path / name, {"a": torch.arange(1000), "b": [1, "two"]})
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "b.pth").read_bytes()
    assert torch.equal(load_file(tmp_path / "a.pth")["a"], torch.arange(1000))


def test_a_full_disk_is_not_hidden_behind_torchs_words(tmp_path, monkeypatch) -> None:
    def full(*_: object) -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        finally:
            raise RuntimeError("unexpected pos 704 vs 598")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left on device") as raised:
        save_file(tmp_path / "a.pth", {})
    assert raised.value.filename == str(tmp_path / "a.pth")
    assert not list(tmp_path.iterdir())
