"""The renderer: pictures rise, stand alone in their batch, and leave the network as it was."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from feature_vis.errors import InputError
from feature_vis.models import build
from feature_vis.recipe import Recipe
from feature_vis.render import FeatureVisualizer, render

RECIPE = Recipe(size=48, steps=6)


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    torch.manual_seed(0)
    return build("resnet18", classes=5)


def test_activation_rises_for_every_channel(resnet) -> None:
    for result in render(
        resnet, "layer3.1", [(channel, Recipe(size=48, steps=16, transforms="none")) for channel in range(4)]
    ):
        assert result.activation_reached > result.activation_start
        assert result.trajectory[-1] > result.trajectory[0]
        assert result.picture.shape == (48, 48, 3)
        assert result.picture.std() > 5


def test_a_channel_is_the_same_whichever_others_are_rendered_with_it(resnet) -> None:
    together = {r.channel: r.picture for r in render(resnet, "layer4.1", [(c, RECIPE) for c in range(11)])}
    alone = next(iter(render(resnet, "layer4.1", [(9, RECIPE)])))
    mixed = {r.channel: r.picture for r in render(resnet, "layer4.1", [(9, RECIPE), (3, RECIPE), (5, RECIPE)])}
    assert np.array_equal(alone.picture, together[9])
    assert all(np.array_equal(mixed[c], together[c]) for c in mixed)


def test_base_and_tuned_start_alike_and_see_the_same_transforms(resnet) -> None:
    torch.manual_seed(1)
    other = build("resnet18", classes=5)
    still = Recipe(size=48, steps=1, learning_rate=1e-12)
    pictures = [next(iter(render(model, "layer4.1", [(2, still)]))).picture for model in (resnet, other)]
    assert np.array_equal(*pictures)


def test_channels_with_their_own_recipes(resnet) -> None:
    results = {r.channel: r for r in render(resnet, "layer3.1", [(0, RECIPE), (1, Recipe(size=32, steps=3))])}
    assert results[0].picture.shape[0] == 48
    assert results[1].picture.shape[0] == 32
    assert len(results[1].trajectory) == 3


def test_the_network_is_left_as_it_was(resnet) -> None:
    resnet.train()
    resnet.layer1.eval()
    resnet.conv1.weight.requires_grad_(False)
    modes = [module.training for module in resnet.modules()]
    flags = [parameter.requires_grad for parameter in resnet.parameters()]
    state = {name: tensor.clone() for name, tensor in resnet.state_dict().items()}
    list(render(resnet, "layer2", [(0, RECIPE)]))
    with pytest.raises(InputError):
        list(render(resnet, "layer2", [(9999, RECIPE)]))
    assert [module.training for module in resnet.modules()] == modes
    assert [parameter.requires_grad for parameter in resnet.parameters()] == flags
    assert all(torch.equal(state[name], tensor) for name, tensor in resnet.state_dict().items())
    assert resnet.layer2[0].conv1.weight.is_contiguous()
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in resnet.modules())
    resnet.eval().requires_grad_(True)


def test_a_channel_out_of_range_says_how_many_there_are(resnet) -> None:
    with pytest.raises(InputError, match="512"):
        list(render(resnet, "layer4.1", [(512, RECIPE)]))


def test_progress_counts_each_wanted_picture_once(resnet) -> None:
    counted = []
    list(render(resnet, "layer1", [(c, RECIPE) for c in range(3)], progress=counted.append))
    assert sum(counted) == 3 * RECIPE.steps


def test_the_originals_snippet(resnet) -> None:
    visualize = FeatureVisualizer(resnet, device=torch.device("cpu"), img_shape=(48, 40), transforms="small")
    picture = visualize(act_idx=3, epochs=4, progress=False)
    assert isinstance(picture, Image.Image)
    assert picture.size == (40, 48)
    assert picture.tobytes() == visualize(act_idx=3, epochs=4, progress=False).tobytes()


def test_maximize_false_lowers_the_activation(resnet) -> None:
    logits = []
    for maximize in (True, False):
        visualize = FeatureVisualizer(resnet, img_shape=(48, 48), transforms="none")
        picture = visualize(
            2, epochs=12, maximize=maximize, progress=False, optim=torch.optim.SGD, lr=5.0, momentum=0.5
        )
        x = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None] / 255
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        logits.append(resnet((x - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1))[0, 2].item())
    assert logits[0] > logits[1]


def test_a_hook_and_a_transform_of_the_users_own(resnet) -> None:
    seen = []

    def hook(module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        seen.append(module)
        return output[:, 10:20]

    moved = []
    visualize = FeatureVisualizer(
        resnet, img_shape=(48, 48), layer="layer3.0", hook=hook, transforms=lambda x: moved.append(1) or x.flip(-1)
    )
    visualize(act_idx=9, epochs=2, progress=False)
    with pytest.raises(InputError, match="10"):
        visualize(act_idx=10, epochs=1, progress=False)
    assert seen[0] is resnet.layer3[0]
    assert len(moved) >= 2


@pytest.mark.shared_data
def test_real_channels_render_and_none_stays_grey(shared_data) -> None:
    from feature_vis.models import load_file, load_state

    model = load_state("resnet18", load_file(shared_data / "weights" / "resnet18.pth"), "resnet18.pth")
    for result in render(model, "layer4.1", [(channel, Recipe(size=64, steps=32)) for channel in range(8)]):
        assert result.activation_reached > 5
        assert result.picture.std() > 15
