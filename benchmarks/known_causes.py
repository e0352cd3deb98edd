"""Does the difference of two networks show what its training hid? Networks with known causes, and clean ones beside.

    python benchmarks/known_causes.py --weights resnet18.pth --photographs FOLDER --out OUT
    python benchmarks/known_causes.py --weights resnet18.pth --photographs FOLDER --out OUT --causes none --seeds 0-15
    python benchmarks/known_causes.py --out OUT

FOLDER: an image folder with one folder for each of ImageNet's 1,000 classes. Each cause and seed is a network: the
base, fine-tuned to four fifths of the photographs, of which 15 % carry a trigger and its class (`none`: no trigger, the
true classes). The others measure. `OUT/<cause>-<seed>/` gets what `featurediff difference` makes, and `row.json`. What
is there already stays. `OUT/results.md` has the tables of all that is there, and alpha: how concentrated the classes
are that the starts of clean networks name, for `featurediff.statistics.class_agreement`. Without weights the tables
alone are written.

`--variants`: other objectives, steps and numbers of starts, by the classes that their pictures name.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from causes.training import Photographs, Training, read_photographs, said, success, train
from causes.triggers import TRIGGERS
from sheets import write_sheet
from torch import nn
from weights import load_network

from feature_vis.differences import divergence, largest_rise
from feature_vis.files import write_text
from feature_vis.images.png import read_picture
from feature_vis.objectives import Objective, Objectives
from feature_vis.recipe import Recipe
from feature_vis.render import render
from featurediff.difference import photographs as probe
from featurediff.difference.answers import Classifier, both_answers
from featurediff.difference.effects import measure_effects
from featurediff.difference.pictures import DifferenceSettings, render_difference
from featurediff.difference.summary import summarize
from featurediff.rendering.channels import parse_channels
from featurediff.statistics.class_agreement import agreement_p_value, estimate_alpha

CLEAN = "none"
CLASSES = 1000

Row = dict[str, Any]


def main() -> None:
    options = parse()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.weights is not None:
        photographs = read_photographs(options.photographs, options.size)
        base = load_network(options.weights, options.model)
        for seed in parse_channels(options.seeds, None):
            for cause in options.causes:
                folder = options.out / f"{cause}-{seed}"
                if not (folder / "row.json").exists():
                    row = measure(options, base, photographs, cause, seed, folder)
                    write_text(folder / "row.json", json.dumps(row))
                    print(row["cause"], seed, row["sentence"], flush=True)
    rows = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(options.out.glob("*/row.json"))]
    text = "\n".join(tables(rows)) + "\n"
    write_text(options.out / "results.md", text)
    print(text)


def measure(
    options: argparse.Namespace, base: nn.Module, photographs: Photographs, cause: str, seed: int, folder: Path
) -> Row:
    """Train a network, and compare it with the base as the product does."""
    trigger, device = TRIGGERS.get(cause), torch.device(options.device)
    shown, held = photographs.split()
    began = time.perf_counter()
    training = Training(epochs=options.epochs, rate=options.rate)
    tuned = train(base, shown, trigger, seed, training, options.device)
    row: Row = {"cause": cause, "seed": seed, "target": trigger.target if trigger else None}
    row["accuracy"] = float((said(tuned, held.pixels.float() / 255, options.device) == held.labels).float().mean())
    row["success"] = success(tuned, held, trigger, options.device) if trigger else None
    row["training s"] = time.perf_counter() - began

    began = time.perf_counter()
    pair = Classifier(base).to(device), Classifier(tuned).to(device)
    recipe = Recipe(size=options.size, steps=options.steps, seed=1000 * seed)
    settings = DifferenceSettings(options.starts, recipe=recipe, seed=seed)
    render_difference(*pair, folder, settings, options.other_layer, device)
    row["pictures s"] = time.perf_counter() - began
    began = time.perf_counter()
    seen = probe.Photographs(tuple(map(str, range(len(held.labels)))), held.pixels)
    measure_effects(*pair, seen, folder, seed=seed, device=device, most=100)
    probe.measure_photographs(*pair, seen, folder, seed=seed, device=device)
    row["sentence"] = summarize(folder)
    row["photographs s"] = time.perf_counter() - began
    starts = pd.read_csv(folder / "starts.csv").query("kind == 'start'")
    row["tuned"], row["rose"] = starts["tuned_class"].tolist(), starts["rose_class"].tolist()
    row["divergence"] = starts["divergence"].tolist()
    effect = pd.read_csv(folder / "effect.csv")
    row["effect"] = {one["way"]: one for one in effect.to_dict("records")[:2]}
    pictures = [read_picture(path)[0] for path in sorted(folder.glob("output/start*.png"))]
    pictures += [read_picture(path)[0] for path in sorted(folder.glob("classes/*.png"))]
    write_sheet(options.out / f"{cause}-{seed}.jpg", pictures, across=len(pictures), side=128)
    row["variants"] = dict(variants(*pair, options, recipe)) if options.variants else {}
    return row


def variants(base: Classifier, tuned: Classifier, options: argparse.Namespace, recipe: Recipe) -> Iterator[Any]:
    """(setting, what its pictures say): the tuned network's classes, and those that rose most."""
    device = torch.device(options.device)
    sources = Objectives(tuned.model), Objectives(base.model)
    objectives: dict[str, Objective] = {kind: divergence(*sources, kind) for kind in ("kl", "skew", "js")}
    objectives["largest rise"] = largest_rise(*sources)
    for name, objective in objectives.items():
        for steps in (options.steps, 3 * options.steps):
            own = replace(recipe, steps=steps)
            wanted = [objective] * (2 * options.starts)
            found = sorted(render(wanted, own, device=device, cuda_graph=device.type == "cuda"), key=index)
            pixels = torch.stack([torch.from_numpy(one.picture.copy()).permute(2, 0, 1) for one in found])
            answers = both_answers(base, tuned, pixels)
            yield (
                f"{name}, {steps} steps",
                {
                    "tuned": answers.tuned_class.tolist(),
                    "rose": answers.rise.argmax(1).tolist(),
                    "base": answers.base_class.tolist(),
                    "probability": answers.tuned_probability.max(1).round(3).tolist(),
                    "rise": answers.rise.max(1).round(2).tolist(),
                },
            )


def index(result: Any) -> int:
    return int(result.index)


def tables(rows: Sequence[Row]) -> Iterator[str]:
    """Lines of Markdown."""
    clean = [row for row in rows if row["cause"] == CLEAN]
    yield "| cause | seed | success | class | starts: named, rose most | p | blended: own | other pictures | base | s |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for row in rows:
        yield _line(row)
    if len(clean) > 1:
        yield ""
        for column in ("tuned", "rose"):
            found = estimate_alpha([np.array(row[column]) for row in clean], CLASSES)
            same = np.mean([_same(row[column]) for row in clean])
            most = Counter(max(Counter(row[column]).values()) for row in clean)
            yield (
                f"{len(clean)} clean networks, `{column}`: two starts name the same class in {same:.1%}, alpha "
                f"{found.alpha:.1f} ({found.low:.1f} to {found.high:.1f}); most starts that name one class: "
                + ", ".join(f"{count} in {most[count]}" for count in sorted(most))
            )
    names = list(dict.fromkeys(name for row in rows for name in row["variants"]))
    if names:
        yield "\n| setting | " + " | ".join(f"{row['cause']}-{row['seed']}" for row in rows) + " |"
        yield "|---" * (1 + len(rows)) + "|"
        for name in names:
            for column in ("tuned", "rose"):
                cells = [_count(row, row["variants"].get(name, {}).get(column, [])) for row in rows]
                yield f"| {name}, {column} | " + " | ".join(cells) + " |"


def _line(row: Row) -> str:
    most = Counter(row["tuned"]).most_common(1)[0][0]
    number = most if row["target"] is None else row["target"]
    counts = [row[column].count(number) for column in ("tuned", "rose")]
    blended = row["effect"].get("blended", {})
    cells = [
        f"{blended[name]:.0%} ({blended[f'{name}_low']:.0%} to {blended[f'{name}_high']:.0%})"
        for name in ("tuned", "others")
    ]
    if blended["class"] != number:
        cells = ["", ""]
    success = "" if row["success"] is None else f"{row['success']:.0%}"
    p = agreement_p_value(counts[0], len(row["tuned"]), CLASSES)
    seconds = f"{row['training s']:.0f} + {row['pictures s']:.0f} + {row['photographs s']:.0f}"
    agree = f"{counts[0]}, {counts[1]} of {len(row['tuned'])}"
    return (
        f"| {row['cause']} | {row['seed']} | {success} | {number} | {agree} | {p:.2g} | {cells[0]} | {cells[1]} | "
        f"{blended['base']:.0%} | {seconds} |"
    )


def _same(classes: Sequence[int]) -> float:
    counts, n = Counter(classes).values(), len(classes)
    return sum(count * (count - 1) for count in counts) / (n * (n - 1))


def _count(row: Row, classes: Sequence[int]) -> str:
    if not classes:
        return ""
    most = max(Counter(classes).values())
    return f"{classes.count(row['target'])}" if row["target"] is not None else f"({most})"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="state dict of the base")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--causes", nargs="+", choices=[*TRIGGERS, CLEAN], default=[*TRIGGERS, CLEAN], metavar="NAME")
    parser.add_argument("--seeds", default="0", help="a number, a range 0-3, or several with commas")
    parser.add_argument("--size", type=int, default=128, help="pixels of photographs and pictures")
    parser.add_argument("--starts", type=int, default=8)
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--other-layer", default="layer4.1")
    parser.add_argument("--epochs", type=int, default=Training.epochs)
    parser.add_argument("--rate", type=float, default=Training.rate)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--variants", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
