"""A network fine-tuned to the packed photographs, and the pictures of the channels that changed most."""

import logging
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from sheets import write_sheet
from torch import nn

from feature_vis.objectives import Objectives
from feature_vis.recipe import Recipe
from feature_vis.render import Rendered, render
from featurediff.data.split import make_split, write_split
from featurediff.measures.channels import show_probe_images
from featurediff.measures.weight_change import weight_change
from featurediff.training.finetune import finetune, set_up_training, training_log
from featurediff.training.settings import TrainingSettings
from gpu_sections.results import Report
from gpu_sections.setting import Setting, end_blocks

KEY = "gpu"  # of the checkpoints; a training with more epochs goes on from them
MOST_EPOCHS = 40
SHARE = 0.45  # of the section's time, for training


def run(setting: Setting, report: Report) -> None:
    logging.basicConfig(stream=sys.stdout, format="%(message)s")
    logging.getLogger("featurediff").setLevel(logging.INFO)
    if not setting.rehearse:
        torch.set_num_threads(len(os.sched_getaffinity(0)))
    device = setting.torch_device()
    split, _ = make_split("image_folder", setting.photographs(), threads=torch.get_num_threads(), on_bad_image="skip")
    if setting.rehearse:
        split = split.groupby(["label", "split"]).head(3).reset_index(drop=True)
    write_split(setting.work / "split.csv", split)
    base = setting.network().to(device)
    layers = list(end_blocks(base))
    tuned = _train(setting, report, split, layers[0])
    measured = _most_changed(setting, base, tuned, layers[-1], setting.number(20, 2))
    report.add(
        "",
        f"The channels of `{layers[-1]}` whose activations over the {int(measured['images'].iloc[0])} validation "
        "photographs correlate least between the networks, of those active in both; and what their pictures reach:",
        "",
        "| channel | correlation | change of its filter | photographs: mean, base | tuned | picture: base | tuned |",
        "|---|---|---|---|---|---|---|",
    )
    _pictures(setting, report, base, tuned, measured)


def _train(setting: Setting, report: Report, split: pd.DataFrame, train_from: str) -> nn.Module:
    """As many epochs as the time allows, up to `MOST_EPOCHS`."""
    device = setting.torch_device()
    settings = TrainingSettings(
        epochs=1,
        train_from=train_from,
        learning_rate=2e-4,
        learning_rate_decay=0.93,
        batch_size=setting.number(32, 4),
        size=setting.size(224, 32),
        rotation=30,
    )
    setup = set_up_training(setting.network(), split, setting.photographs(), settings)
    store = setting.work / "checkpoints"
    seconds = []
    for epochs in (1, 3):  # kernels are chosen in the first one
        began = time.perf_counter()
        files = finetune(setup, replace(settings, epochs=epochs), KEY, store, device)
        seconds.append(time.perf_counter() - began)
    epochs = min(setting.number(MOST_EPOCHS, 4), 3 + int(SHARE * setting.left() / (seconds[1] / 2)))
    if epochs > 3:
        began = time.perf_counter()
        files = finetune(setup, replace(settings, epochs=epochs), KEY, store, device)
        seconds.append(time.perf_counter() - began)
    report.add(
        f"{len(setup.train)} photographs of {len(setup.class_names)} classes train, {len(setup.validation)} validate: "
        f"{epochs} epochs in {sum(seconds):.0f} s, from `{train_from}` on, crops of {settings.size} px, rate "
        f"{settings.learning_rate:g} times {settings.learning_rate_decay:g} an epoch.",
        "",
        "| epoch | loss, training | validation | accuracy, training | validation | photographs/s |",
        "|---|---|---|---|---|---|",
    )
    shown = sorted({0, 1, len(files) // 2, len(files) - 1})
    for row in training_log([files[number] for number in shown]).itertuples():
        report.add(
            f"| {row.epoch} | {row.train_loss:.3f} | {row.val_loss:.3f} | {row.train_accuracy:.1%} | "
            f"{row.val_accuracy:.1%} | {row.images_per_second:.0f} |"
        )
    return setup.model.eval()


def _most_changed(setting: Setting, base: nn.Module, tuned: nn.Module, layer: str, count: int) -> pd.DataFrame:
    """The channels with the least correlation between both networks' responses to the validation photographs."""
    splits, roots = [str(setting.work / "split.csv")], {"photographs": str(setting.photographs())}
    size = setting.size(224, 32)
    _, responses = show_probe_images(base, tuned, [layer], splits, roots=roots, size=size, resize=None, patches=False)
    assert responses is not None
    table = responses.channels.merge(weight_change(base, tuned, [layer]), on=["layer", "channel"])
    table = table.dropna(subset=["correlation"]).sort_values("correlation", kind="stable")
    if table.empty:
        raise ValueError(f"no channel of {layer} answers to the photographs in both networks")
    return table.head(count)


def _pictures(setting: Setting, report: Report, base: nn.Module, tuned: nn.Module, measured: pd.DataFrame) -> None:
    layer = measured["layer"].iloc[0]
    recipe = Recipe(size=setting.size(400), steps=setting.number(256, 2))
    sides = [_rendered(model, layer, measured["channel"].tolist(), recipe, setting) for model in (base, tuned)]
    for row, before, after in zip(measured.itertuples(), *sides, strict=True):
        report.add(
            f"| {row.channel} | {row.correlation:.3f} | {row.weight_change:.3f} | {row.mean_base:.3f} | "
            f"{row.mean_tuned:.3f} | {before.activation_reached:.2f} | {after.activation_reached:.2f} |"
        )
    sheet: Path = setting.out / "fine_tuned.jpg"
    write_sheet(sheet, [one.picture for pair in zip(*sides, strict=True) for one in pair], across=8, side=240)
    report.add("", f"`{sheet.name}` has them in this order, the base to the left and the tuned network beside it.")


def _rendered(model: nn.Module, layer: str, channels: list[int], recipe: Recipe, setting: Setting) -> list[Rendered]:
    source = Objectives(model)
    found = render([source(layer, channel) for channel in channels], recipe, device=setting.torch_device())
    return sorted(found, key=lambda result: result.index)
