"""Activations of layers: before the last ReLU, nothing above them run, a gradient also for channels that are off."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from feature_vis.errors import InputError
from feature_vis.networks.activations import activations_of
from feature_vis.networks.hooks import hooked
from feature_vis.networks.relus import AlwaysRedirectedRelu, RedirectedRelu


def read(model: nn.Module, layers: list[str], batch: Tensor, **options: object) -> dict[str, Tensor]:
    with activations_of(model, layers, **options) as activations:
        return activations(batch)


class Block(nn.Module):
    """A residual block whose last ReLU, of one kind or another, ends it."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.last = LAST_RELUS[kind]

    def forward(self, x: Tensor) -> Tensor:
        return self.last(functional.relu(self.conv(x)) + x)


def by_statement(x: Tensor) -> Tensor:
    """No ReLU's own output is put out."""
    torch.relu_(x)
    return x


LAST_RELUS: dict[str, Callable[[Tensor], Tensor]] = {
    "module": nn.ReLU(),
    "module in place": nn.ReLU(inplace=True),
    "module relu6": nn.ReLU6(inplace=True),
    "function": functional.relu,
    "function in place": lambda x: functional.relu(x, inplace=True),
    "function relu6": functional.relu6,
    "method": Tensor.relu,
    "method in place": Tensor.relu_,
    "statement": by_statement,
}


@pytest.mark.parametrize("kind", [kind for kind in LAST_RELUS if kind != "statement"])
def test_the_last_relu_is_found_however_it_is_written(kind: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), Block(kind), nn.Conv2d(4, 2, 1)).eval()
    batch = 10 * torch.randn(2, 3, 6, 6)
    stem = model[0](batch)
    expected = functional.relu(model[1].conv(stem)) + stem
    before, after = (read(model, ["1"], batch, before_relu=flag)["1"] for flag in (True, False))
    torch.testing.assert_close(before, expected)
    torch.testing.assert_close(after, expected.clamp(0, 6 if "relu6" in kind else torch.inf))
    assert (before < 0).any()


def test_a_layer_that_ends_without_a_relu_is_read_as_it_is() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.Hardtanh()).eval()
    batch = 10 * torch.randn(1, 3, 4, 4)
    for layer in ("", "2", "3"):  # a Hardtanh is not off where it is -1
        assert torch.equal(read(model, [layer], batch, before_relu=True)[layer], read(model, [layer], batch)[layer])


@pytest.mark.parametrize("before_relu", [True, False])
def test_several_layers_at_once_are_each_as_if_alone(resnet, before_relu: bool) -> None:
    # nested ones; bn2, whose output the next lines of the block overwrite in place; and a module called twice
    layers = ["layer4", "layer4.1", "layer4.0.bn2", "layer2", "layer3.1.conv1", "layer1.0.relu"]
    batch = torch.rand(2, 3, 48, 48, requires_grad=True)
    together = read(resnet, layers, batch, before_relu=before_relu)
    for layer in layers:
        alone = read(resnet, [layer], batch, before_relu=before_relu)[layer]
        torch.testing.assert_close(together[layer], alone)
        slopes = [torch.autograd.grad(a[:, 3].mean(), batch, retain_graph=True)[0] for a in (together[layer], alone)]
        torch.testing.assert_close(*slopes)
    assert torch.equal(together["layer4"], together["layer4.1"])
    channels_last = read(resnet, ["layer2"], torch.rand(2, 3, 48, 64), axes={"layer2": 3})
    assert channels_last["layer2"].shape == (2, 8, 128, 6)


def test_nothing_above_the_last_target_runs(resnet) -> None:
    entered = []
    noted = {name: lambda *_, name=name: entered.append(name) for name in ("layer3.1", "layer4.0", "fc")}
    with hooked(resnet, before=noted):
        read(resnet, ["layer3", "layer2"], torch.rand(1, 3, 48, 48))
    assert entered == ["layer3.1"]


def test_two_readers_of_one_network_do_not_meet(resnet) -> None:
    batch = torch.ones(1, 3, 48, 48)
    expected = {layer: read(resnet, [layer], batch)[layer] for layer in ("layer1", "layer3")}
    with activations_of(resnet, ["layer1"]) as low, activations_of(resnet, ["layer3"]) as high:
        assert torch.equal(high(batch)["layer3"], expected["layer3"])
        assert torch.equal(low(batch)["layer1"], expected["layer1"])
        with pytest.raises(RuntimeError):
            low(torch.ones(1, 7, 48, 48))
        assert torch.equal(copy.deepcopy(resnet)(batch), resnet(batch))
        assert torch.equal(high(batch)["layer3"], expected["layer3"])


def test_what_cannot_be_read_is_said() -> None:
    model = nn.Sequential(nn.Flatten(2), nn.LSTM(16, 5, batch_first=True)).eval()
    batch = torch.rand(1, 3, 4, 4)
    with pytest.raises(InputError, match=r"'1' puts out a tuple.*hook"):
        read(model, ["1"], batch)
    assert read(model, ["1"], batch, hook=lambda _module, _inputs, output: output[0][:, -1])["1"].shape == (1, 5)
    model.spare = nn.Linear(2, 2)
    model.forward = model[0].forward  # type: ignore[method-assign]
    with pytest.raises(InputError, match="never enters 'spare'"):
        read(model, ["spare"], batch)
    with pytest.raises(InputError, match=r"(?s)there is no layer '2'.*there is no layer 'spar'; close names: spare"):
        read(model, ["2", "1", "spar"], batch)


class Branches(nn.Module):
    """Like GoogLeNet's: branches that end in a ReLU each, concatenated."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(inplace=True), nn.Conv2d(2, 2, 1), nn.ReLU(inplace=True))
        self.right = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU6(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.left(x), self.right(x)], 1)


def test_concatenated_and_pooled_branches_get_the_redirected_gradient() -> None:
    torch.manual_seed(0)
    branches = nn.Sequential(Branches(), nn.MaxPool2d(2), nn.Conv2d(5, 2, 1)).eval()
    with torch.no_grad():  # channels 2 to 4 are off for bright pictures, channel 2 for all of them
        branches[0].right[0].weight.fill_(-1)
        branches[0].right[0].bias.copy_(torch.tensor([-9.0, 1, 1]))
    batch = torch.rand(4, 3, 6, 6, requires_grad=True)
    for layer in ("0", "1"):
        with activations_of(branches, [layer], before_relu=True) as activations:
            assert activations.stuck_layers is None
            plain = activations(batch.detach())[layer]
            assert activations.stuck_layers == [layer]
            answers = activations(batch)[layer]
        assert torch.equal(answers, plain)
        (gradient,) = torch.autograd.grad(-answers[:, 2].sum(), batch)
        assert (gradient.flatten(1) > 0).any(1).all()  # darker is better
        lower = read(branches, [layer], batch, before_relu=True)[layer][:, 2].sum()
        assert not torch.autograd.grad(lower, batch)[0].any()
    for layer, before_relu in [("2", True), ("0.left", True), ("0.left.0", True), ("0", False)]:
        with activations_of(branches, [layer], before_relu=before_relu) as activations:
            activations(torch.randn(2, 3, 6, 6))
            assert activations.stuck_layers == []


@pytest.mark.parametrize("kind", LAST_RELUS)
def test_a_redirected_relu_is_still_that_relu(kind: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), Block(kind), nn.AvgPool2d(2)).eval()
    batch = (20 * torch.randn(3, 3, 6, 6)).requires_grad_(True)
    with activations_of(model, ["2"], before_relu=True) as activations:
        plain, redirected = activations(batch)["2"], activations(batch)["2"]
        assert activations.stuck_layers == ["2"]
    assert torch.equal(redirected, plain)
    slopes = [torch.autograd.grad(a[:, 1].sum(), batch)[0] for a in (plain, redirected)]
    assert torch.equal(*slopes)  # for a picture that has a gradient, redirection changes nothing


@pytest.mark.parametrize("upper", [np.inf, 1.0])
def test_the_redirected_gradient_against_numpy(upper: float) -> None:
    rng = np.random.default_rng(0)
    entered = rng.normal(size=(6, 3, 4))
    gradient = rng.normal(size=(6, 3, 4))
    entered[2:4] = -np.abs(entered[2:4])  # off everywhere
    gradient[3] = np.abs(gradient[3])  # and pushed lower
    gradient[4] = np.where((entered[4] > 0) & (entered[4] < upper), 0, gradient[4])  # on, where nothing comes back
    expected = np.empty_like(gradient)
    for row in range(6):
        ordinary = np.where((entered[row] > 0) & (entered[row] < upper), gradient[row], 0)
        redirected = np.where((entered[row] <= 0) & (gradient[row] > 0), 0, gradient[row])
        expected[row] = ordinary if ordinary.any() else redirected
    x = torch.tensor(entered, requires_grad=True)
    y = RedirectedRelu.apply(x, upper, False)
    (found,) = torch.autograd.grad(y, x, torch.tensor(gradient))
    np.testing.assert_array_equal(y.detach(), entered.clip(0, upper))
    np.testing.assert_array_equal(found, expected)
    assert expected[2].any()
    assert not expected[3].any()


@pytest.mark.parametrize("upper", [np.inf, 1.0])
def test_the_gradient_that_is_always_redirected_against_numpy(upper: float) -> None:
    rng = np.random.default_rng(0)
    entered, gradient = rng.normal(size=(2, 6, 3, 4))
    entered[0, 0, 0] = 0  # off, too
    pushed_lower = gradient > 0  # by a loss
    changes_nothing = ((entered <= 0) & pushed_lower) | ((entered >= upper) & ~pushed_lower)
    x = torch.tensor(entered, requires_grad=True)
    y = AlwaysRedirectedRelu.apply(x, upper)
    (found,) = torch.autograd.grad(y, x, torch.tensor(gradient))
    np.testing.assert_array_equal(y.detach(), entered.clip(0, upper))
    np.testing.assert_array_equal(found, np.where(changes_nothing, 0, gradient))


@pytest.mark.parametrize("kind", LAST_RELUS)
def test_the_activation_after_a_relu_is_made_from_the_one_before(kind: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), Block(kind), nn.Conv2d(4, 2, 1)).eval()
    batch = (10 * torch.randn(2, 3, 6, 6)).requires_grad_(True)
    plain = read(model, ["1", "2"], batch)
    for before_relu in (True, False):
        with activations_of(model, ["1", "2"], before_relu=before_relu) as activations:
            found = activations(batch)
            after = {layer: activations.after_relu(layer, activation) for layer, activation in found.items()}
        for layer in ("1", "2"):
            torch.testing.assert_close(after[layer], plain[layer])
        assert after["2"] is found["2"]  # it has no ReLU at its end
    off = (plain["1"] == 0).any()
    assert off
    for sign in (1, -1):  # what pushes a layer lower passes no other gradient than the ReLU's own
        slopes = [torch.autograd.grad(sign * a["1"].sum(), batch, retain_graph=True)[0] for a in (plain, after)]
        torch.testing.assert_close(*slopes)
