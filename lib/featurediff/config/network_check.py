"""Does what a config asks of its networks fit them: layers, sizes of pictures, modules to train, names of weights?

This is what needs torch. The workflow, which must do without it, asks in a process of its own: `python -m
featurediff.config.network_check` reads a `Question` as JSON from standard input and writes the `Answer`; it ends with
4 where there is no torch. So nothing here imports torch before it answers.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from feature_vis.errors import InputError
from feature_vis.files import write_text
from feature_vis.networks.names import is_weights_name
from feature_vis.networks.user_module import source_digest
from feature_vis.recipe import Recipe
from featurediff.config.expand import architecture
from featurediff.config.file import Config, Keys, Mistake, mistake_at
from featurediff.runtime.child_process import child_environment

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Answer", "Ask", "Question", "answer", "ask_in_a_process", "main", "make_question"]

# What of an expanded config decides the answer, and no more, because an answer is kept for the next run. `gpu`: is one
# required? `networks` and `embedder`: `model`, `weights`, and of a training `train_from` and `size`. `layers`: by name,
# each {"shape": [height, width], "transforms": of a recipe} once. `sources`: digests of users' own modules.
Question = dict[str, Any]


class Answer(TypedDict):
    """`no_gpu`: why there is none; empty where there is one, or nobody asked. `counts`: channels of each layer."""

    no_gpu: str
    mistakes: list[tuple[list[str], str]]
    counts: dict[str, int]


# None where nobody can answer: there is no torch.
Ask = Callable[[Question], Answer | None]


def make_question(config: Config) -> Question:
    """What to ask about an expanded config; a part that is wrong already may be absent or empty."""
    networks = {}
    for name, settings in config["networks"].items():
        training = settings.get("training", {})
        asked = {key: training[key] for key in ("train_from", "size")} if "epochs" in training else {}
        networks[name] = {key: settings[key] for key in ("model", "weights") if key in settings} | asked
    embedder = config["compare"].get("embedder", {})
    layers = {layer: _frames(settings) for layer, settings in config["visualize"]["layers"].items()}
    return {
        "gpu": config["gpu"] == "required",
        "networks": networks,
        "embedder": embedder if "weights" in embedder else {},
        "layers": {layer: frames for layer, frames in layers.items() if frames},
        "sources": {
            each["model"]: _source(each["model"]) for each in (*networks.values(), embedder) if "model" in each
        },
    }


def _frames(layer: Config) -> list[dict[str, Any]]:
    """What of a layer's recipes decides whether its pictures are large enough; nothing where one cannot be followed."""
    frames: list[dict[str, Any]] = []
    for settings in (layer["recipe"], *layer["overrides"].values()) if "recipe" in layer else ():
        frame = {"shape": list(Recipe.from_settings(settings).shape), "transforms": settings["transforms"]}
        frames += [] if frame in frames else [frame]
    return frames


def _source(model: str) -> str:
    with suppress(InputError):  # the answer says it as well
        return source_digest(model)
    return ""


def ask_in_a_process(question: Question, cache: Path) -> Answer | None:
    """Let a process that has torch answer; None where torch is not installed beside the workflow.

    A config is asked about once: the answer lies in the folder `cache` for the workflow's jobs and its next start.
    """
    lasting = json.dumps({**question, "gpu": False}, sort_keys=True)  # a machine may have a GPU tomorrow
    name = hashlib.sha256((lasting + Path(__file__).read_text(encoding="utf-8")).encode()).hexdigest()[:16]
    kept = cache / f"networks-{name}.json"
    if not question["gpu"]:
        with suppress(OSError, ValueError):
            return json.loads(kept.read_text(encoding="utf-8"))
    command = [sys.executable, "-P", "-m", "featurediff.config.network_check"]
    asked = json.dumps(question)
    done = subprocess.run(command, input=asked, env=child_environment(), capture_output=True, text=True, check=False)
    if done.returncode == 4:
        return None
    if done.returncode != 0:
        raise RuntimeError(f"examining the networks failed:\n{done.stderr}")
    answered: Answer = json.loads(done.stdout)
    with suppress(OSError):  # a folder that cannot be written to is the jobs' business
        write_text(kept, json.dumps({**answered, "no_gpu": ""}))
    return answered


def answer(question: Question, networks: "dict[str, nn.Module] | None" = None) -> Answer:
    """Follow each architecture without its weights; `networks` keeps those that are built, or has some already."""
    import torch

    networks = {} if networks is None else networks
    no_gpu = "" if torch.cuda.is_available() else f"torch {torch.__version__} sees none on this machine"
    mistakes: list[Mistake] = []
    counts: dict[str, int] = {}
    asked: dict[Keys, Config] = {("networks", name): settings for name, settings in question["networks"].items()}
    models = {path: architecture(question["networks"], path[1]) for path in asked}
    if question["embedder"]:
        asked["compare", "embedder"] = question["embedder"]
        models["compare", "embedder"] = question["embedder"].get("model")
    for model in dict.fromkeys(filter(None, models.values())):
        places = {path: settings for path, settings in asked.items() if models[path] == model}
        mistakes += _of_model(model, places, question, networks, counts)
    return {
        "no_gpu": no_gpu if question["gpu"] else "",
        "mistakes": [(list(mistake.path), mistake.text) for mistake in mistakes],
        "counts": counts,
    }


def _of_model(
    model: str, places: dict[Keys, Config], question: Question, networks: "dict[str, nn.Module]", counts: dict[str, int]
) -> Iterator[Mistake]:
    """What does not fit one architecture, at each place that asks for it; adds its layers' channels to `counts`."""
    from feature_vis.networks.models import build, cached_weights
    from feature_vis.networks.structure import layer_shapes
    from featurediff.measures.frozen_layers import trained_modules

    named = [path for path, settings in places.items() if "model" in settings]
    try:
        network = networks[model] if model in networks else networks.setdefault(model, build(model))
    except InputError as error:
        yield from (mistake_at((*path, "model"), str(error)) for path in named)
        return
    for path in named:
        weights = places[path].get("weights")
        if weights is not None and weights not in question["networks"] and is_weights_name(weights):
            try:
                cached_weights(model, weights)
            except InputError as error:
                there = ", ".join(question["networks"])
                yield mistake_at((*path, "weights"), f"{error}; networks here: {there}")
    if any(path[0] == "networks" for path in places):
        for layer, frames in question["layers"].items():
            problems = _of_layer(network, layer, frames, counts)
            yield from (mistake_at(("visualize", "layers", layer), f"{model}: {problem}") for problem in problems)

    @cache  # many trainings, of a sweep for example, have these in common
    def wrong(train_from: str | None, size: int) -> tuple[str, list[str]]:
        too_small = layer_shapes(network, [""], (size, size))[1]
        try:
            trained_modules(network, train_from)
        except InputError as error:
            return str(error), too_small
        return "", too_small

    for path, training in ((path, asked) for path, asked in places.items() if "size" in asked):
        module, sizes = wrong(training["train_from"], training["size"])
        if module:
            yield Mistake((*path, "training", "train_from"), f"{'.'.join(path)}.training.{module}")
        yield from (mistake_at((*path, "training", "size"), problem) for problem in sizes)


def _of_layer(network: "nn.Module", layer: str, frames: list[dict[str, Any]], counts: dict[str, int]) -> Iterator[str]:
    """The frame that the transforms hand on may be smaller than the picture: both must be large enough."""
    from feature_vis.networks.structure import layer_shapes
    from feature_vis.transforms import frame, resolve

    sizes: set[tuple[int, int]] = set()
    try:
        for recipe in frames:
            height, width = recipe["shape"]
            sizes |= {(height, width), frame((height, width), resolve(recipe["transforms"]))}
    except InputError as error:
        yield str(error)
        return
    problems: dict[str, None] = {}
    for size in sorted(sizes):
        shapes, wrong = layer_shapes(network, [layer], size)
        problems |= dict.fromkeys(wrong)
        if layer in shapes:
            shape, axis = shapes[layer]
            counts[layer] = shape[axis] if len(shape) > 1 else 0
    yield from problems


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
