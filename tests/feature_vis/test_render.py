"""The renderer: pictures rise, of any network and by any recipe, and leave the network as it was."""

import copy
import dataclasses
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from alike import alike
from answers import answer
from PIL import Image
from torch import Tensor, nn

from feature_vis.errors import InputError
from feature_vis.evaluation import values
from feature_vis.images.colors import IMAGENET_COLORS
from feature_vis.images.statistics import ImageStatistics, magnitude_spectrum, save_statistics
from feature_vis.networks.models import build, load_file, load_state
from feature_vis.objectives import Objective, Objectives
from feature_vis.optimisation import checkpointing
from feature_vis.recipe import CHOICES, Recipe
from feature_vis.regularizers import REGULARIZERS
from feature_vis.render import Rendered, render

RECIPE = Recipe(size=48, steps=6, precision="float32")
STILL = dataclasses.replace(RECIPE, transforms="none")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def base(resnet) -> Objectives:
    return Objectives(resnet)


def tiny(channels: int = 3) -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(channels, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.ReLU()]
    return nn.Sequential(*layers)


def one(objective: Objective, recipe: Recipe, **options: object) -> Rendered:
    (picture,) = render([objective], recipe, **options)
    return picture


FAMILIES = {"resnet18": "layer4.1", "mobilenet_v2": "features.17", "mobilenet_v3_small": "features.11"}
FAMILIES |= {"efficientnet_b0": "features.7", "convnext_tiny": "features.7", "vgg11_bn": "features.28"}
FAMILIES |= {"googlenet": "inception5b", "densenet121": "features.denseblock4", "swin_t": "features.7"}
FAMILIES |= {"regnet_y_400mf": "trunk_output.block4", "vit_b_32": "encoder.layers.encoder_layer_1"}
FAMILIES |= {"squeezenet1_1": "features.12", "shufflenet_v2_x0_5": "stage4", "mnasnet0_5": "layers.12"}
FAMILIES |= {"inception_v3": "Mixed_7c"}


@pytest.mark.parametrize(("name", "layer"), FAMILIES.items())
def test_every_family_of_networks_rises(name: str, layer: str) -> None:
    torch.manual_seed(0)
    source = Objectives(build(name))
    size = {"vit_b_32": 224, "inception_v3": 75}.get(name, 48)
    still = dataclasses.replace(STILL, size=size, steps=5, schedule="plain")
    # in some new networks activations all but vanish, and Adam's epsilon would drown their gradients
    for picture in render([1e10 * source(layer, channel) for channel in (3, 17)], still):
        assert picture.trajectory[-1] > picture.trajectory[0]
        assert picture.activation_reached > picture.activation_start
        assert picture.stopped == "steps"


def test_what_was_reached_is_what_the_network_answers_to_the_picture(base, resnet) -> None:
    for objective, expected in [
        (base("layer4.1", 3), lambda picture: answer(resnet, "layer4.1", picture)[0, 3].mean()),
        (base.logit(2), lambda picture: answer(resnet, "", picture)[0, 2]),
        (base.neuron("layer2", 5), lambda picture: answer(resnet, "layer2", picture)[0, 5, 3, 3]),
        (base.layer("layer2"), lambda picture: answer(resnet, "layer2", picture).square().mean()),
        (-base.direction("layer2", torch.ones(128)), lambda x: -answer(resnet, "layer2", x)[0].mean((1, 2)).sum()),
    ]:
        result = one(objective, STILL)
        assert result.activation_reached == pytest.approx(float(expected(result.picture)), rel=1e-3)
        assert result.activation_reached > result.activation_start


def test_tuned_and_base_start_alike_and_see_the_same_transforms(base) -> None:
    torch.manual_seed(1)
    tuned = Objectives(build("resnet18", classes=5))
    still = dataclasses.replace(RECIPE, steps=1, learning_rate=1e-12)
    pictures = [one(source("layer4.1", 2), still).picture for source in (base, tuned)]
    assert np.array_equal(*pictures)


def test_a_difference_of_two_networks_rises(base, resnet) -> None:
    torch.manual_seed(1)
    tuned_model = copy.deepcopy(resnet)
    with torch.no_grad():
        tuned_model.layer4[1].conv2.weight.add_(0.05 * torch.randn_like(tuned_model.layer4[1].conv2.weight))
    tuned = Objectives(tuned_model)
    result = one(tuned("layer4.1", 7) - base("layer4.1", 7), dataclasses.replace(STILL, steps=12))
    apart = [float(answer(model, "layer4.1", result.picture)[0, 7].mean()) for model in (tuned_model, resnet)]
    assert result.activation_reached == pytest.approx(apart[0] - apart[1], rel=1e-3)
    assert result.activation_reached > result.activation_start + 0.1
    sum_of_both = one(tuned("layer4.1", 7) + base("layer4.1", 7), dataclasses.replace(STILL, steps=12))
    assert sum_of_both.objective == "(layer4.1:7 + layer4.1:7)"
    assert not np.array_equal(sum_of_both.picture, result.picture)


def test_the_difference_of_units_that_are_off_rises_by_default(tmp_path) -> None:
    """Before both ReLUs it would rise by pushing the base's unit lower, and stay 0 after them."""
    base_model, tuned_model = tiny(), tiny()
    with torch.no_grad():
        for model, bias in ((base_model, -4), (tuned_model, -1)):
            model[3].bias[1] = bias
    base, tuned = Objectives(base_model), Objectives(tuned_model)
    settings = {"steps": 60, "learning_rate": 0.3, "transforms": "none"}
    wanted = [tuned("4", 1) - base("4", 1), -base("4", 1) + tuned("4", 1), -(base("4", 1) - tuned("4", 1))]
    for objective in [*wanted, tuned("4", 1) / (1 + base("4", 1))]:
        found, after = (
            one(objective, dataclasses.replace(STILL, objective=name, **settings)) for name in CHOICES["objective"]
        )
        assert found.activation_start == after.activation_reached == 0
        assert found.activation_reached > 0.01
    assert np.all(after.picture == after.picture[0, 0]) or after.picture.std() < 5  # grey
    Image.fromarray(found.picture).save(tmp_path / "start.png")
    still = dataclasses.replace(STILL, start=str(tmp_path / "start.png"))
    first, *others = [one(objective, still) for objective in wanted]
    assert all(alike(first, other) for other in others)  # from one start, by whichever expression
    grey = one(-base("4", 1), dataclasses.replace(STILL, **settings))
    assert not grey.trajectory.any()  # what is off already is not pushed lower


def test_copies_of_an_objective_start_from_different_noise(base) -> None:
    objective = base("layer2", 3)
    first, second = render([objective] * 2, STILL)
    assert not np.array_equal(first.picture, second.picture)
    assert alike(first, one(objective, STILL))


def test_pictures_of_different_seeds_are_rendered_together(base, tmp_path: Path) -> None:
    objective, counts = base("layer2", 3), []
    recipes = [dataclasses.replace(STILL, seed=seed) for seed in (4, 0, 9)]
    results = list(render([objective] * 3, recipes, progress=counts.append, resume=tmp_path))
    assert counts == [3] * STILL.steps
    for result, recipe in zip(results, recipes, strict=True):
        assert result.recipe == recipe
        assert alike(result, one(objective, recipe))


def test_diversity_makes_a_set_of_pictures_less_alike(base, resnet) -> None:
    term = base.diversity("layer2")

    def reached(weight: float) -> float:
        results = render([base("layer3.1", 3) + weight * term] * 3, dataclasses.replace(STILL, steps=16))
        seen = torch.cat([answer(resnet, "layer2", result.picture) for result in results])
        return float(values([term] * 3, lambda *_: seen, CPU).mean())

    assert reached(10.0) > 1.2 * reached(0.0) > 0


def test_each_objective_by_its_own_recipe(base) -> None:
    wanted = [base("layer3.1", 0), base("layer3.1", 1), base("layer2", 1)]
    small = dataclasses.replace(RECIPE, size=(32, 40), steps=3)
    counts: list[int] = []
    results = list(render(wanted, [RECIPE, small, small], progress=counts.append))
    assert counts == [1] * 12
    assert [result.index for result in results] == [0, 1, 2]
    assert [result.picture.shape for result in results] == [(48, 48, 3), (32, 40, 3), (32, 40, 3)]
    assert [len(result.trajectory) for result in results] == [6, 3, 3]
    assert results[1].recipe == small
    assert [result.objective for result in results] == ["layer3.1:0", "layer3.1:1", "layer2:1"]
    with pytest.raises(InputError, match="3 objectives need as many recipes"):
        list(render(wanted, [RECIPE] * 2))
    mistaken = [*wanted, base("layer4.1", 512), base("layer4.l", 0)]
    with pytest.raises(InputError, match=r"(?s)512, 0 to 511.*layer4\.l'; close names: layer4\.1"):
        list(render(mistaken, RECIPE, progress=counts.append))
    assert len(counts) == 12  # before any work


@pytest.mark.parametrize("channels", [1, 4])
def test_other_counts_of_colour_channels(channels: int) -> None:
    source = Objectives(tiny(channels), mean=(0.5,) * channels, std=(0.25,) * channels)
    result = one(source("4", 2), dataclasses.replace(RECIPE, steps=12))
    assert result.picture.shape == (48, 48, channels)
    assert result.activation_reached > result.activation_start
    assert result.image().mode == {1: "L", 4: "RGBA"}[channels]
    assert result.image().size == (48, 48)


@pytest.mark.parametrize("parameterization", CHOICES["parameterization"])
@pytest.mark.parametrize("schedule", CHOICES["schedule"])
def test_every_parameterization_rises(parameterization: str, schedule: str, tmp_path) -> None:
    size = (96, 100) if schedule == "growing" else (33, 48)
    photograph = torch.rand((3, 8, 8), generator=torch.Generator().manual_seed(0)).repeat_interleave(16, 1)
    magnitude = magnitude_spectrum([photograph.repeat_interleave(16, 2)], size, IMAGENET_COLORS)
    file = str(tmp_path / "statistics.npz")
    save_statistics(file, ImageStatistics(IMAGENET_COLORS, magnitude, size))
    settings = {"parameterization": parameterization, "statistics": file, "schedule": schedule}
    result = one(Objectives(tiny())("4", 2), dataclasses.replace(STILL, size=size, steps=12, **settings))
    assert result.picture.shape == (*size, 3)
    assert result.trajectory[-1] > result.trajectory[0]
    assert result.activation_reached > result.activation_start


def test_a_picture_to_start_from(base, tmp_path) -> None:
    pixels = np.random.default_rng(0).integers(40, 215, (12, 10, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((50, 48), Image.Resampling.BICUBIC).save(tmp_path / "start.png")
    given = np.asarray(Image.open(tmp_path / "start.png"))
    still = dataclasses.replace(STILL, size=(48, 50), start=str(tmp_path / "start.png"), schedule="growing")
    result = one(base("layer2", 3), dataclasses.replace(still, steps=1, learning_rate=1e-12))
    assert np.abs(result.picture.astype(int) - given).max() <= 2
    assert one(base("layer2", 3), still).activation_reached > result.activation_start
    with pytest.raises(InputError, match="no such file"):
        one(base("layer2", 3), dataclasses.replace(still, start=str(tmp_path / "absent.png")))


@pytest.mark.parametrize("name", REGULARIZERS)
def test_a_regularizer_lowers_what_it_penalises(name: str) -> None:
    objective = Objectives(tiny())("4", 2)
    paid = []
    for weight in (0.0, 100.0):
        result = one(objective, dataclasses.replace(STILL, steps=24, regularizers={name: weight}))
        picture = torch.from_numpy(result.picture).permute(2, 0, 1)[None] / 255
        paid.append(float(REGULARIZERS[name](picture)))
    assert paid[1] < 0.7 * paid[0]


def test_the_papers_recipe_reads_after_the_relu() -> None:
    """With it a channel that is off stays grey; with the default it does not."""
    model = tiny()
    with torch.no_grad():
        model[3].bias[1] = -5
    objective = Objectives(model)("4", 1)
    settings = {"size": 48, "steps": 30, "learning_rate": 0.3}
    paper = one(objective, Recipe.from_settings({"mode": "paper", **settings}))
    assert paper.activation_reached == paper.activation_start == 0
    assert not paper.trajectory.any()
    ours = one(objective, Recipe(**settings, precision="float32"))
    assert ours.trajectory[-1] > ours.trajectory[0]
    assert not np.array_equal(ours.picture, paper.picture)


def test_a_channel_among_concatenated_branches_does_not_stay_grey() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Conv2d(3, 2, 3), nn.Conv2d(3, 2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([self.left(x).relu(), self.right(x).relu()], 1)

    torch.manual_seed(0)
    model = nn.Sequential(Branches())
    with torch.no_grad():
        model[0].right.weight[1].fill_(0.02)
        model[0].right.bias[1] = -0.3
    objective = Objectives(model)("0", 3)
    for transforms in ("none", "small"):
        ours = one(objective, dataclasses.replace(RECIPE, steps=60, transforms=transforms))
        assert ours.activation_start == 0
        assert ours.activation_reached > 0.1
    assert one(objective, dataclasses.replace(RECIPE, objective="post_relu")).activation_reached == 0


def test_a_transform_of_the_users_own(base) -> None:
    seen = []

    def transform(pictures: Tensor) -> Tensor:
        seen.append((tuple(pictures.shape), float(pictures.detach().min()), float(pictures.detach().max())))
        return pictures.flip(-1)

    result = one(base("layer2", 3), RECIPE, transform=transform, batch=2)  # no trial, as a GPU makes one
    assert {shape for shape, _, _ in seen} == {(2, 3, 48, 48)}
    assert min(low for _, low, _ in seen) >= 0
    assert max(high for _, _, high in seen) <= 1
    assert len(seen) == RECIPE.steps
    assert not np.array_equal(result.picture, one(base("layer2", 3), STILL).picture)


@pytest.mark.parametrize("schedule", CHOICES["schedule"])
@pytest.mark.parametrize("after", [1, 4, 9, 14])
def test_an_interrupted_render_goes_on_where_it_was(schedule: str, after: int, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(checkpointing, "_INTERVAL", 0)
    source = Objectives(tiny())
    wanted = [source("4", channel) for channel in range(4)]
    recipe = Recipe(size=96, steps=9, schedule=schedule, precision="float32")
    whole, again = list(render(wanted, recipe, batch=2)), []
    interrupt = Mock(side_effect=[*[None] * after, KeyboardInterrupt])
    with pytest.raises(KeyboardInterrupt):
        list(render(wanted, recipe, batch=2, resume=tmp_path / "unfinished", progress=interrupt))
    resumed = list(render(wanted, recipe, batch=2, resume=tmp_path / "unfinished", progress=again.append))
    assert again == [2] * (18 - after % 9)  # a batch's files are gone when its pictures have been handed out
    for ours, theirs in zip(resumed, whole, strict=True):
        assert alike(ours, theirs)
    assert not (tmp_path / "unfinished").exists()


def test_the_network_is_left_as_it_was(tmp_path) -> None:
    torch.manual_seed(0)
    model = build("resnet18", classes=5)
    model.train()
    model.layer1.eval()
    model.conv1.weight.requires_grad_(False)
    kept = []
    model.layer3.register_forward_hook(lambda *_: kept.append(1))

    def condition() -> list[object]:
        modules = [(name, type(module), module.training) for name, module in model.named_modules()]
        hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules()]
        tensors = [
            (name, tensor.data_ptr(), tensor.stride(), tensor.dtype, tensor.requires_grad, tensor.grad)
            for name, tensor in [*model.named_parameters(), *model.named_buffers()]
        ]
        return [modules, hooks, tensors]

    before, state = condition(), copy.deepcopy(model.state_dict())
    source = Objectives(model)
    list(render([source("layer2", 0), source("layer3", 0)], RECIPE, resume=tmp_path / "unfinished"))
    with pytest.raises(InputError):
        list(render([source("layer2", 9999)], RECIPE))
    with pytest.raises(KeyboardInterrupt):
        list(render([source("layer2", 0)], RECIPE, progress=Mock(side_effect=KeyboardInterrupt)))
    unfinished = render([source("layer2", 0)] * 2, RECIPE)
    next(unfinished)
    unfinished.close()
    assert condition() == before
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.shared_data
def test_real_channels_render_and_stay_grey_only_after_the_relu(shared_data: Path) -> None:
    source = Objectives(load_state("resnet50", load_file(shared_data / "weights" / "resnet50.pth"), "resnet50.pth"))
    wanted = [source("layer4.2", channel) for channel in (7, 9, 100, 309)]
    for result in render(wanted, Recipe(size=96, steps=24)):
        assert result.activation_reached > 2
        assert result.picture.std() > 10
    after_relu = render(wanted, Recipe(size=96, steps=24, objective="post_relu"))
    assert any(result.activation_reached == 0 and result.picture.std() < 2 for result in after_relu)


def test_a_picture_grows_over_sizes_that_the_network_takes_and_one_of_another_size_is_refused(base) -> None:
    growing = dataclasses.replace(STILL, size=150, steps=6, schedule="growing")  # over 64 and 107 px
    result = one(Objectives(build("inception_v3"))("Mixed_7c", 3), growing)
    assert len(result.trajectory) == 6
    assert one(base.neuron("layer2", 5, at=(17, 17)), growing).stopped == "steps"
    torch.manual_seed(0)
    source = Objectives(build("vit_b_32"))
    growing = dataclasses.replace(growing, size=224, steps=3)
    result = one(source("encoder.layers.encoder_layer_0", 3), growing)
    assert result.activation_reached > result.activation_start
    for other in ({"size": 128}, {"transforms": "lucid"}, {"transforms": "lucid", "size": 212}):
        with pytest.raises(InputError, match="refuses a picture of"):
            one(source("encoder.layers.encoder_layer_0", 3), dataclasses.replace(growing, **other))


@pytest.mark.gpu
def test_on_a_gpu_the_same_channel_is_excited(resnet) -> None:
    wanted = [Objectives(resnet)("layer3.1", channel) for channel in range(12)]
    recipe = Recipe(size=64, steps=24, transforms="none", precision="float32")
    there = list(render(wanted, recipe, device="cuda"))
    here = list(render(wanted, recipe, device="cpu"))
    assert all(result.activation_reached > result.activation_start for result in there)
    reached = np.array([[result.activation_reached for result in results] for results in (there, here)])
    assert np.allclose(reached[0], reached[1], rtol=0.1)  # the ascent lets rounding grow


@pytest.mark.gpu
@pytest.mark.parametrize("settings", [{}, {"transforms": "crops"}, {"plateau": 0.05, "steps": 60}])
def test_a_step_that_a_gpu_replays_is_the_step(resnet, settings: dict) -> None:
    wanted = [Objectives(resnet)("layer2", channel) for channel in range(6)]
    recipe = dataclasses.replace(RECIPE, **{"steps": 24, **settings})
    found = [list(render(wanted, recipe, device="cuda", cuda_graph=graph)) for graph in (False, True)]
    reached = np.array([[result.activation_reached for result in results] for results in found])
    assert np.allclose(reached[0], reached[1], rtol=0.1)
    assert np.allclose(found[0][0].trajectory[:6], found[1][0].trajectory[:6], rtol=0.01)


def test_what_cannot_be_recorded_is_refused(base) -> None:
    for own in ({"transform": torch.clone}, {"optimizer": torch.optim.SGD}):
        with pytest.raises(InputError, match="cannot be recorded"):
            one(base("layer2", 3), RECIPE, cuda_graph=True, **own)
    assert alike(one(base("layer2", 3), RECIPE, cuda_graph=True), one(base("layer2", 3), RECIPE))
