"""From the config to what has to be made."""

import shutil
from typing import Any

import pytest
from made_config import changed, plan_of

from feature_vis.errors import InputError


def test_a_batch_has_the_layers_recipe_and_those_of_channels_that_differ(config) -> None:
    plan = plan_of(config)
    assert (plan.recipe("layer4")["steps"], plan.recipe("layer3")["steps"]) == (4, 5)
    own = plan.recipe("layer3", 1)
    assert own == plan.recipe("layer3") | {"steps": 6, "size": 48}
    assert plan.recipe("layer3", 0) == plan.recipe("layer3")
    assert plan.recipes("layer3", (0, 1)) == {"layer": plan.recipe("layer3"), "channels": {"1": own}}
    assert plan.recipes("layer3", (0, 2))["channels"] == {}


@pytest.mark.parametrize("size", [1, 2, 15, 16, 20, 33, 64, 100, 512])
@pytest.mark.parametrize("count", [1, 15, 16, 17, 45, 100])
def test_a_batch_is_of_consecutive_channels_and_has_a_lead(config, size: int, count: int) -> None:
    config["visualize"]["batch"] = size
    config["visualize"]["layers"] = {layer: {"channels": f"5-{count + 4}"} for layer in ("layer3", "layer4")}
    plan = plan_of(config)
    channels, batches, leads = plan.channels["layer3"], plan.batches(), set(plan.leads("layer3"))
    assert [channel for batch in batches for channel in batch] == channels == list(range(5, count + 5))
    assert all(len(batch) == size for batch in list(batches)[:-1])
    assert all(layers == ["layer3", "layer4"] for layers in batches.values())
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
    assert (plan.starts_from("tuned"), plan.starts_from("base")) == ("base", None)
    again = config["networks"]["tuned"] | {"control_of": "tuned"}
    again["training"] = again["training"] | {"seed": 1}
    assert plan_of(changed({"networks": {"again": again}})).controls == {"again": "tuned"}


def test_each_network_s_difference_is_rendered_unless_there_are_no_starts(config) -> None:
    plan = plan_of(config)
    assert plan.differences == ["tuned"]
    assert (plan.difference()["starts"], plan.difference()["seed"], plan.difference()["recipe"]["steps"]) == (8, 0, 4)
    assert plan_of(changed("difference: {starts: 0}")).differences == []


def test_a_film_is_of_the_most_changed_channels_or_of_named_ones_at_named_epochs() -> None:
    plan = plan_of(changed("film: {}"))
    assert plan.filmed == ["tuned"]
    assert plan.film_channels == {"layer3": 3, "layer4": 3}  # as many as there are, below 16
    assert plan.film_epochs("tuned") == [0, 1, 2]
    film = plan.film("tuned")
    assert (film["seeds"], film["recipes"]["layer3"]) == ([0, 1, 2, 3], plan.recipes("layer3", (0, 1, 2)))
    plan = plan_of(changed("film: {channels: {layer4: 1-2, layer3: all}, epochs: [9, 2, 0], seeds: 1}"))
    assert plan.film_channels == {"layer4": [1, 2], "layer3": [0, 1, 2]}
    assert (plan.film_epochs("tuned"), plan.film("tuned")["seeds"]) == ([0, 2], [0])
    plan = plan_of(changed({}))
    assert (plan.filmed, plan.film_channels) == ([], {})


def test_a_gpu_that_is_required_is_one_gpu() -> None:
    assert [plan_of(changed(f"gpu: {value}")).gpu for value in (0, 1, "required")] == [0, 1, 1]
    assert plan_of(changed({})).gpu == 1


def test_a_training_has_the_seed_and_threads_of_the_config_where_it_has_none_of_its_own() -> None:
    own = "networks: {tuned: {training: {threads: 5, cache_mb: 4000, seed: 7}}}"
    plan = plan_of(changed(f"{{threads: 3, seed: 5, {own}}}"))
    assert (plan.training_threads("base"), plan.training_threads("tuned")) == (3, 5)
    assert (plan.training("base")["seed"], plan.training("tuned")["seed"]) == (5, 7)
    assert (plan.training_memory("base"), plan.training_memory("tuned")) == (8000, 11000)
    assert "threads" not in plan.training("tuned")  # or more of them would look like another training


PHOTOS = "data: {photos: {format: unlabelled, root: photos}}"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (f"{{{PHOTOS}, compare: {{probe: {{data: photos, size: 96, resize: 110}}}}}}", ("photos", 96, 110)),
        ({}, ("d", 224, None)),
        ("networks: {tuned: {training: {size: 64, resize: 68}}}", ("d", 64, 68)),
    ],
)
def test_the_configs_photographs_probe_all_networks_else_those_of_the_training(change, expected) -> None:
    plan, (name, size, resize) = plan_of(changed(change)), expected
    assert plan.probe_data("tuned") == [name]
    assert plan.probe("tuned") == {"roots": {name: name}, "size": size, "resize": resize}


@pytest.mark.parametrize(
    ("change", "expected"), [({}, "layer4"), ({"frozen_statistics": "moving"}, None), ({"train_from": None}, None)]
)
def test_the_first_module_in_which_a_network_may_differ(change: dict[str, Any], expected: str | None) -> None:
    plan = plan_of(changed({"networks": {"tuned": {"training": change}}}))
    assert (plan.changes_from("tuned"), plan.changes_from("base")) == (expected, None)


def test_a_users_network_is_told_by_its_source(config, own, tmp_path) -> None:
    source = tmp_path / "nets.py"
    shutil.copy(f"{own}.py", source)
    model = f"{tmp_path}/nets:cnn"
    config["networks"]["base"]["model"] = model
    config |= {"film": {}, "compare": {"embedder": {"model": model, "weights": "w.pth"}}}

    def asked() -> list[Any]:
        plan = plan_of(config)
        assert plan.architecture("tuned") == model
        return [plan.model("tuned"), plan.embedder, plan.film("tuned")]

    before = asked()
    assert all(len(each["source"]) == 64 for each in before)
    assert asked() == before
    source.write_text(f"{source.read_text()}# a change\n")
    assert all(one["source"] != other["source"] for one, other in zip(before, asked(), strict=True))
    config["networks"]["base"]["model"] = f"{tmp_path}/gone:cnn"
    with pytest.raises(InputError, match=r"gone\.py of the network gone does not exist"):
        plan_of(config).model("base")
