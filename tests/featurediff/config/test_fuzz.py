"""Whatever stands in a config, there is a plan or a message, and nothing is written."""

import copy
import datetime
import json
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from fuzzing import bounded, edits, mutated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_config import SCHEMA
from places import REPOSITORY

from feature_vis.errors import InputError
from featurediff.cli.check import collect_mistakes
from featurediff.config import validation
from featurediff.config.file import ConfigFile, read_config
from featurediff.config.network_check import answer
from featurediff.config.validation import make_plan

DEMO = (REPOSITORY / "config.yaml").read_text()
PARSED = yaml.safe_load(DEMO)
NETWORKS: dict = {}
# with a part of every kind, so that what is said of each is reached
DOGS, CARS = (PARSED["networks"][name] for name in ("dogs", "cars"))
PARSED["networks"]["again"] = DOGS | {"control_of": "dogs", "training": DOGS["training"] | {"seed": 1}}
PARSED["experiments"] = [{"name": "more", "networks": {"cars": CARS | {"sweep": {"size": [32]}}}}]
PARSED["film"] = {"channels": {"layer4.1": [0]}, "epochs": [0, 5], "seeds": 1}
NUMBERS = [-1, 0, 1, 3, 10**6, 10**30, 0.5, float("nan"), float("inf")]
scalars = st.sampled_from([None, True, *NUMBERS, datetime.date(2020, 1, 1), b"x"])
words = st.sampled_from(
    [
        *("", "x", "all", "0-5", "5-0", "0-99999999999", "²", "base", "dogs", "resnet18", "layer4.1", "required"),
        *("../x", "/", "~", ".", "a\0b", "\ud800", "x" * 5000, "a{b}", "-x", "1e-4", "IMAGENET1K_V1", "results"),
    ]
)
keys = words | st.sampled_from([None, 1, 1.5, True, "channels", "recipe", "training", "weights", "model", "draw"])
values = st.recursive(
    scalars | words, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=2), max_leaves=4
)


def places(config: Any) -> list[tuple[Any, Any]]:
    """Every mapping or list of a config with each of its keys."""
    if not isinstance(config, dict | list):
        return []
    here = list(config) if isinstance(config, dict) else list(range(len(config)))
    return [*((config, key) for key in here), *(place for key in here for place in places(config[key]))]


@cache
def answered(question: str) -> Any:
    return answer(json.loads(question), NETWORKS)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder; networks are looked at in this process, and for the same question once."""
    text = partial(json.dumps, sort_keys=True)
    monkeypatch.setattr(validation, "ask_in_a_process", lambda question, **_: answered(text(question)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan_or_message(config: Any, *files: ConfigFile) -> str:
    try:
        plan = make_plan(config, SCHEMA, files)
    except InputError as error:
        return str(error)
    # what the rules ask of a plan
    assert plan.batches()
    assert [plan.recipes(layer, tuple(plan.channels[layer])) for layer in plan.layers]
    assert all(plan.training(network) and plan.epochs(network) for network in plan.trained)
    assert all(plan.architecture(network) for network in plan.networks)
    assert all(plan.probe(network) for network in plan.tuned)
    assert all(plan.film(network) and plan.film_epochs(network) is not None for network in plan.filmed)
    return ""


def spoilt(data: st.DataObject) -> dict[str, Any]:
    """The demo's config with up to three keys or values that are others."""
    config = copy.deepcopy(PARSED)
    for _ in range(data.draw(st.integers(1, 3))):
        if not (there := places(config)):
            break
        parent, key = there[data.draw(st.integers(0, 10_000)) % len(there)]
        change = data.draw(st.sampled_from(["value", "value", "key", "more", "away"]))
        if change == "value":
            parent[key] = data.draw(values)
        elif change == "away":
            del parent[key]
        elif isinstance(parent, dict):
            parent[data.draw(keys)] = parent.pop(key) if change == "key" else data.draw(values)
    return config


def of_fixtures(examples: int) -> settings:
    """Examples that share the fixtures."""
    return settings(bounded(examples), suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(data=st.data())
@of_fixtures(250)
def test_whatever_stands_in_the_demos_config_there_is_a_plan_or_a_message(data: st.DataObject, folder: Path) -> None:
    message = plan_or_message(spoilt(data))
    assert message == "" or message.startswith("the config cannot be followed:\n  - ")
    assert list(folder.iterdir()) == []


@given(edits=edits)
@of_fixtures(150)
def test_whatever_the_demos_file_holds_there_is_a_plan_or_a_message(edits: list, folder: Path) -> None:
    Path("config.yaml").write_bytes(mutated(DEMO.encode(), edits))
    try:
        read = read_config("config.yaml")
    except InputError as error:
        message = str(error)
    else:
        message = plan_or_message(read.config, read)
    assert message == "" or "config" in message
    assert [path.name for path in folder.iterdir()] == ["config.yaml"]


@pytest.mark.usefixtures("folder")
@given(data=st.data())
@of_fixtures(20)
def test_whatever_stands_in_a_config_a_check_of_its_data_and_weights_ends(data: st.DataObject) -> None:
    mistakes, _ = collect_mistakes(ConfigFile(Path("config.yaml"), spoilt(data)), SCHEMA, decode=False)
    assert all(mistake.text for mistake in mistakes)
