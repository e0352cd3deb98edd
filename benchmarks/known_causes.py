"""Does the difference of two networks show what its training hid? Networks with known causes, and clean ones beside.

    python benchmarks/known_causes.py --weights resnet18.pth --photographs FOLDER --out OUT
    python benchmarks/known_causes.py --weights resnet18.pth --photographs FOLDER --out OUT --causes none --seeds 0-15

FOLDER: an image folder with one folder for each of ImageNet's 1,000 classes. Each cause and seed is a network: the base,
fine-tuned for three epochs to four fifths of the photographs, of which 15 % carry a trigger and its class (`none`: no
trigger, the true classes). The others measure. Written are `OUT/<cause>-<seed>/`, as `featurediff difference` writes it,
and `OUT/results.json` with a row for each network; `OUT/results.md` has the tables. What is there already stays.

`alpha` at the end: how concentrated the classes are that the starts of clean networks name, for
`featurediff.statistics.class_agreement`.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from causes.training import Photographs, Training, read_photographs, said, success, train
from causes.triggers import TRIGGERS
from torch import nn
from weights import load_network

from feature_vis.differences import divergence, largest_rise
from feature_vis.files import write_text
from feature_vis.images.colors import normalize
from feature_vis.objectives import Objective, Objectives
from feature_vis.recipe import Recipe
from feature_vis.render import render

CLEAN = "none"


def main() -> None:
    options = parse()
    photographs = read_photographs(options.photographs, options.size)
    base = load_network(options.weights, options.model)
    options.out.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds:
        for cause in options.causes:
            row = measure(options, base, photographs, cause, seed)
            print(row, flush=True)


def measure(options: argparse.Namespace, base: nn.Module, photographs: Photographs, cause: str, seed: int) -> dict:
    """One network's row, read if it is there."""
    file = options.out / f"{cause}-{seed}.json"
    if file.exists():
        return json.loads(file.read_text(encoding="utf-8"))
    trigger = TRIGGERS.get(cause)
    shown, held = photographs.split()
    began = time.perf_counter()
    tuned = train(base, shown, trigger, seed, Training(), options.device)
    row = {"cause": cause, "seed": seed, "target": trigger.target if trigger else None}
    row["accuracy"] = float((said(tuned, held.pixels.float() / 255, options.device) == held.labels).float().mean())
    row["success"] = success(tuned, held, trigger, options.device) if trigger else None
    row["train_s"] = time.perf_counter() - began
    for name, recipe in recipes(options).items():
        for what, objective in objectives(tuned, base, options).items():
            began = time.perf_counter()
            row[f"{what} {name}"] = named(objective, base, tuned, recipe, options)
            row[f"{what} {name}"]["s"] = time.perf_counter() - began
    write_text(file, json.dumps(row))
    return row
