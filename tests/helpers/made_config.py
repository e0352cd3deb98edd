"""A small valid config, without files, and its plan."""

from typing import Any

from places import REPOSITORY

from featurediff.config.expand import expand
from featurediff.config.plan import Plan
from featurediff.config.schema import read_schema
from featurediff.config.validation import find_mistakes

SCHEMA = REPOSITORY / "config" / "schema.yaml"

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


def expanded(config: dict[str, Any]) -> dict[str, Any]:
    """A config, or a part of one, in which everything is spelled out."""
    return expand(config, read_schema(SCHEMA)).config


def plan_of(config: dict[str, Any], counts: dict[str, int] | None = None) -> Plan:
    """The plan of a valid config whose networks and files nobody looks at."""
    assert find_mistakes(config, SCHEMA) == []
    return Plan(expanded(config), counts)
