"""What a config asks of its networks, as a question to `featurediff.config.network_check`, and the answer as mistakes.

No torch here. A config is taken as far as the schema allows it: a part that is wrong already is absent or empty.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from feature_vis.errors import InputError
from feature_vis.networks.names import is_weights_name
from feature_vis.networks.user_module import source_digest
from feature_vis.recipe import Recipe
from featurediff.config.file import Mistake
from featurediff.config.network_check import Answer, AnswerOfOne, Question, QuestionOfOne
from featurediff.config.plan import Config, architecture, overrides, recipe_settings
from featurediff.rendering.channels import parse_channels

__all__ = ["Ask", "ask_about"]

# None where nobody can answer: there is no torch.
Ask = Callable[[Question], Answer | None]

# More pictures than this are no experiment: snakemake would need many gigabytes to plan them.
MOST_PICTURES = 2_000_000


def ask_about(config: Config, ask: Ask) -> tuple[list[Mistake], dict[str, int]]:
    """All that does not fit the networks, and how many channels each layer has, as far as that is known."""
    mistakes = []
    recipes: dict[str, list[dict[str, Any]]] = {}
    for layer in config["visualize"].get("layers", {}):
        try:
            recipes[layer] = _recipes(config, layer)
        except InputError as error:
            mistakes.append(_at(("visualize", "layers", layer), str(error)))
    question: Question = {"gpu": config.get("gpu") == "required", "architectures": _questions(config, recipes)}
    found = ask(question) or {"no_gpu": "", "architectures": {}}
    if found["no_gpu"]:
        text = f"required, but {found['no_gpu']}: write 1, which does without one where there is none"
        mistakes.append(_at(("gpu",), text))
    counts: dict[str, int] = {}
    for name, answered in found["architectures"].items():
        mistakes += _mistakes(config, name, question["architectures"][name], answered)
        counts |= answered["counts"]
    return mistakes + list(_channel_mistakes(config, counts)), counts


def _recipes(config: Config, layer: str) -> list[dict[str, Any]]:
    """What of a layer's recipes decides whether pictures are large enough, each once."""
    found: list[dict[str, Any]] = []
    for channel in (None, *overrides(config, layer)):
        recipe = Recipe.from_settings(recipe_settings(config, layer, channel))
        transforms = recipe.transforms if isinstance(recipe.transforms, str) else dict(recipe.transforms)
        asked = {"shape": list(recipe.shape), "transforms": transforms}
        found += [] if asked in found else [asked]
    return found


def _architectures(config: Config) -> dict[str, str]:
    """Network -> architecture, of those that have one."""
    named = ((name, architecture(config["networks"], name)) for name in config["networks"])
    return {name: model for name, model in named if model is not None}


def _questions(config: Config, recipes: Mapping[str, list[dict[str, Any]]]) -> dict[str, QuestionOfOne]:
    questions: dict[str, QuestionOfOne] = {}
    for name, model in _architectures(config).items():
        questions.setdefault(model, _question(model, recipes))
        settings = config["networks"][name]
        if "epochs" in settings.get("training", {}):
            training = _training(settings["training"])
            asked = questions[model]["trainings"]
            asked += [] if training in asked else [training]
    for _, settings in _weighted(config):
        if is_weights_name(settings["weights"]) and "model" in settings:
            one = questions.setdefault(settings["model"], _question(settings["model"], {}))
            one["weights"] += [] if settings["weights"] in one["weights"] else [settings["weights"]]
    return questions


def _question(model: str, recipes: Mapping[str, list[dict[str, Any]]]) -> QuestionOfOne:
    try:
        source = source_digest(model)
    except InputError:  # the answer says it as well
        source = ""
    return {"source": source, "weights": [], "layers": dict(recipes), "trainings": []}


def _training(settings: Config) -> dict[str, Any]:
    return {"train_from": settings.get("train_from"), "size": settings.get("size", 224)}


def _weighted(config: Config) -> Iterator[tuple[tuple[str, ...], Config]]:
    """Keys and settings of all that names weights other than those of a network here; the embedder among them."""
    for name, settings in config["networks"].items():
        if settings.get("weights") is not None and settings["weights"] not in config["networks"]:
            yield ("networks", name), settings
    embedder = config.get("compare", {}).get("embedder", {})
    if "weights" in embedder:
        yield ("compare", "embedder"), embedder


def _mistakes(config: Config, model: str, asked: QuestionOfOne, found: AnswerOfOne) -> Iterator[Mistake]:
    """Of one architecture, at every place of the config that asks it of this one."""
    networks = config["networks"]
    users = [("networks", name) for name, settings in networks.items() if settings.get("model") == model]
    if config.get("compare", {}).get("embedder", {}).get("model") == model:
        users.append(("compare", "embedder"))
    if found["unknown"]:
        yield from (_at((*path, "model"), found["unknown"]) for path in users)
        return
    for path, settings in _weighted(config):
        if settings.get("model") == model and settings["weights"] in found["weights"]:
            text = f"{found['weights'][settings['weights']]}; networks here: {', '.join(networks)}"
            yield _at((*path, "weights"), text)
    for layer, problems in found["layers"].items():
        yield from (_at(("visualize", "layers", layer), f"{model}: {problem}") for problem in problems)
    for name, of_network in _architectures(config).items():
        training = networks[name].get("training", {})
        if of_network == model and "epochs" in training:
            module, sizes = found["trainings"][asked["trainings"].index(_training(training))]
            path = ("networks", name, "training")
            if module:
                yield Mistake((*path, "train_from"), f"{'.'.join(path)}.{module}")
            yield from (_at((*path, "size"), problem) for problem in sizes)


def _channel_mistakes(config: Config, counts: Mapping[str, int]) -> Iterator[Mistake]:
    """Channels that a layer does not have, and settings of channels that are not rendered."""
    rendered: dict[str, Collection[int]] = {}
    for layer, settings in config["visualize"].get("layers", {}).items():
        path = ("visualize", "layers", layer)
        if "channels" not in settings:
            continue
        try:
            rendered[layer] = parse_channels(settings["channels"], counts.get(layer))
        except InputError as error:
            yield _at((*path, "channels"), str(error))
            continue
        for channel in sorted(set(overrides(config, layer)) - set(rendered[layer])):
            yield _at((*path, "overrides", str(channel)), f"channel {channel} is not rendered")
    pictures = len(config["networks"]) * config.get("seeds", 4) * sum(map(len, rendered.values()))
    if pictures > MOST_PICTURES:
        text = f"{pictures:,} pictures cannot be planned in one run: the most are {MOST_PICTURES:,}"
        yield _at(("visualize", "layers"), text)
    named = config.get("film", {}).get("channels")
    for layer, spec in named.items() if isinstance(named, dict) else ():
        if layer in rendered and spec != "all":
            yield from _film_mistakes(("film", "channels", layer), spec, counts.get(layer), rendered[layer])


def _film_mistakes(path: tuple[str, ...], spec: Any, count: int | None, rendered: Collection[int]) -> Iterator[Mistake]:
    try:
        strangers = sorted(set(parse_channels(spec, count)) - set(rendered))
    except InputError as error:
        yield _at(path, str(error))
        return
    if strangers:
        shown = ", ".join(map(str, strangers[:5])) + (", …" if len(strangers) > 5 else "")
        yield _at(path, f"channel {shown} is not rendered")


def _at(path: tuple[str, ...], text: str) -> Mistake:
    return Mistake(path, f"{'.'.join(path)}: {text}")
