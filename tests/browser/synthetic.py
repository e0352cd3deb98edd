"""A run as the workflow leaves it, made up in seconds: for tests of the page, whose numbers need no truth but a shape.

Tables come from the statistics themselves, of random embeddings in which a third of the channels changed. Pictures are
ripples of a channel's own; a changed channel's are others in a tuned network. Names are as nasty as data can be.
"""

import functools
import itertools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from made_difference import write_difference, write_no_difference
from PIL import Image

from feature_vis.files import write_text
from feature_vis.images.png import write_picture
from featurediff.comparison.compare import describe_columns, picture_answer_agreement, rank_layers
from featurediff.rendering.paths import picture_paths
from featurediff.report.page import chart_library, write_page
from featurediff.report.probe_sheets import shown_images, write_probe_sheets
from featurediff.report.sources import NetworkFacts, Sources
from featurediff.report.thumbnails import PER_SHEET, sheet_name, write_sheets, write_thumbnails
from featurediff.statistics.mmd import visual_table

BASE, TUNED = "base", ("dogs", "cars")
NASTY = "<script>alert(1)</script>"
FORMULA = "=HYPERLINK(1)"
CLASSES = ["pug", "beagle", NASTY, FORMULA]
LAYERS = {"layer3.1": 24, "layer4.1": 40}
SIZE = 48

_library = functools.cache(chart_library)


def write_run(folder: Path, layers: Mapping[str, int] = LAYERS, seeds: int = 2, pictures: bool = True) -> Path:
    """Write `folder/results` with its page; returns the page. Without `pictures` every sheet is the same file."""
    results = folder / "results"
    random = np.random.default_rng(0)
    changed = {layer: random.random(count) < 1 / 3 for layer, count in layers.items()}
    embeddings = _embeddings(results, layers, seeds, changed, random)
    bad = [[BASE, next(iter(layers)), 3, 0, 212.3, "grey"], ["dogs", next(iter(layers)), 5, 0, 190.0, NASTY]]
    _csv(results / "failed_pictures.csv", bad, "network layer channel seed score reason")
    for network, (layer, count) in itertools.product((BASE, *TUNED), layers.items()):
        if pictures:
            _pictures(results, network, layer, count, seeds, changed[layer])
        else:
            _same_sheets(results, network, layer, count)
    for network in TUNED:
        _tables(results, network, layers, embeddings, random)
        _probe(folder, results, network, layers, random)
    _control(results, list(layers))
    write_difference(results / "dogs" / "difference", lambda number: ripples(number, 0.3, number), NASTY)
    write_no_difference(results / "cars" / "difference")
    if pictures:
        _film(results, "dogs", list(layers)[-1], [0, 1, 2])
    write_text(results / "report" / "vega.js", _library())
    networks = [
        NetworkFacts(BASE, "resnet18", "random start", "shapes", 5, 0.98, 0.91, ["disc", "star"], "0" * 64),
        *(NetworkFacts(name, "resnet18", BASE, name, 5, 0.97, 0.88, CLASSES, "1" * 64) for name in TUNED),
    ]
    logs = {name: _training(random) for name in (BASE, *TUNED)}
    facts = {**_FACTS, "seeds": {"seed": 0, "seeds": seeds}}
    write_page(results / "report", Sources(results, BASE, networks, list(layers), logs, TUNED), facts)
    return results / "report" / "index.html"


_FACTS = {
    "title": f"What did fine-tuning change? {NASTY}",
    "tile": SIZE,
    "command": "snakemake --cores 8",
    "embedder": "base, itself one of the networks under test",
    "links": {"Similarity by layer": "../plots/similarity.png"},
    "results": "results",
    "made": "2026-01-01 00:00 UTC",
    "revision": "0123456789ab",
    "devices": ["CPU"],
    "versions": {"Python": "3.11", "torch": "2.8"},
    "seconds": {"visualize_0": 120.0, "finetune": 61.5},
}


def _csv(path: Path, rows: list[list[Any]], columns: str) -> None:
    write_text(path, pd.DataFrame(rows, columns=columns.split()).to_csv(index=False))


def _embeddings(
    results: Path, layers: Mapping[str, int], seeds: int, changed: Mapping[str, np.ndarray], random: np.random.Generator
) -> dict[tuple[str, str], np.ndarray]:
    """(network, layer) -> (K, S, 16), written as the workflow writes them."""
    found = {}
    for layer, count in layers.items():
        own = random.normal(size=(count, 1, 16))
        start = 0.5 * random.normal(size=(count, seeds, 16))
        for network in (BASE, *TUNED):
            moved = random.normal(size=(count, 1, 16)) * changed[layer][:, None, None] * (network != BASE)
            noise = 0.1 * random.normal(size=(count, seeds, 16))
            found[network, layer] = (own + start + moved + noise).astype(np.float32)
            file = results / network / "embeddings" / f"{layer}.npz"
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(file, channels=np.arange(count), seeds=np.arange(seeds), embeddings=found[network, layer])
    return found


def ripples(channel: int, hue: float, seed: int = 0) -> np.ndarray:
    """(SIZE, SIZE, 3) uint8: waves whose direction, width and colour belong to the channel."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    angle, width = channel * 2.4, 3 + channel % 5
    wave = np.sin(2 * np.pi * width * (x * np.cos(angle) + y * np.sin(angle)) + seed)
    colour = 0.5 + 0.5 * np.cos(2 * np.pi * (hue + channel * 0.618 + np.array([0, 1 / 3, 2 / 3])))
    return (128 + 110 * wave[..., None] * colour).clip(0, 255).astype(np.uint8)


def _notes(layer: str, channel: int, reached: float) -> dict[str, Any]:
    rise = np.linspace(0.1, reached, 32).round(4).tolist()
    recipe = {"size": SIZE, "steps": 512 if channel == 1 else 64, "transforms": "small", "learning_rate": 0.05}
    notes = {"layer": layer, "channel": channel, "activation_start": 0.1, "activation_reached": reached}
    return {**notes, "steps": recipe["steps"], "trajectory": rise, "stopped": "steps", "recipe": recipe, "key": "k"}


def _pictures(results: Path, network: str, layer: str, count: int, seeds: int, changed: np.ndarray) -> None:
    paths = picture_paths(results / network / "pictures" / layer, range(count), range(seeds))
    for path, (seed, channel) in zip(paths, itertools.product(range(seeds), range(count)), strict=True):
        hue = 0.4 * (network != BASE) * float(changed[channel])
        write_picture(path, ripples(channel, hue, seed), _notes(layer, channel, 1.5))
    write_thumbnails(results / "report" / "thumbs" / network, layer, paths, SIZE)


def _same_sheets(results: Path, network: str, layer: str, count: int) -> None:
    """As many sheets as `count` channels need, all of them links to one file, to be light on the disk."""
    folder = results / "report" / "thumbs" / network
    first = folder / sheet_name(layer, 0)
    write_sheets(folder, layer, [lambda k=k: Image.fromarray(ripples(k, 0.0)) for k in range(PER_SHEET)], SIZE)
    for number in range(1, -(-count // PER_SHEET)):
        os.link(first, folder / sheet_name(layer, number))
    own = {"channels": list(range(count)), "recipe": {"size": SIZE}, "own": {}}
    pictures = {str(channel): [[0, 0.1, 1.5, 64, []]] for channel in range(count)}
    write_text(folder / f"{layer}.json", json.dumps({**own, "pictures": pictures}))


def _tables(
    results: Path, network: str, layers: Mapping[str, int], embeddings: dict[tuple[str, str], np.ndarray], random: Any
) -> None:
    folder, tables = results / "compare" / network, []
    for layer, count in layers.items():
        of_base, of_tuned = (embeddings[name, layer].astype(np.float64) for name in (BASE, network))
        if count > 3:
            of_base[3, 0] = np.nan  # the failed picture
        table = visual_table(of_base, of_tuned, network=network, layer=layer, channels=list(range(count)))
        table["cosine"] = table["first_similarity"]
        table["gram_layer1"] = random.random(count)
        table["correlation"] = 1 - (1 - table["paired_similarity"]) * random.random(count)
        table["weight_change"] = random.random(count)
        table = table.assign(frozen=False, failed_base=np.arange(count) == 3, failed_tuned=False)
        tables.append(table)
        write_text(folder / f"{layer}.csv", table.to_csv(index=False))
    ranking, summary = rank_layers(tables)
    agreement = picture_answer_agreement(ranking, 0)
    for name, written in {"ranking": ranking, "summary": summary, "agreement": agreement}.items():
        write_text(folder / f"{name}.csv", written.to_csv(index=False))
    write_text(folder / "columns.yaml", describe_columns())


def _probe(folder: Path, results: Path, network: str, layers: Mapping[str, int], random: np.random.Generator) -> None:
    root, probe = folder / "photos" / network, results / "compare" / network / "probe"
    root.mkdir(parents=True)
    for number in range(12):
        Image.fromarray(ripples(number, 0.2)).save(root / f"{number}.png")
    images = [[number, network, f"{number}.png", CLASSES[number % len(CLASSES)]] for number in range(12)]
    top, classes = [], []
    for layer, count in layers.items():
        for channel in range(min(count, 64)):
            for name in ("base", "tuned"):
                for rank, image in enumerate(random.permutation(12)[:4], start=1):
                    place = [1, 1, 4, 4, 30, 30]
                    top.append([layer, channel, name, rank, int(image), 2.0 / rank, 3.0, False, *place])
            classes.append([layer, channel, network, 0.2, 0.6, NASTY, FORMULA, ""])
    columns = "layer channel network rank image activation maximum tied row column left top right bottom"
    _csv(probe / "top_images.csv", top, columns)
    _csv(probe / "images.csv", images, "image data path class_name")
    columns = "layer channel task selectivity_base selectivity_tuned class_base class_tuned reason"
    _csv(probe / "selectivity.csv", classes, columns)
    rows = [[layer, 12, 0.8, 0.9, ""] for layer in layers]
    _csv(probe / "layers.csv", rows, "layer images cka cka_biased reason")
    shown = shown_images(*(pd.read_csv(probe / f"{name}.csv") for name in ("images", "top_images")))
    thumbs = results / "report" / "thumbs" / network
    made = write_probe_sheets(thumbs, "probe", shown, {network: str(root)}, size=SIZE, resize=None)
    write_text(thumbs / "probe.json", json.dumps(made))


def _film(results: Path, network: str, layer: str, channels: list[int]) -> None:
    frames, pitch, top, folder = ["base", 0, 2, 5], SIZE + 4, 16, results / network / "film"
    rows = []
    for channel in channels:
        strip = np.zeros((top + SIZE, pitch * len(frames) - 4, 3), np.uint8)
        for at in range(len(frames)):
            strip[top:, at * pitch : at * pitch + SIZE] = ripples(channel, 0.1 * at)
        notes = {"layer": layer, "channel": channel, "frames": frames, "width": SIZE, "height": SIZE}
        write_picture(folder / layer / f"channel{channel}.png", strip, {**notes, "pitch": pitch, "top": top})
        rows += [[network, layer, channel, epoch, 0.9 - 0.1 * epoch, 0.1 * epoch] for epoch in frames[1:]]
    _csv(folder / "change.csv", rows, "network layer channel epoch paired_similarity visual_change")
    meanings = "epoch: {unit: '', meaning: number of the checkpoint}\nexcess: {unit: '', meaning: another scale}\n"
    write_text(folder / "columns.yaml", meanings)


def _control(results: Path, layers: list[str]) -> None:
    """`cars` as if it were another run of `dogs`."""
    columns = "network control layer measure channels shared shared_low shared_high spearman spearman_low spearman_high"
    rows = [["dogs", "cars", layer, "correlation", 9, 0.4, 0.1, 0.6, 0.3, -0.1, 0.5, 2, 0.5] for layer in layers]
    _csv(results / "compare" / "cars" / "control.csv", rows, f"{columns} changed_both by_chance")


def _training(random: np.random.Generator) -> pd.DataFrame:
    epochs = np.arange(6)
    table = {"epoch": epochs, "train_loss": 1.5 * 0.6**epochs, "val_loss": 1.6 * 0.7**epochs}
    table |= {"train_accuracy": 1 - 0.5 * 0.6**epochs, "val_accuracy": 1 - 0.6 * 0.7**epochs}
    return pd.DataFrame(table).assign(learning_rate=1e-3, images_per_second=random.random(6) * 100, weights_sha256="0")
