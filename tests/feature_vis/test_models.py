"""Networks: built, loaded strictly, read at one layer."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from feature_vis.errors import InputError
from feature_vis.models import (
    activation_at,
    build,
    call_order,
    channel_counts,
    head_name,
    load_file,
    load_state,
    replace_head,
    weights_digest,
)


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    torch.manual_seed(0)
    return build("resnet18", classes=5)


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


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


def test_before_the_last_relu_is_the_residual_sum(resnet) -> None:
    batch = torch.rand(2, 3, 64, 64)
    with activation_at(resnet, "layer4.1", before_relu=True) as before, activation_at(resnet, "layer4.1") as after:
        assert before is not after
    with activation_at(resnet, "layer4.1", before_relu=True) as activation:
        before = activation(batch)
    with activation_at(resnet, "layer4.1") as activation:
        after = activation(batch)
    with activation_at(resnet, "layer4.1.bn2") as activation:
        branch = activation(batch)
    with activation_at(resnet, "layer4.0") as activation:
        shortcut = activation(batch)
    torch.testing.assert_close(before, branch + shortcut)
    torch.testing.assert_close(after, functional.relu(before))
    assert (before < 0).any()


class Functional(nn.Module):
    """A network whose ReLUs are functions, in place."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Identity())
        self.block.forward = lambda x: functional.relu(self.block[0](x), inplace=True)  # type: ignore[method-assign]
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.block(x).mean((2, 3)))


def test_a_functional_in_place_relu_is_found() -> None:
    torch.manual_seed(0)
    model = Functional().eval()
    batch = torch.rand(1, 3, 8, 8)
    with activation_at(model, "block", before_relu=True) as activation:
        before = activation(batch)
    torch.testing.assert_close(before, model.block[0](batch))
    assert (before < 0).any()


def test_a_dead_unit_has_a_gradient_before_its_relu() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(inplace=True)).eval()
    nn.init.zeros_(model[0].weight[:1])
    with torch.no_grad():
        model[0].weight[1] = -1.0
        model[0].bias.zero_()
    batch = torch.rand(1, 3, 4, 4, requires_grad=True)
    gradients = {}
    for before_relu in (False, True):
        with activation_at(model, "1", before_relu=before_relu) as activation:
            (gradients[before_relu],) = torch.autograd.grad(activation(batch)[:, 1].sum(), batch)
    assert gradients[False].abs().max() == 0
    assert gradients[True].abs().max() > 0


def test_nothing_above_the_layer_runs(resnet) -> None:
    entered = []
    handle = resnet.layer4.register_forward_pre_hook(lambda *_: entered.append(1))
    with activation_at(resnet, "layer3") as activation:
        activation(torch.rand(1, 3, 64, 64))
    handle.remove()
    assert entered == []


def test_hooks_are_gone_whatever_happens(resnet) -> None:
    with pytest.raises(RuntimeError), activation_at(resnet, "layer4"):
        raise RuntimeError
    assert hooks(resnet) == 0


def test_unknown_layer_names_close_ones(resnet) -> None:
    with pytest.raises(InputError, match=r"layer4\.1"), activation_at(resnet, "layer4.l"):
        pass


def test_channel_counts(resnet) -> None:
    assert channel_counts(resnet, ["layer3.0", "layer4.1", "fc"], 64) == {"layer3.0": 256, "layer4.1": 512, "fc": 5}
    with pytest.raises(InputError, match=r"(?s)layer9.*layer5"):
        channel_counts(resnet, ["layer9", "layer5.0"], 64)


def test_a_picture_too_small_for_a_layer_is_said() -> None:
    with pytest.raises(InputError, match="too small"):
        channel_counts(build("alexnet"), ["features.12"], 16)


def test_call_order_is_the_order_of_the_forward_pass(resnet) -> None:
    order = call_order(resnet)
    assert order[:3] == ["", "conv1", "bn1"]
    assert order.index("layer3.1") < order.index("layer4") < order.index("fc")
    assert "layer4" not in call_order(resnet, until="layer3.1")


def test_the_digest_covers_what_the_layer_depends_on_and_no_more(resnet) -> None:
    before = weights_digest(resnet, "layer3.1")
    with torch.no_grad():
        resnet.layer4[0].conv1.weight += 1
        resnet.fc.weight += 1
    assert weights_digest(resnet, "layer3.1") == before
    with torch.no_grad():
        resnet.layer3[1].bn2.running_mean += 1e-3
    assert weights_digest(resnet, "layer3.1") != before
