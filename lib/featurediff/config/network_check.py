"""Does what a config asks of its networks fit them: layers, sizes of pictures, modules to train, names of weights?

This is what needs torch. The workflow, which must do without it, asks a process of its own
(`featurediff.config.examination`): `python -m featurediff.config.network_check` reads a `Question` as JSON from
standard input and writes the `Answer`; it ends with 4 where there is no torch.
"""

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict

from feature_vis.errors import InputError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Answer", "AnswerOfOne", "Question", "QuestionOfOne", "answer", "main"]


class QuestionOfOne(TypedDict):
    """About one architecture: names of weights, layers with their recipes, trainings."""

    source: str  # digest of a user's own module: another source is another question
    weights: list[str]
    layers: dict[str, list[dict[str, Any]]]  # layer -> {"shape": [height, width], "transforms": of the recipe}
    trainings: list[dict[str, Any]]  # {"train_from": module or None, "size": pixels}


class Question(TypedDict):
    """`gpu`: is there one? The rest by the architecture's name, see `feature_vis.networks.models`."""

    gpu: bool
    architectures: dict[str, QuestionOfOne]


class AnswerOfOne(TypedDict):
    """In the question's order; empty texts and lists where nothing is wrong."""

    unknown: str  # why there is no such architecture
    weights: dict[str, str]
    layers: dict[str, list[str]]
    counts: dict[str, int]  # how many channels a layer has
    trainings: list[tuple[str, list[str]]]  # what is wrong with the module, and with the size


class Answer(TypedDict):
    """`no_gpu`: why there is none, empty where there is one or nobody asked."""

    no_gpu: str
    architectures: dict[str, AnswerOfOne]


def answer(question: Question, networks: dict[str, "nn.Module"] | None = None) -> Answer:
    """Follow each architecture without its weights; `networks` keeps those that are built, or has some already."""
    networks = {} if networks is None else networks
    return {
        "no_gpu": _no_gpu() if question["gpu"] else "",
        "architectures": {name: _of_one(name, asked, networks) for name, asked in question["architectures"].items()},
    }


def _of_one(name: str, asked: QuestionOfOne, networks: dict[str, "nn.Module"]) -> AnswerOfOne:
    from feature_vis.networks.models import build, cached_weights

    found: AnswerOfOne = {"unknown": "", "weights": {}, "layers": {}, "counts": {}, "trainings": []}
    try:
        model = networks[name] if name in networks else networks.setdefault(name, build(name))
    except InputError as error:
        return {**found, "unknown": str(error)}
    for weights in asked["weights"]:
        try:
            cached_weights(name, weights)
        except InputError as error:
            found["weights"][weights] = str(error)
    for layer, recipes in asked["layers"].items():
        problems, counts = _of_layer(model, layer, recipes)
        found["layers"][layer] = problems
        found["counts"] |= counts
    found["trainings"] = [_of_training(model, training) for training in asked["trainings"]]
    return found


def _of_layer(model: "nn.Module", layer: str, recipes: list[dict[str, Any]]) -> tuple[list[str], dict[str, int]]:
    """The frame that the transforms hand on may be smaller than the picture: both must be large enough."""
    from feature_vis.networks.structure import layer_shapes
    from feature_vis.transforms import frame, resolve

    sizes: set[tuple[int, int]] = set()
    try:
        for recipe in recipes:
            height, width = recipe["shape"]
            sizes |= {(height, width), frame((height, width), resolve(recipe["transforms"]))}
    except InputError as error:
        return [str(error)], {}
    problems: dict[str, None] = {}
    counts = {}
    for size in sorted(sizes):
        shapes, wrong = layer_shapes(model, [layer], size)
        problems |= dict.fromkeys(wrong)
        if layer in shapes:
            shape, axis = shapes[layer]
            counts[layer] = shape[axis] if len(shape) > 1 else 0
    return list(problems), counts


def _of_training(model: "nn.Module", training: Mapping[str, Any]) -> tuple[str, list[str]]:
    from feature_vis.networks.structure import layer_shapes
    from featurediff.measures.frozen_layers import trained_modules

    module = ""
    try:
        trained_modules(model, training["train_from"])
    except InputError as error:
        module = str(error)
    return module, layer_shapes(model, [""], (training["size"], training["size"]))[1]


def _no_gpu() -> str:
    import torch

    return "" if torch.cuda.is_available() else f"torch {torch.__version__} sees none on this machine"


def main() -> None:
    """Answer the question on standard input."""
    question = json.load(sys.stdin)
    try:
        import torch  # noqa: F401
    except ImportError:
        sys.exit(4)
    json.dump(answer(question), sys.stdout)


if __name__ == "__main__":
    main()
