"""From the config to what has to be made."""

import copy
import shutil
from typing import Any

import pytest
from made_config import plan_of

from feature_vis.errors import InputError


def test_a_batch_has_the_layers_recipe_and_those_of_channels_that_differ(config) -> None:
    plan = plan_of(config)
    assert (plan.recipe("layer4")["steps"], plan.recipe("layer3")["steps"]) == (4, 5)
    assert plan.recipe("layer3", 1) == plan.recipe("layer3") | {"steps": 6, "size": 48}
    assert plan.recipe("layer3", 0) == plan.recipe("layer3")
    assert plan.recipes("layer3", (0, 1)) == {
        "layer": plan.recipe("layer3"),
        "channels": {"1": plan.recipe("layer3", 1)},
    }
    assert plan.recipes("layer3", (0, 2))["channels"] == {}


def test_layers_with_equal_batches_share_a_rule(config) -> None:
    assert plan_of(config).batches() == {(0, 1, 2): ["layer3", "layer4"]}


@pytest.mark.parametrize("size", [1, 2, 15, 16, 20, 33, 64, 100, 512])
@pytest.mark.parametrize("count", [1, 15, 16, 17, 45, 100])
def test_a_batch_is_of_consecutive_channels_and_has_a_lead(config, size: int, count: int) -> None:
    config["visualize"]["batch"] = size
    config["visualize"]["layers"] = {"layer3": {"channels": f"5-{count + 4}"}}
    plan = plan_of(config)
    channels, batches, leads = plan.channels["layer3"], list(plan.batches()), set(plan.leads("layer3"))
    assert [channel for batch in batches for channel in batch] == channels == list(range(5, count + 5))
    assert all(len(batch) == size for batch in batches[:-1])
    assert leads <= set(channels)
    assert all(leads.intersection(batch) for batch in batches)
    if size >= 16:
        assert leads == {*range(5, count + 5, 16), count + 4}


def test_every_picture_has_its_path(config) -> None:
    plan = plan_of(config | {"seeds": 2, "results": "r"})
    pictures = list(plan.pictures())
    assert len(set(pictures)) == len(pictures) == 2 * plan.picture_count == 24
    assert {"r/tuned/pictures/layer4/channel2.png", "r/base/pictures/layer3/seed1/channel0.png"} <= set(pictures)


def test_the_networks_of_a_plan(config) -> None:
    plan = plan_of(config)
    assert (plan.base, plan.tuned, plan.trained, plan.loaded) == ("base", ["tuned"], ["base", "tuned"], [])
    assert plan.architecture("tuned") == "resnet18"
    assert plan.starts_from("tuned") == "base"
    assert plan.starts_from("base") is None


def test_without_a_film_there_is_none(config) -> None:
    plan = plan_of(config)
    assert (plan.filmed, plan.film_channels) == ([], {})


def test_a_film_of_the_most_changed_channels(config) -> None:
    config["film"] = {}
    plan = plan_of(config)
    assert plan.filmed == ["tuned"]
    assert plan.film_channels == {"layer3": 3, "layer4": 3}  # as many as there are, below 16
    assert plan.film_epochs("tuned") == [0, 1, 2]
    film = plan.film("tuned")
    assert film["seeds"] == [0, 1, 2, 3]
    assert film["recipes"]["layer3"] == plan.recipes("layer3", (0, 1, 2))


def test_a_film_of_named_channels_at_named_epochs(config) -> None:
    config["film"] = {"channels": {"layer4": "1-2", "layer3": "all"}, "epochs": [9, 2, 0], "seeds": 1}
    plan = plan_of(config)
    assert plan.film_channels == {"layer4": [1, 2], "layer3": [0, 1, 2]}
    assert plan.film_epochs("tuned") == [0, 2]
    assert plan.film("tuned")["seeds"] == [0]


def test_a_control_is_another_run_of_a_network(config) -> None:
    again = copy.deepcopy(config["networks"]["tuned"]) | {"control_of": "tuned"}
    again["training"]["seed"] = 1
    config["networks"]["again"] = again
    assert plan_of(config).controls == {"again": "tuned"}


def test_a_gpu_that_is_required_is_one_gpu(config) -> None:
    for value, gpus in ((None, 1), (0, 0), (1, 1), ("required", 1)):
        assert plan_of(config if value is None else {**config, "gpu": value}).gpu == gpus


def test_a_training_may_have_threads_of_its_own(config) -> None:
    config["threads"] = 3
    config["networks"]["tuned"]["training"] |= {"threads": 5, "cache_mb": 4000}
    plan = plan_of(config)
    assert (plan.training_threads("base"), plan.training_threads("tuned")) == (3, 5)
    assert (plan.training_memory("base"), plan.training_memory("tuned")) == (8000, 11000)
    assert "threads" not in plan.training("tuned")  # or more of them would look like another training


def test_photographs_without_classes_probe_all_networks(config) -> None:
    config["data"]["photos"] = {"format": "unlabelled", "root": "photos"}
    config["compare"] = {"probe": {"data": "photos", "size": 96, "resize": 110}}
    plan = plan_of(config)
    assert plan.probe_data("tuned") == ["photos"]
    assert plan.probe("tuned") == {"roots": {"photos": "photos"}, "size": 96, "resize": 110}


def test_without_other_photographs_those_of_the_training_probe(config) -> None:
    assert plan_of(config).probe("tuned") == {"roots": {"d": "d"}, "size": 224, "resize": None}
    config["networks"]["tuned"]["training"] |= {"size": 64, "resize": 68}
    assert plan_of(config).probe("tuned") == {"roots": {"d": "d"}, "size": 64, "resize": 68}


@pytest.mark.parametrize(
    ("change", "expected"), [({}, "layer4"), ({"frozen_statistics": "moving"}, None), ({"train_from": None}, None)]
)
def test_the_first_module_in_which_a_network_may_differ(config, change: dict[str, Any], expected: str | None) -> None:
    config["networks"]["tuned"]["training"] |= change
    assert plan_of(config).changes_from("tuned") == expected
    assert plan_of(config).changes_from("base") is None


def test_a_users_network_is_told_by_its_source(config, own, tmp_path) -> None:
    shutil.copy(f"{own}.py", tmp_path / "nets.py")
    model = f"{tmp_path}/nets:cnn"
    config["networks"]["base"]["model"] = model
    config["compare"] = {"embedder": {"model": model, "weights": "w.pth"}}
    config["film"] = {}

    def asked() -> list[Any]:
        plan = plan_of(config)
        assert plan.architecture("tuned") == model
        return [plan.model("tuned"), plan.embedder, plan.film("tuned")]

    before = asked()
    assert all(len(each["source"]) == 64 for each in before)
    assert asked() == before
    with (tmp_path / "nets.py").open("a") as source:
        source.write("# a change\n")
    assert all(one["source"] != other["source"] for one, other in zip(before, asked(), strict=True))
    config["networks"]["base"]["model"] = f"{tmp_path}/gone:cnn"
    with pytest.raises(InputError, match=r"gone\.py of the network gone does not exist"):
        plan_of(config).model("base")
