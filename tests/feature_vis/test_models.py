"""Networks: built, loaded strictly, told apart by their weights."""

import errno

import pytest
import torch
from torch import nn

from feature_vis.errors import InputError
from feature_vis.models import build, head_name, load_file, load_state, replace_head, save_file, weights_digest


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    torch.manual_seed(0)
    return build("resnet18", classes=5)


def test_unknown_network_names_close_ones() -> None:
    with pytest.raises(InputError, match="resnet50"):
        build("resnet5O")


def test_unknown_weights_name_the_known_ones() -> None:
    with pytest.raises(InputError, match="IMAGENET1K_V2"):
        build("resnet50", weights="IMAGENET1K_V9")


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("resnet18", "fc"),
        ("vgg11", "classifier.6"),
        ("mobilenet_v2", "classifier.1"),
        ("densenet121", "classifier"),
        ("squeezenet1_1", "classifier.1"),
        ("googlenet", "fc"),
        ("vit_b_32", "heads.head"),
    ],
)
def test_the_head_is_found_and_replaced(name: str, head: str) -> None:
    model = build(name)
    assert head_name(model) == head
    size = 224 if name == "vit_b_32" else 64
    assert replace_head(model, 7, seed=0).eval()(torch.zeros(2, 3, size, size)).shape == (2, 7)


def test_a_new_head_depends_on_its_seed_alone(resnet) -> None:
    weights = []
    for global_seed, seed in [(0, 3), (1, 3), (1, 4)]:
        torch.manual_seed(global_seed)
        weights.append(replace_head(build("resnet18"), 4, seed=seed).fc.weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[2])


def test_weights_round_trip_through_a_file(resnet, tmp_path) -> None:
    torch.save(resnet.state_dict(), tmp_path / "w.pth")
    loaded = load_state("resnet18", load_file(tmp_path / "w.pth"), "w.pth")
    assert all(
        torch.equal(a, b) for a, b in zip(loaded.state_dict().values(), resnet.state_dict().values(), strict=True)
    )


def test_weights_that_do_not_fit_are_all_named(resnet) -> None:
    state = resnet.state_dict()
    del state["conv1.weight"]
    state["surplus"] = torch.zeros(1)
    state["bn1.bias"] = torch.zeros(3)
    with pytest.raises(InputError, match=r"(?s)missing: conv1.weight.*unexpected: surplus.*bn1.bias"):
        load_state("resnet18", state, "w.pth")


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


@pytest.mark.parametrize("content", ["absent", "truncated", "text", "code", "list"])
def test_files_that_are_no_weights(content: str, tmp_path, capsys) -> None:
    file = tmp_path / "w.pth"
    if content == "truncated":
        torch.save({"a": torch.zeros(1000)}, file)
        file.write_bytes(file.read_bytes()[:-500])
    elif content == "text":
        file.write_text("hello")
    elif content == "code":
        torch.save({"a": Bomb()}, file)
    elif content == "list":
        torch.save([torch.zeros(1)], file)
    with pytest.raises(InputError, match=r"w\.pth"):
        load_file(file)
    assert "code was run" not in capsys.readouterr().out


def test_the_digest_covers_what_the_layer_depends_on_and_no_more(resnet) -> None:
    before = weights_digest(resnet, "layer3.1")
    with torch.no_grad():
        resnet.layer4[0].conv1.weight += 1
        resnet.fc.weight += 1
    assert weights_digest(resnet, "layer3.1") == before
    with torch.no_grad():
        resnet.layer3[1].bn2.running_mean += 1e-3
    assert weights_digest(resnet, "layer3.1") != before


def test_equal_content_is_saved_as_equal_bytes(tmp_path) -> None:
    content = {"a": torch.arange(1000), "b": [1, "two"]}
    save_file(tmp_path / "a.pth", content)
    save_file(tmp_path / "b.pth", {"a": torch.arange(1000), "b": [1, "two"]})
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "b.pth").read_bytes()
    assert torch.equal(load_file(tmp_path / "a.pth")["a"], content["a"])


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
