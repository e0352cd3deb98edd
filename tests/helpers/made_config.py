"""A small valid config, without files."""

from typing import Any

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
