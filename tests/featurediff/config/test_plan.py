"""From the config to what has to be made."""

import copy
import shutil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import REPOSITORY

from feature_vis.errors import InputError
from featurediff.config.check import find_mistakes
from featurediff.config.plan import Plan, batches

SCHEMA = REPOSITORY / "config" / "schema.yaml"


@given(st.sets(st.integers(0, 500)), st.integers(1, 70))
def test_batches_hold_each_channel_once_in_order(channels: set[int], size: int) -> None:
    parts = batches(sorted(channels), size)
    assert [channel for part in parts for channel in part] == sorted(channels)
    assert all(len(part) == size for part in parts[:-1])


def test_recipes_go_from_general_to_particular(config) -> None:
    plan = Plan(config)
    assert plan.recipe("layer4")["steps"] == 4
    assert plan.recipe("layer3")["steps"] == 5
    assert plan.recipe("layer3", 1) == plan.recipe("layer3") | {"steps": 6, "size": 48}
    assert set(plan.recipes("layer3", (0, 1))["channels"]) == {"1"}
    assert plan.recipes("layer3", (0, 2))["channels"] == {}


def test_layers_with_equal_batches_share_a_rule(config) -> None:
    assert Plan(config).batches() == {(0, 1, 2): ["layer3", "layer4"]}


@pytest.mark.parametrize("size", [1, 2, 15, 16, 20, 33, 64, 100, 512])
@pytest.mark.parametrize("count", [1, 15, 16, 17, 45, 100])
def test_there_is_a_lead_in_every_batch(config, size: int, count: int) -> None:
    config["visualize"]["batch"] = size
    config["visualize"]["layers"] = {"layer3": {"channels": f"5-{count + 4}"}}
    plan = Plan(config, counts={"layer3": 200})
    leads = set(plan.leads("layer3"))
    assert leads <= set(plan.channels["layer3"])
    assert all(leads.intersection(batch) for batch in plan.batches())
    if size >= 16:
        assert leads == {*range(5, count + 5, 16), count + 4}


def test_the_networks_of_a_plan(config) -> None:
    plan = Plan(config)
    assert (plan.base, plan.tuned, plan.trained, plan.loaded) == ("base", ["tuned"], ["base", "tuned"], [])
    assert plan.architecture("tuned") == "resnet18"
    assert plan.starts_from("tuned") == "base"
    assert plan.starts_from("base") is None


def test_without_a_film_there_is_none(config) -> None:
    plan = Plan(config)
    assert (plan.filmed, plan.film_channels) == ([], {})


def test_a_film_of_the_most_changed_channels(config) -> None:
    config["film"] = {}
    assert find_mistakes(config, SCHEMA) == []
    plan = Plan(config)
    assert plan.filmed == ["tuned"]
    assert plan.film_channels == {"layer3": 3, "layer4": 3}  # as many as there are, below 16
    assert plan.film_epochs("tuned") == [0, 1, 2]
    film = plan.film("tuned")
    assert film["seeds"] == [0, 1, 2, 3]
    assert film["recipes"]["layer3"] == plan.recipes("layer3", (0, 1, 2))


def test_a_film_of_named_channels_at_named_epochs(config) -> None:
    config["film"] = {"channels": {"layer4": "1-2", "layer3": "all"}, "epochs": [9, 2, 0], "seeds": 1}
    assert find_mistakes(config, SCHEMA) == []
    plan = Plan(config)
    assert plan.film_channels == {"layer4": [1, 2], "layer3": [0, 1, 2]}
    assert plan.film_epochs("tuned") == [0, 2]
    assert plan.film("tuned")["seeds"] == [0]


def test_a_training_may_have_a_seed_of_its_own(config) -> None:
    config["seed"] = 5
    config["networks"]["tuned"]["training"]["seed"] = 7
    assert find_mistakes(config, SCHEMA) == []
    plan = Plan(config)
    assert (plan.training("base")["seed"], plan.training("tuned")["seed"]) == (5, 7)
    assert plan.recipe("layer4")["seed"] == 5


def test_a_control_is_another_run_of_a_network(config) -> None:
    again = copy.deepcopy(config["networks"]["tuned"]) | {"control_of": "tuned"}
    again["training"]["seed"] = 1
    config["networks"]["again"] = again
    assert find_mistakes(config, SCHEMA) == []
    assert Plan(config).controls == {"again": "tuned"}


def test_a_gpu_that_is_required_is_one_gpu(config) -> None:
    for value, gpus in ((None, 1), (0, 0), (1, 1), ("required", 1)):
        assert Plan(config if value is None else {**config, "gpu": value}).gpu == gpus


def test_a_training_may_have_threads_of_its_own(config) -> None:
    config["threads"] = 3
    config["networks"]["tuned"]["training"] |= {"threads": 5, "cache_mb": 4000}
    assert find_mistakes(config, SCHEMA) == []
    plan = Plan(config, {})
    assert (plan.training_threads("base"), plan.training_threads("tuned")) == (3, 5)
    assert (plan.training_memory("base"), plan.training_memory("tuned")) == (8000, 11000)
    assert "threads" not in plan.training("tuned")  # or more of them would look like another training


def test_photographs_without_classes_probe_all_networks(config) -> None:
    config["data"]["photos"] = {"format": "unlabelled", "root": "photos"}
    config["compare"] = {"probe": {"data": "photos", "size": 96, "resize": 110}}
    assert find_mistakes(config, SCHEMA) == []
    plan = Plan(config)
    assert plan.probe_data("tuned") == ["photos"]
    probe = plan.probe("tuned")
    assert (probe["roots"], probe["size"], probe["resize"]) == ({"photos": "photos"}, 96, 110)
    assert plan.changes_from("tuned") == "layer4"


def test_a_users_network_is_told_by_its_source(config, own, tmp_path) -> None:
    shutil.copy(f"{own}.py", tmp_path / "nets.py")
    model = f"{tmp_path}/nets:cnn"
    config["networks"]["base"]["model"] = model
    config["compare"] = {"embedder": {"model": model, "weights": "w.pth"}}
    config["film"] = {}

    def asked() -> list[Any]:
        plan = Plan(config, {"layer3": 12, "layer4": 12})
        assert plan.architecture("tuned") == model
        return [plan.model("tuned"), plan.embedder, plan.film("tuned")]

    before = asked()
    assert all(len(each["source"]) == 64 for each in before)
    assert asked() == before
    with (tmp_path / "nets.py").open("a") as source:
        source.write("# a change\n")
    assert all(one["source"] != other["source"] for one, other in zip(before, asked(), strict=True))
    config["networks"]["base"]["model"] = f"{tmp_path}/gone:cnn"
    with pytest.raises(InputError, match=r"there is no file .*gone\.py"):
        Plan(config, {"layer3": 12, "layer4": 12}).model("base")
