"""From the config to what has to be made."""

import copy
import shlex
import shutil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_config import CONFIG
from places import REPOSITORY

from feature_vis.errors import InputError
from featurediff.config.check import find_mistakes
from featurediff.config.plan import Plan, batches, code_digest, parse_channels, ranges, start_command
from featurediff.rendering.paths import picture_paths

SCHEMA = REPOSITORY / "config" / "schema.yaml"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (3, [3]),
        ("3", [3]),
        ("0-2", [0, 1, 2]),
        ([5, "1-2", 1], [1, 2, 5]),
        ("all", [0, 1, 2, 3, 4, 5, 6, 7]),
        ("1,4-5", [1, 4, 5]),
    ],
)
def test_channels(spec: Any, expected: list[int]) -> None:
    assert parse_channels(spec, 8) == expected


@pytest.mark.parametrize("spec", ["x", "3-1", "-1", "1-", "8", [1, "7-9"], "1.5", "²", "1" * 5000, ""])
@pytest.mark.parametrize("count", [8, None])
def test_channels_that_cannot_be(spec: Any, count: int | None) -> None:
    if count is None and spec in ("8", [1, "7-9"]):
        return
    with pytest.raises(InputError):
        parse_channels(spec, count)


@pytest.mark.parametrize("spec", ["0-999999999999999999", ["0-3", "7-999999999999999999"]])
def test_a_range_without_end_is_not_counted_out(spec: Any) -> None:
    with pytest.raises(InputError, match="there is no channel 8, 9, 10, 11, 12, …: the layer has 8, 0 to 7"):
        parse_channels(spec, 8)
    with pytest.raises(InputError, match="no layer has so many"):
        parse_channels(spec, None)


def test_all_needs_a_count() -> None:
    with pytest.raises(InputError, match="range"):
        parse_channels("all", None)


@given(st.sets(st.integers(0, 500)), st.integers(1, 70))
def test_batches_hold_each_channel_once_in_order(channels: set[int], size: int) -> None:
    parts = batches(sorted(channels), size)
    assert [channel for part in parts for channel in part] == sorted(channels)
    assert all(len(part) == size for part in parts[:-1])


def test_pictures_of_the_first_seed_lie_in_the_layers_folder() -> None:
    assert picture_paths("f/{layer}", [3, 1], [0, 2]) == [
        "f/{layer}/channel3.png",
        "f/{layer}/channel1.png",
        "f/{layer}/seed2/channel3.png",
        "f/{layer}/seed2/channel1.png",
    ]


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


@given(st.sets(st.integers(0, 40)))
def test_ranges_are_read_back(channels: set[int]) -> None:
    assert not channels or parse_channels(ranges(sorted(channels)), None) == sorted(channels)


def test_ranges_are_short() -> None:
    assert ranges([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8"


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


def test_the_codes_digest_follows_its_content_alone(tmp_path) -> None:
    for name in ("feature_vis/a.py", "featurediff/report/page/b.js", "featurediff/cli/main.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("one")
    before = code_digest(tmp_path)
    (tmp_path / "featurediff" / "__pycache__").mkdir()
    (tmp_path / "featurediff" / "__pycache__" / "a.pyc").write_text("compiled")
    (tmp_path / "feature_vis" / "a.py").touch()
    (tmp_path / "featurediff" / "cli" / "main.py").write_text("the command line makes no table")
    assert code_digest(tmp_path) == before
    (tmp_path / "featurediff" / "report" / "page" / "b.js").write_text("two")
    assert code_digest(tmp_path) != before


def test_the_report_says_whether_the_embedder_is_under_test() -> None:
    networks = {"networks": CONFIG["networks"], "data": CONFIG["data"], "visualize": CONFIG["visualize"]}
    assert Plan(networks).embedder_in_words() == "base, itself one of the networks under test"
    other = {**networks, "compare": {"embedder": {"model": "vgg11", "weights": "vgg.pth"}}}
    assert Plan(other).embedder_in_words() == "vgg11 with the weights vgg.pth"


def test_the_command_that_the_page_offers_is_one_command_whatever_it_names() -> None:
    assert start_command([], "results") == "snakemake --cores 8"
    assert start_command(["a.yaml"], "out/x") == "snakemake --cores 8 --configfile a.yaml --config results=out/x"
    nasty = start_command(["my birds.yaml", "$(reboot).yaml"], "it's; rm -rf ~")
    words = ["--configfile", "my birds.yaml", "$(reboot).yaml", "--config", "results=it's; rm -rf ~"]
    assert shlex.split(nasty)[3:] == words


def test_photographs_without_classes_probe_all_networks(config) -> None:
    config["data"]["photos"] = {"format": "unlabelled", "root": "photos"}
    config["compare"] = {"probe": {"data": "photos", "size": 96, "resize": 110}}
    assert find_mistakes(config, SCHEMA) == []
    plan = Plan(config)
    assert plan.probe_data("tuned") == ["photos"]
    probe = plan.probe("tuned")
    assert (probe["roots"], probe["size"], probe["resize"]) == ({"photos": "photos"}, 96, 110)
    assert probe["train_from"] == "layer4"


def test_a_users_network_is_told_by_its_source(config, own, tmp_path) -> None:
    shutil.copy(f"{own}.py", tmp_path / "nets.py")
    model = f"{tmp_path}/nets:cnn"
    config["networks"]["base"]["model"] = model
    config["compare"] = {"embedder": {"model": model, "weights": "w.pth"}}
    config["film"] = {}

    def asked() -> list[Any]:
        plan = Plan(config, {"layer3": 12, "layer4": 12})
        assert plan.summary("tuned")["architecture"] == model
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
