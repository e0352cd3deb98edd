"""Networks made ready: the fast copy agrees with the plain one, the user's own is left alone, mistakes come at once."""

import copy

import pytest
import torch
from torch import Tensor, nn

from feature_vis.errors import InputError
from feature_vis.images.colors import normalize
from feature_vis.networks.activations import activations_of
from feature_vis.networks.models import build
from feature_vis.objectives import Objectives
from feature_vis.optimisation.prepared_networks import find_problems, prepared_networks

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    torch.manual_seed(0)
    model = build("resnet18", classes=5)
    model.train()
    with torch.no_grad():
        model(torch.randn(4, 3, 64, 64))  # statistics that are not the defaults
    return model.eval()


def pictures(count: int = 2, channels: int = 3, size: int = 48) -> Tensor:
    return torch.rand((count, channels, size, size), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fast_and_plain_are_the_network_itself(resnet, dtype: torch.dtype) -> None:
    source = Objectives(resnet)
    with activations_of(resnet, ["layer4.1"]) as plain, activations_of(resnet, ["layer4.1.bn2", "layer4.0"]) as parts:
        after, before = plain(normalize(pictures()))["layer4.1"], sum(parts(normalize(pictures())).values())
    for before_relu, expected in [(True, before), (False, after)]:
        wanted = [source("layer4.1", 3), source.layer("layer2")]
        with prepared_networks(wanted, (48, 48), CPU, before_relu=before_relu, dtype=dtype) as networks:
            fast = networks.fast_activations(pictures())(source, "layer4.1", True)
            measured = networks.exact_activations(pictures())(source, "layer4.1", True)
        assert (fast.dtype, measured.dtype) == (dtype, torch.float32)
        torch.testing.assert_close(measured, after, atol=1e-5, rtol=1e-4)
        rounding = 1e-4 if dtype == torch.float32 else 0.05
        assert (fast - expected).abs().max() < rounding * expected.abs().max()


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_the_fast_copy_has_no_batch_norm_and_wants_no_weight_gradients(resnet, device: str) -> None:
    """Nor on a GPU, whose convolutions round to TF32: batch norm was kept there, which halved the speed."""
    seen = []
    watched = copy.deepcopy(resnet)
    watched.layer1.register_forward_hook(lambda module, _inputs, output: seen.append((module, output)))
    source = Objectives(watched)
    wanted, where = [source("layer1", 0)], torch.device(device)
    with prepared_networks(wanted, (48, 48), where, before_relu=True, dtype=torch.float32) as networks:
        seen.clear()
        networks.fast_activations(pictures().to(where))(source, "layer1", True)
        ((module, output),) = seen
    assert not any(isinstance(part, nn.BatchNorm2d) for part in module.modules())
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert output.is_contiguous(memory_format=torch.channels_last)


def test_a_network_runs_once_a_batch_however_many_terms_read_it(resnet) -> None:
    runs = []
    watched = copy.deepcopy(resnet)
    watched.conv1.register_forward_hook(lambda *_: runs.append(1))
    source = Objectives(watched)
    wanted = [source("layer1", 0) - source("layer2", 1)]
    with prepared_networks(wanted, (48, 48), CPU, before_relu=True, dtype=torch.float32) as networks:
        read = networks.fast_activations(pictures())
        runs.clear()
        for layer in ("layer1", "layer2", "layer1"):
            for before in (True, False):
                read(source, layer, before)
    assert runs == [1]


class Viewing(nn.Module):
    """Takes a `view`, which pictures with channels last in memory cannot bear."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4 * 14 * 14, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).view(len(x), -1))


def test_a_network_with_a_view_is_ready_too() -> None:
    torch.manual_seed(0)
    source = Objectives(Viewing())
    with prepared_networks([source.logit(1)], (16, 16), CPU, before_relu=True, dtype=torch.float32) as networks:
        for read in (networks.fast_activations, networks.exact_activations):
            found = read(pictures(size=16).contiguous(memory_format=torch.channels_last))(source, "", False)
            torch.testing.assert_close(found, source.model(normalize(pictures(size=16))))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_network_of_another_type_is_measured_in_float32(resnet, dtype: torch.dtype) -> None:
    source = Objectives(copy.deepcopy(resnet).to(dtype))
    with prepared_networks([source("layer1", 0)], (48, 48), CPU, before_relu=True, dtype=torch.float32) as networks:
        measured = networks.exact_activations(pictures())(source, "layer1", True)
    assert source.model.conv1.weight.dtype == dtype
    with activations_of(resnet, ["layer1"]) as activations:
        expected = activations(normalize(pictures()))["layer1"]
    assert (measured - expected).abs().max() < 0.05 * expected.abs().max()


def test_stuck_layers_are_known_from_the_first_step() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.MaxPool2d(2))
    with torch.no_grad():
        model[0].weight.fill_(-1)
        model[0].bias.fill_(-9)
    source = Objectives(model)
    seen = pictures(size=16).requires_grad_(True)
    with prepared_networks([source("2", 0)], (16, 16), CPU, before_relu=True, dtype=torch.float32) as networks:
        (gradient,) = torch.autograd.grad(-networks.fast_activations(seen)(source, "2", True).sum(), seen)
    assert gradient.any()


def test_mistakes_are_all_named_at_once(resnet) -> None:
    base, alexnet = Objectives(resnet), Objectives(build("alexnet"))
    wanted = [
        base("layer4.1", 512),
        base("layer4.1", 3) - base("layer4.l", 0),
        base.neuron("layer3", 0, at=(3, 0)),
        base.direction("layer1", torch.ones(3)),
        base.logit(7),
        alexnet("features.12", 0) * 2,
        base("layer1", 1) * 0,
        (base("layer1", 0) + 1).parts()[1] * 2,
    ]
    said = find_problems(wanted, (48, 48))
    assert len(said) == 7
    for part in (
        "nothing to render",
        "layer4.1 has no channel 512: it has 512, 0 to 511",
        "'layer4.l'; close names: layer4",
        "layer3 has no position (3, 0): its map is 3 × 3",
        "layer1: a direction needs one number per channel, 64, not (3,)",
        "the output has no channel 7: it has 5",
        "features.12: a picture of 48 × 48 px is too small for it, the least is 63 px",
    ):
        assert sum(part in line for line in said) == 1
    networks = prepared_networks(wanted, (48, 48), CPU, before_relu=True, dtype=torch.float32)
    with pytest.raises(InputError) as caught, networks:
        pass
    assert str(caught.value) == "\n".join(said)
