"""Which statistic finds channels that were really changed, when all weights drift? Planted changes.

    python benchmarks/planted.py --model resnet18 --weights resnet18.pth --layer layer4.1 --train-from layer3.1
    python benchmarks/planted.py --network results/base/network.pth --layer layer4.1 --train-from layer3.1

All weights from `--train-from` on are moved by noise, relative to the spread of their tensor. In channels drawn from
the layer the filter is replaced by another channel's, mixed half and half with it, mixed with a quarter of it, or
turned in sign (`planting`). The base and the perturbed network are rendered as in the workflow, and the workflow's
tables are made: once for every kind of change, from its channels and the unchanged ones, because a layer's drift is
estimated from the majority of its channels. For comparison the original's recipe is applied to the same pictures: one
picture of each network, each from its own noise, and the cosine of their embeddings.

Printed are the ROC AUC of each statistic with its standard error, the AUC by number of seeds, and how many channels
are found at a false discovery rate of 5 %, falsely and rightly; the latter also where nothing was planted (`--nulls`
further draws of the noise, or the base against itself from other seeds). `--probe` is an image folder; the
correlation of activations is taken over its photographs. Rendered pictures stay in `--cache`: another run with the
same settings renders nothing.
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from planting import KINDS, UNCHANGED, Change, area_under_curve, draw_changes, drifted, planted
from torch import Tensor, nn

from feature_vis.networks.models import weights_digest
from feature_vis.networks.structure import require_layer_shapes
from feature_vis.objectives import Objectives
from feature_vis.recipe import Recipe
from feature_vis.render import render
from featurediff.data.decode import load_rgb
from featurediff.data.torch_dataset import normalised, val_transform
from featurediff.measures.activation_statistics import Label
from featurediff.measures.cross_activation import cross_activation
from featurediff.measures.embedder import Embedder
from featurediff.measures.photo_responses import photo_responses
from featurediff.measures.picture_responses import compare_activations, picture_activations, picture_responses
from featurediff.measures.weight_change import weight_change
from featurediff.networks import load_network, load_weights
from featurediff.statistics.combined_score import add_combined_score
from featurediff.statistics.mmd import visual_table
from featurediff.statistics.multiple_testing import TESTS, add_q_values

# what is shown -> column, and whether small values mean change
STATISTICS: dict[str, tuple[str, bool]] = {
    "original's recipe: one unpaired picture": ("unpaired_similarity", True),
    "first_similarity: one paired picture": ("first_similarity", True),
    "paired_similarity": ("paired_similarity", True),
    "visual_change (MMD²)": ("visual_change", False),
    "excess": ("excess", False),
    "base_likes_tuned_picture": ("base_likes_tuned_picture", True),
    "tuned_likes_base_picture": ("tuned_likes_base_picture", True),
    "picture_correlation": ("picture_correlation", True),
    "correlation (photographs)": ("correlation", True),
    "weight_change": ("weight_change", False),
    "combined": ("combined", False),
}
CURVE = ("paired_similarity", "visual_change (MMD²)", "excess", "picture_correlation", "combined")
RATE = 0.05


@dataclass(frozen=True)
class Setting:
    """All that the networks under comparison share. `photos`: (N, 3, H, W), normalised."""

    layer: str
    recipe: Recipe
    embedder: Embedder
    photos: Tensor | None
    cache: Path


@dataclass(frozen=True)
class View:
    """A network, its channels' pictures, (K, S, H, W, 3) uint8, and their embeddings, (K, S, D)."""

    model: nn.Module
    channels: np.ndarray
    pictures: np.ndarray
    embeddings: np.ndarray

    def of(self, rows: np.ndarray, seeds: slice) -> "View":
        return View(self.model, self.channels[rows], self.pictures[rows, seeds], self.embeddings[rows, seeds])


def look(setting: Setting, model: nn.Module, channels: Sequence[int], seeds: Sequence[int]) -> View:
    """Render, or take from the cache, and embed."""
    pictures = pictures_of(model, setting.layer, channels, setting.recipe, seeds, setting.cache)
    flat = torch.from_numpy(pictures.reshape(-1, *pictures.shape[2:])).permute(0, 3, 1, 2)  # (K * S, 3, H, W)
    embedded = torch.cat([setting.embedder.embed(batch.float() / 255) for batch in flat.split(16)])
    return View(model, np.array(channels), pictures, embedded.numpy().reshape(*pictures.shape[:2], -1))


def pictures_of(
    model: nn.Module, layer: str, channels: Sequence[int], recipe: Recipe, seeds: Sequence[int], cache: Path
) -> np.ndarray:
    """Every channel's pictures, (K, S, H, W, 3) uint8, as the workflow renders them; kept in `cache`, a file a seed."""
    digest = weights_digest(model, layer)
    unit = Objectives(model)
    stacks = []
    for seed in seeds:
        seeded = replace(recipe, seed=seed)
        key = json.dumps([digest, layer, list(channels), seeded.settings()])
        path = cache / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npz"
        if not path.is_file():
            began = time.perf_counter()
            found = sorted(render([unit(layer, k) for k in channels], seeded), key=lambda one: one.index)
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path.with_suffix(".tmp.npz"), pictures=np.stack([one.picture for one in found]))
            path.with_suffix(".tmp.npz").replace(path)
            print(f"rendered {len(found)} pictures in {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
        with np.load(path) as file:
            stacks.append(file["pictures"])
    return np.stack(stacks, 1)


def of_channels(setting: Setting, base: nn.Module, tuned: nn.Module) -> pd.DataFrame:
    """What needs no pictures, for all of the layer's channels: change of the filter, correlation over photographs."""
    table = weight_change(base, tuned, [setting.layer]).drop(columns=["layer", "reason"])
    if setting.photos is None:
        return table
    batches = ((batch, [Label("photographs", "")] * len(batch)) for batch in setting.photos.split(32))
    found = photo_responses(base, tuned, [setting.layer], batches, top=1, patches=False)
    return table.merge(found.channels[["channel", "correlation"]], on="channel", validate="one_to_one")


@dataclass(frozen=True)
class Pair:
    """Base and tuned network, and all that is measured only once.

    `measured`: a row for each of the layer's channels. `activations`: (2, 2, K, S, K), by the network, by the network
    whose picture it sees, by the picture's channel and seed, and by the channel that is read.
    """

    base: View
    tuned: View
    measured: pd.DataFrame
    activations: np.ndarray

    def of(self, rows: np.ndarray, seeds: slice) -> "Pair":
        views = (view.of(rows, seeds) for view in (self.base, self.tuned))
        return Pair(*views, self.measured, self.activations[:, :, rows][:, :, :, seeds][..., rows])


def pair_up(setting: Setting, base: View, tuned: View) -> Pair:
    """`base` may have more seeds than `tuned`; they are left out."""
    channels, count = base.channels.tolist(), tuned.pictures.shape[1]
    base = base.of(np.arange(len(channels)), slice(0, count))
    measured = of_channels(setting, base.model, tuned.model)
    first = zip(base.pictures[:, 0], tuned.pictures[:, 0], strict=True)
    crossed = cross_activation(base.model, tuned.model, setting.layer, channels, first)
    measured = measured.merge(crossed.drop(columns=["layer", "reason"]), on="channel", validate="one_to_one")
    shown = chain.from_iterable(view.pictures.reshape(-1, *view.pictures.shape[2:]) for view in (base, tuned))
    activations = picture_activations(base.model, tuned.model, setting.layer, channels, shown)
    return Pair(base, tuned, measured, activations.reshape(2, 2, len(channels), count, len(channels)))


def compare(setting: Setting, pair: Pair) -> pd.DataFrame:
    """The workflow's table of a layer."""
    layer, channels = setting.layer, pair.base.channels.tolist()
    embeddings = pair.base.embeddings, pair.tuned.embeddings
    table = visual_table(*embeddings, network="tuned", layer=layer, channels=channels)
    response = compare_activations(layer, channels, pair.activations.reshape(2, -1, len(channels)))
    table = table.merge(response.drop(columns=["layer", "reason"]), on="channel", validate="one_to_one")
    return add_q_values(add_combined_score(table.merge(pair.measured, on="channel", validate="one_to_one")))


def unpaired_similarity(base: View, tuned: View) -> np.ndarray:
    """The original's recipe, (K,): the base's second seed against the tuned network's first."""
    a, b = base.embeddings[:, 1], tuned.embeddings[:, 0]
    return (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))


def study(
    setting: Setting, pair: Pair, unpaired: np.ndarray, changes: Sequence[Change], seeds: int
) -> dict[str, pd.DataFrame]:
    """Kind of change -> table of its channels and the unchanged ones, made of the first `seeds` alone.

    Beside the workflow's columns: `kind`, and `unpaired_similarity`.
    """
    kinds = np.array([change.kind for change in changes])
    tables = {}
    for kind in dict.fromkeys([*KINDS, UNCHANGED]):
        rows = np.flatnonzero((kinds == kind) | (kinds == UNCHANGED))
        table = compare(setting, pair.of(rows, slice(0, seeds)))
        tables[kind] = table.assign(kind=kinds[rows], unpaired_similarity=unpaired[rows])
    return tables


def measure_auc(table: pd.DataFrame, statistic: str) -> tuple[float, float]:
    """ROC AUC of a statistic and its standard error."""
    column, falls = STATISTICS[statistic]
    if column not in table or table[column].isna().all():
        return np.nan, np.nan
    values = table[column].to_numpy(float)
    return area_under_curve(-values if falls else values, (table["kind"] != UNCHANGED).to_numpy())


def show_auc(results: dict[float, dict[int, dict[str, pd.DataFrame]]]) -> None:
    """Statistic by kind and noise, at the largest number of seeds."""
    columns = [(noise, kind) for noise in results for kind in KINDS]
    print("\n| AUC ± standard error | " + " | ".join(f"{kind}, {noise:.0%}" for noise, kind in columns) + " |")
    print("|---" * (1 + len(columns)) + "|")
    for statistic in STATISTICS:
        cells = []
        for noise, kind in columns:
            value, error = measure_auc(results[noise][max(results[noise])][kind], statistic)
            cells.append("–" if np.isnan(value) else f"{value:.3f} ± {error:.3f}")
        print(f"| {statistic} | " + " | ".join(cells) + " |")


def show_curve(results: dict[float, dict[int, dict[str, pd.DataFrame]]]) -> None:
    """AUC of half- and quarter-mixed filters by number of seeds."""
    counts = sorted(next(iter(results.values())))
    print("\n| | noise | kind | " + " | ".join(f"{count} seed{'s'[: count > 1]}" for count in counts) + " |")
    print("|---" * (3 + len(counts)) + "|")
    for statistic in CURVE:
        for noise, by_seeds in results.items():
            for kind in ("half", "quarter"):
                values = [measure_auc(by_seeds[count][kind], statistic)[0] for count in counts]
                cells = " | ".join("–" if np.isnan(value) else f"{value:.3f}" for value in values)
                print(f"| {statistic} | {noise:.0%} | {kind} | {cells} |")


def discoveries(table: pd.DataFrame) -> dict[str, tuple[int, int, int]]:
    """Test -> channels that were tested, found falsely, and found rightly, at `RATE`."""
    changed = (table["kind"] != UNCHANGED).to_numpy()
    counts = {}
    for test in TESTS:
        q = table[f"q_{test}"] if f"q_{test}" in table else pd.Series(np.nan, table.index)
        hit = (q <= RATE).to_numpy()
        counts[test] = int(q.notna().sum()), int((hit & ~changed).sum()), int((hit & changed).sum())
    return counts


def show_discoveries(rows: Sequence[tuple[str, list[pd.DataFrame]]]) -> None:
    """A row a case and its tables: the realised false discovery rate, and how many of the planted are found."""
    print(f"\n| found at a false discovery rate of {RATE:.0%}: false share (planted that are found) | runs | ", end="")
    print(" | ".join(TESTS) + " |\n" + "|---" * (2 + len(TESTS)) + "|")
    for name, tables in rows:
        cells = []
        for test in TESTS:
            counts = [discoveries(table)[test] for table in tables]
            if not any(tested for tested, _, _ in counts):
                cells.append("–")
                continue
            false = np.mean([wrong / max(wrong + right, 1) for _, wrong, right in counts])
            planted_here = sum(int((table["kind"] != UNCHANGED).sum()) for table in tables)
            power = f" ({sum(right for _, _, right in counts) / planted_here:.0%})" if planted_here else ""
            cells.append(f"{false:.1%}{power}")
        print(f"| {name} | {len(tables)} | " + " | ".join(cells) + " |")


def null_tables(setting: Setting, base: View, options: argparse.Namespace, noise: float) -> Iterator[pd.DataFrame]:
    """Tables of networks that only drift, each by a draw of its own."""
    for draw in range(1, options.nulls + 1):
        tuned = drifted(base.model, options.train_from, noise, options.seed + draw)
        view = look(setting, tuned, base.channels.tolist(), range(base.pictures.shape[1]))
        yield compare(setting, pair_up(setting, base, view)).assign(kind=UNCHANGED)


def photographs(folder: Path, size: int, count: int) -> Tensor:
    """The first pictures of a folder's sorted paths, one of each subfolder first, (N, 3, size, size) normalised."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    paths = paths[:: max(1, len(paths) // count)][:count]
    prepare, generator = val_transform(size, resize=size), torch.Generator()
    return normalised(torch.stack([prepare(load_rgb(path), generator) for path in paths]))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", help="network.pth of a workflow; in place of --model and --weights")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--weights", default="IMAGENET1K_V1", help="a state dict's path, or torchvision's name")
    parser.add_argument("--embedder", nargs=2, metavar=("MODEL", "WEIGHTS"), help="another than the network itself")
    parser.add_argument("--layer", default="layer4.1")
    parser.add_argument("--train-from", default="layer3.1")
    parser.add_argument("--noise", type=float, nargs="+", default=[0.05, 0.2], help="of each tensor's spread")
    parser.add_argument("--size", type=int, default=80)
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--planted", type=int, default=20, help="channels of each kind")
    parser.add_argument("--unchanged", type=int, default=60, help="channels in which nothing is planted")
    parser.add_argument("--nulls", type=int, default=0, help="further networks in which nothing is planted, a noise")
    parser.add_argument("--null-seeds", type=int, default=2)
    parser.add_argument("--null-channels", type=int, default=40, help="of the unchanged ones")
    parser.add_argument("--response-nulls", type=int, default=0, help="networks more, shown the base's pictures alone")
    parser.add_argument("--other-seeds", action="store_true", help="the base against itself from other seeds")
    parser.add_argument("--probe", type=Path, help="an image folder")
    parser.add_argument("--photos", type=int, default=200, help="of the image folder")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn: channels, kinds, noise")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=Path("planted-cache"))
    return parser.parse_args()


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    source = load_network(options.network) if options.network else load_weights(options.model, options.weights)
    model, layer = source.module(), options.layer
    embedder = load_weights(*options.embedder).module() if options.embedder else model
    photos = photographs(options.probe, options.size, options.photos) if options.probe else None
    size = (options.size, options.size)
    shape, axis = require_layer_shapes(model, [layer], size)[layer]
    count = shape[axis]
    setting = Setting(
        layer=layer,
        recipe=Recipe(size=options.size, steps=options.steps),
        embedder=Embedder(embedder, blocks=[]),
        photos=photos,
        cache=options.cache,
    )
    changes = draw_changes(count, options.planted, options.unchanged, options.seed)
    channels, seeds = [change.channel for change in changes], range(options.seeds)
    base = look(setting, model, channels, range(max(options.seeds, 2)))
    results: dict[float, dict[int, dict[str, pd.DataFrame]]] = {}
    for noise in options.noise:
        tuned = drifted(planted(model, layer, changes, size), options.train_from, noise, options.seed)
        view = look(setting, tuned, channels, seeds)
        pair, unpaired = pair_up(setting, base, view), unpaired_similarity(base, view)
        results[noise] = {n: study(setting, pair, unpaired, changes, n) for n in range(1, options.seeds + 1)}
    name = options.network or options.model
    print(
        f"\n{name}, {layer}, {options.size} px, {options.steps} steps, {options.seeds} seeds; {options.planted} ",
        end="",
    )
    print(f"channels of each kind, {options.unchanged} unchanged; drift from {options.train_from} on")
    show_auc(results)
    show_curve(results)
    rows = [
        (f"{kind}, noise {noise:.0%}", [by_seeds[options.seeds][kind]])
        for noise, by_seeds in results.items()
        for kind in [*KINDS, UNCHANGED]
    ]
    show_discoveries(rows + nulls(setting, base, changes, options))


def nulls(
    setting: Setting, base: View, changes: Sequence[Change], options: argparse.Namespace
) -> list[tuple[str, list[pd.DataFrame]]]:
    """Cases in which nothing is planted, and their tables."""
    unchanged = np.array([change.kind == UNCHANGED for change in changes])
    rows = np.flatnonzero(unchanged)
    cases = []
    if options.nulls:
        few = base.of(rows[: options.null_channels], slice(0, options.null_seeds))
        for noise in options.noise:
            tables = list(null_tables(setting, few, options, noise))
            cases.append((f"noise {noise:.0%} alone, {options.null_seeds} seeds, {len(few.channels)} channels", tables))
    if options.response_nulls:
        channels, shown = base.channels[rows], base.pictures[rows, 0]
        for noise in options.noise:
            tables = [
                picture_responses(base.model, tuned, setting.layer, channels.tolist(), shown)
                for draw in range(options.response_nulls)
                for tuned in [drifted(base.model, options.train_from, noise, options.seed + 1000 + draw)]
            ]
            tables = [add_q_values(table).assign(kind=UNCHANGED) for table in tables]
            cases.append((f"noise {noise:.0%} alone, the base's first pictures alone, {len(rows)} channels", tables))
    if options.other_seeds:
        first = base.of(rows, slice(None))
        seeds = range(first.pictures.shape[1], 2 * first.pictures.shape[1])
        other = look(setting, base.model, first.channels.tolist(), seeds)
        table = compare(setting, pair_up(setting, first, other)).assign(kind=UNCHANGED)
        cases.append((f"base against base, other seeds, {len(rows)} channels", [table]))
    return cases


if __name__ == "__main__":
    main()
