"""A small valid config, without files, its plan, and what is said of it when it is changed."""

import copy
from pathlib import Path
from typing import Any

import yaml
from places import REPOSITORY

from featurediff.config.expand import Expanded, expand
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


def expansion(config: dict[str, Any], folder: str = ".") -> Expanded:
    """A config, or a part of one, that lies in a folder, with everything spelled out."""
    return expand(config, read_schema(SCHEMA), folder)


def plan_of(config: dict[str, Any], counts: dict[str, int] | None = None) -> Plan:
    """The plan of a valid config whose networks and files nobody looks at."""
    assert find_mistakes(config, SCHEMA) == []
    return Plan(expansion(config).config, counts)


def changed(change: str | dict[str, Any], config: dict[str, Any] = CONFIG) -> dict[str, Any]:
    """A copy of a config with a change, in YAML or not, laid over it; GONE takes a key away."""
    config = copy.deepcopy(config)
    for key, value in (yaml.safe_load(change) if isinstance(change, str) else change).items():
        if value == "GONE":
            del config[key]
        else:
            inner = isinstance(value, dict) and isinstance(config.get(key), dict)
            config[key] = changed(value, config[key]) if inner else value
    return config


def mistakes_after(change: str | dict[str, Any]) -> dict[str, str]:
    """What is said of the small config with a change, by place."""
    return {".".join(mistake.path): mistake.text for mistake in find_mistakes(changed(change), SCHEMA)}


def assert_listed(listing: str, file: Path, expected: dict[str, str]) -> None:
    """The mistakes are these, in their order: how the line of the file begins that each stands on -> its words."""
    found = [line.strip() for line in listing.splitlines() if line.startswith("  - ")]
    assert len(found) == len(expected), listing
    for line, (start, words) in zip(found, expected.items(), strict=True):
        lines = file.read_text().splitlines()
        number = next(number for number, text in enumerate(lines, 1) if text.strip().startswith(start))
        assert line.startswith(f"- config.yaml:{number}: "), line
        assert words in line
