"""From the config to what has to be made."""

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_vis.errors import InputError
from transfer.config_check import check_config, find_mistakes
from transfer.config_file import read_config
from transfer.plan import Plan, batches, code_digest, parse_channels, picture_paths

SCHEMA = Path(__file__).parents[2] / "config" / "schema.yaml"
CONFIG: dict[str, Any] = {
    "data": {"d": {"format": "csv", "root": "d"}},
    "networks": {
        "base": {"model": "resnet18", "data": "d", "training": {"epochs": 2}},
        "tuned": {"weights": "base", "data": "d", "training": {"epochs": 3, "train_from": "layer4"}},
    },
    "visualize": {
        "recipe": {"size": 32, "steps": 4},
        "layers": {
            "layer3": {"channels": "0-2", "recipe": {"steps": 5}, "overrides": {"1": {"steps": 6, "size": 48}}},
            "layer4": {"channels": "0-2"},
        },
    },
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One folder for all plans: the channels of an architecture are counted once."""
    return str(tmp_path_factory.mktemp("results"))


@pytest.fixture
def config(results: str) -> dict[str, Any]:
    return {**copy.deepcopy(CONFIG), "results": results}


@pytest.fixture
def schema(request) -> str:
    return str(request.config.rootpath / "config" / "schema.yaml")


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


@pytest.mark.parametrize("spec", ["x", "3-1", "-1", "1-", "8", [1, "7-9"], "1.5"])
def test_channels_that_cannot_be(spec: Any) -> None:
    with pytest.raises(InputError):
        parse_channels(spec, 8)


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


def test_the_networks_of_a_plan(config) -> None:
    plan = Plan(config)
    assert (plan.base, plan.tuned, plan.trained, plan.loaded) == ("base", ["tuned"], ["base", "tuned"], [])
    assert plan.architecture("tuned") == "resnet18"
    assert plan.starts_from("tuned") == "base"
    assert plan.starts_from("base") is None


def test_without_a_film_there_is_none(config) -> None:
    plan = Plan(config)
    assert (plan.filmed, plan.film_channels) == ([], {})


def test_a_film_of_the_most_changed_channels(config, schema) -> None:
    config["film"] = {}
    check_config(config, schema)
    plan = Plan(config)
    assert plan.filmed == ["tuned"]
    assert plan.film_channels == {"layer3": 3, "layer4": 3}  # as many as there are, below 16
    assert plan.film_epochs("tuned") == [0, 1, 2]
    film = plan.film("tuned")
    assert film["seeds"] == [0, 1, 2, 3]
    assert film["recipes"]["layer3"] == plan.recipes("layer3", (0, 1, 2))


def test_a_film_of_named_channels_at_named_epochs(config, schema) -> None:
    config["film"] = {"channels": {"layer4": "1-2", "layer3": "all"}, "epochs": [9, 2, 0], "seeds": 1}
    check_config(config, schema)
    plan = Plan(config)
    assert plan.film_channels == {"layer4": [1, 2], "layer3": [0, 1, 2]}
    assert plan.film_epochs("tuned") == [0, 2]
    assert plan.film("tuned")["seeds"] == [0]


def test_a_film_of_a_channel_that_is_not_rendered(config) -> None:
    config["film"] = {"channels": {"layer3": "2-4"}}
    with pytest.raises(InputError, match=r"film.channels.layer3: channel \[3, 4\] is not rendered"):
        Plan(config)


def test_a_training_may_have_a_seed_of_its_own(config, schema) -> None:
    config["seed"] = 5
    config["networks"]["tuned"]["training"]["seed"] = 7
    check_config(config, schema)
    plan = Plan(config)
    assert (plan.training("base")["seed"], plan.training("tuned")["seed"]) == (5, 7)
    assert plan.recipe("layer4")["seed"] == 5


def test_an_override_for_a_channel_that_is_not_rendered(config) -> None:
    config["visualize"]["layers"]["layer3"]["overrides"] = {"9": {"steps": 1}}
    with pytest.raises(InputError, match="9"):
        Plan(config)


@pytest.mark.parametrize("name", ["config.yaml", "config/paper.yaml"])
def test_the_configs_that_are_shipped_are_valid(name: str, request, schema) -> None:
    check_config(yaml.safe_load((request.config.rootpath / name).read_text()), schema)


def add_control(
    config: dict[str, Any], *, control_of: str = "tuned", seed: int = 1, epochs: int = 3, **changes
) -> None:
    """Another run of `tuned`."""
    run = copy.deepcopy(config["networks"]["tuned"]) | changes
    run["training"] |= {"seed": seed, "epochs": epochs}
    config["networks"]["again"] = run | {"control_of": control_of}


def test_a_control_is_another_run_of_a_network(config, schema) -> None:
    add_control(config)
    check_config(config, schema)
    assert Plan(config).controls == {"again": "tuned"}


MISTAKES = {
    "unknown key": (lambda c: c.update(sed=1), "did you mean 'seed'"),
    "unknown base": (lambda c: c.update(base="bass"), "did you mean 'base'"),
    "unknown data": (lambda c: c["networks"]["base"].update(data="e"), "no data set 'e'"),
    "no data": (lambda c: c["networks"]["base"].pop("data"), "training needs data"),
    "no weights": (lambda c: c["networks"]["base"].pop("training"), "neither weights nor training"),
    "no model": (lambda c: c["networks"]["base"].pop("model"), "needs a model"),
    "circle": (lambda c: c["networks"]["base"].update(weights="tuned"), "starts from base itself"),
    "wrong type": (lambda c: c["visualize"]["recipe"].update(steps=0), "visualize.recipe.steps"),
    "wrong name": (lambda c: c["networks"].update({"../x": {}}), "does not match"),
    "film of no layer": (
        lambda c: c.update(film={"channels": {"layer5": [0]}}),
        "layer5 is not among visualize.layers",
    ),
    "film of more seeds": (lambda c: c.update(seeds=2, film={"seeds": 3}), "film.seeds: 3 is more than seeds, 2"),
    "film beyond the end": (lambda c: c.update(film={"epochs": [3]}), "none of them is an epoch of tuned, 0 to 2"),
    "control of nothing": (lambda c: add_control(c, control_of="tunde"), "did you mean 'tuned'"),
    "control of the base": (lambda c: add_control(c, control_of="base"), "two fine-tuned networks are compared"),
    "control of another task": (lambda c: add_control(c, weights=None, model="vgg11"), "the same weights, data"),
    "control trained otherwise": (lambda c: add_control(c, epochs=9), "the same weights, data and training"),
    "control without a seed": (lambda c: add_control(c, seed=0), "a seed of its own"),
    "half an embedder": (lambda c: c.update(compare={"embedder": {"model": "vgg11"}}), "model and weights go together"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_said_in_words(mistake: str, config, schema) -> None:
    check_config(config, schema)
    change, message = MISTAKES[mistake]
    change(config)
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        check_config(config, schema)


def test_names_are_looked_up_in_what_the_schema_allows(config, schema) -> None:
    config["networks"]["base"]["epochs"] = 3  # belongs into `training`
    config["networks"]["tuned"]["data"] = "e"
    config["networks"]["other"] = {"weights": "tuned", "model": 3}
    paths = {mistake.path for mistake in find_mistakes(config, schema)}
    assert paths == {("networks", "base", "epochs"), ("networks", "tuned", "data"), ("networks", "other", "model")}


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_whatever_stands_in_a_config_the_mistakes_have_words(data: st.DataObject) -> None:
    spoilt = copy.deepcopy(CONFIG)
    spoilt["networks"]["control"] = {**copy.deepcopy(CONFIG["networks"]["tuned"]), "control_of": "tuned"}
    spoilt["film"] = {"channels": {"layer4": [0]}, "epochs": [0, 1], "seeds": 1}
    for _ in range(data.draw(st.integers(1, 3))):
        parent: Any = spoilt
        while True:
            key = data.draw(st.sampled_from(list(parent) if isinstance(parent, dict) else list(range(len(parent)))))
            if not isinstance(parent[key], dict | list) or not parent[key] or data.draw(st.booleans()):
                break
            parent = parent[key]
        parent[key] = data.draw(st.sampled_from([None, -1, 7, "base", "all", [], [None], {}, {"base": 1}, {7: {}}]))
    assert all(mistake.text for mistake in find_mistakes(spoilt, SCHEMA))


def test_a_mistake_says_its_line(config, schema, tmp_path) -> None:
    config["networks"]["tuned"]["training"]["epochs"] = "many"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    read = read_config(tmp_path / "config.yaml")
    line = 1 + (tmp_path / "config.yaml").read_text().splitlines().index("      epochs: many")
    with pytest.raises(InputError, match=rf"config\.yaml:{line}: networks\.tuned\.training\.epochs: 'many'"):
        check_config(read.config, schema, [read])


def test_defaults_of_the_schema_are_those_of_the_code(schema) -> None:
    import dataclasses

    from feature_vis.recipe import MODES, Recipe
    from transfer.settings import TrainingSettings

    text = yaml.safe_load(Path(schema).read_text())
    network = text["properties"]["networks"]["additionalProperties"]["properties"]
    recipe = text["$defs"]["recipe"]["properties"]
    assert set(recipe.pop("mode")["enum"]) == set(MODES)
    training = network["training"]["properties"]
    assert "default" not in training.pop("seed")  # that of the whole config
    for code, described in [(Recipe(), recipe), (TrainingSettings(epochs=1), training)]:
        defaults = {name: value for name, value in dataclasses.asdict(code).items() if name != "seed"}
        assert set(described) == set(defaults)
        for name, value in defaults.items():
            if "default" in described[name]:
                assert described[name]["default"] == value, name


def test_choices_of_the_schema_are_those_of_the_code(schema) -> None:
    import dataclasses

    from feature_vis.parameterizations import NAMES
    from feature_vis.recipe import CHOICES
    from feature_vis.regularizers import REGULARIZERS
    from feature_vis.transforms import PRESETS, Transforms

    recipe = yaml.safe_load(Path(schema).read_text())["$defs"]["recipe"]["properties"]
    named, settings = recipe["transforms"]["oneOf"]
    assert set(named["enum"]) == set(PRESETS)
    assert set(settings["properties"]) == {field.name for field in dataclasses.fields(Transforms)}
    assert set(recipe["parameterization"]["enum"]) == set(NAMES)
    assert set(recipe["regularizers"]["properties"]) == set(REGULARIZERS)
    for name, choices in CHOICES.items():
        assert tuple(recipe[name]["enum"]) == choices, name


def test_the_codes_digest_follows_its_content_alone(tmp_path) -> None:
    for name in ("feature_vis/a.py", "transfer/report/page/b.js", "featurediff/cli.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("one")
    before = code_digest(tmp_path)
    (tmp_path / "transfer" / "__pycache__").mkdir()
    (tmp_path / "transfer" / "__pycache__" / "a.pyc").write_text("compiled")
    (tmp_path / "feature_vis" / "a.py").touch()
    (tmp_path / "featurediff" / "cli.py").write_text("the command line makes no table")
    assert code_digest(tmp_path) == before
    (tmp_path / "transfer" / "report" / "page" / "b.js").write_text("two")
    assert code_digest(tmp_path) != before


def test_the_report_says_whether_the_embedder_is_under_test() -> None:
    networks = {"networks": CONFIG["networks"], "data": CONFIG["data"], "visualize": CONFIG["visualize"]}
    assert Plan(networks).embedder_in_words() == "base, itself one of the networks under test"
    other = {**networks, "compare": {"embedder": {"model": "vgg11", "weights": "vgg.pth"}}}
    assert Plan(other).embedder_in_words() == "vgg11 with the weights vgg.pth"


def test_a_cache_that_is_no_longer_whole_is_asked_again(tmp_path, monkeypatch) -> None:
    answers = []

    def answer(*_: object, **__: object) -> SimpleNamespace:
        answers.append('{"layer4.1": 512, "layer3.0": 256}')
        return SimpleNamespace(returncode=0, stdout=answers[-1], stderr="")

    monkeypatch.setattr("subprocess.run", answer)
    config = {**CONFIG, "results": str(tmp_path)}
    Plan(config)
    Plan(config)
    assert len(answers) == 1
    (cache,) = tmp_path.glob(".cache/*.json")
    cache.write_text("")
    Plan(config)
    assert len(answers) == 2
    assert cache.read_text() == answers[0]
