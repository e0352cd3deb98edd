"""A commented config for the user's own data, from answers and from what the data and the network show."""

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import yaml
from torch import nn

from feature_vis.errors import InputError, close_names
from feature_vis.files import write_text
from feature_vis.networks.models import TIMM, build, head_name
from feature_vis.networks.names import is_weights_name
from feature_vis.networks.structure import call_order, layer_shapes, picture_size
from feature_vis.networks.torchvision_import import torchvision
from feature_vis.networks.user_module import is_user_module
from featurediff.cli.workflow import example_configs, find_workflow
from featurediff.config.file import format_mistakes
from featurediff.config.validation import find_mistakes
from featurediff.data.formats import FORMATS
from featurediff.data.listing import shown

__all__ = ["Answers", "blocks", "guess_format", "last_blocks", "network_name", "write_config", "write_example"]

_CHANNELS = "0-63"


class Answers:
    """What the user gave as options, else answers to a question, else the default."""

    def __init__(self, given: dict[str, Any], ask: Callable[..., Any] | None = None) -> None:
        self.given = given
        self.ask = ask

    def get(self, name: str, question: str, default: Any) -> Any:
        """The answer, of the default's type; asked for if there is a terminal."""
        if name in self.given:
            return self.given[name]
        return default if self.ask is None else self.ask(question, default=default)


def write_config(file: Path, answers: Answers) -> None:
    """Write a config that the workflow can follow.

    Raises:
        InputError: the answers make no such config; nothing is written.
    """
    settings = _settings(answers)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("featurediff.cli"), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    text = environment.get_template("config.yaml.j2").render(settings)
    mistakes = find_mistakes(yaml.safe_load(text), find_workflow() / "config" / "schema.yaml")
    if mistakes:
        listed = format_mistakes(mistakes)
        raise InputError(f"no config was written, because these answers make mistakes:\n{listed}")
    write_text(file, text)


def write_example(file: Path, name: str) -> None:
    """Write a config that comes with the workflow.

    Raises:
        InputError: there is no such example.
    """
    examples = example_configs()
    if name not in examples:
        hint = close_names(name, examples) or f"; there are {', '.join(examples)}"
        raise InputError(f"there is no example {name!r}{hint}")
    write_text(file, examples[name].read_text(encoding="utf-8"))


def _settings(answers: Answers) -> dict[str, Any]:
    root = Path(answers.get("root", "Folder of your pictures", None)).expanduser().resolve()
    if not root.is_dir():
        raise InputError(f"there is no folder {root}: --root names the folder of your pictures")
    name = network_name(answers.get("name", "Name of the network that is fine-tuned to them", network_name(root.name)))
    format_ = answers.get("format", f"Layout ({', '.join(FORMATS)})", guess_format(root))
    model = answers.get("model", "Classifier of torchvision.models", "resnet50")
    blocks = last_blocks(model)
    weights = answers.get("weights", "Weights: the library's name of them, or a file", _best_weights(model))
    if weights is None:
        raise InputError(f"{model} has no weights of its own: name a file of them by --weights")
    if not is_weights_name(weights):
        weights = str(Path(weights).expanduser().resolve())
    return {
        "name": name,
        "data": shown(root.name),
        "root": str(root),
        "format": format_,
        "model": model,
        "weights": weights,
        "layers": _layers(answers, blocks),
        "train_from": answers.get("train_from", "First module that learns", blocks[0]),
        "epochs": answers.get("epochs", "Epochs", 10),
        "size": answers.get("size", "Pixels of a picture", 224),
        "steps": answers.get("steps", "Steps of a picture", 256),
        "seeds": answers.get("seeds", "Pictures of every channel", 4),
    }


def _layers(answers: Answers, blocks: list[str]) -> dict[str, str]:
    """`layer4.2=0-63`, or `layer4.2` for the default channels -> channels by layer."""
    given = answers.get("layers", "Layers to render, with commas", ",".join(blocks))
    texts = given.split(",") if isinstance(given, str) else given
    pairs = [text.strip().partition("=") for text in texts]
    return {layer: channels or _CHANNELS for layer, _, channels in pairs}


def network_name(text: str) -> str:
    """A name that the config accepts: a letter, then letters, digits, - and _."""
    cleaned = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")
    cleaned = cleaned if cleaned[:1].isalpha() else f"data-{cleaned}".rstrip("-")
    return f"{cleaned}-tuned" if cleaned == "base" else cleaned


def guess_format(root: Path) -> str:
    """The format whose files are in the folder; `image_folder`, one folder per class, if there are none."""
    if (root / "devkit").is_dir():
        return "stanford_cars"
    if (root / "lists").is_dir() and (root / "Images").is_dir():
        return "stanford_dogs"
    labels = root / "labels.csv"
    if labels.is_file():
        with labels.open(encoding="utf-8-sig", errors="replace", newline="") as text:
            columns = {name.strip() for name in next(csv.reader(text), [])}
        return "kaggle_dogs" if {"id", "breed"} <= columns else "csv"
    return "image_folder"


def last_blocks(model: str, count: int = 2) -> list[str]:
    """The last of a network's `blocks`: `layer4.1`, `layer4.2` of a ResNet-50.

    Raises:
        InputError: there is no such network.
    """
    return blocks(build(model))[-count:]


def blocks(network: nn.Module) -> list[str]:
    """The network's numbered blocks, in order: those that return maps, else those that return tokens.

    A network without such blocks, as VGG, has its convolutions taken; one with hardly any convolutions, its head.
    """
    modules, order, size = dict(network.named_modules()), call_order(network), picture_size(network)
    numbered = [
        name for name in order if re.search(r"(^|[._])\d+$", name) and any(True for _ in modules[name].children())
    ]
    shapes, _ = layer_shapes(network, numbered, (size, size))
    outer = [name for name in numbered if name in shapes and not any(name.startswith(f"{o}.") for o in numbered)]
    found = next((same for rank in (4, 3) if (same := [name for name in outer if len(shapes[name][0]) == rank])), [])
    convolutions = [name for name in order if isinstance(modules[name], nn.Conv2d)]
    return found or (convolutions if len(convolutions) > 2 else [head_name(network)])


def _best_weights(model: str) -> str | None:
    if is_user_module(model):
        return None
    if model.startswith(TIMM):
        return "pretrained"
    return torchvision.models.get_model_weights(model).DEFAULT.name
