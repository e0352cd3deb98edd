"""Whether loading keeps up with training: epochs from files beside epochs on batches that are on the device already.

    python benchmarks/training.py --pictures FOLDER               # a small network on the CPU
    python benchmarks/training.py --pictures FOLDER --threads 16 --model resnet50 --batch-size 128 \\
        --size 224 --resize 256
    python benchmarks/training.py --pictures FOLDER --threads 16 --model resnet50 --batch-size 100 \\
        --size 400 --rotation 30 --train-from layer3.5            # the training of config/paper.yaml

With a GPU it is used. FOLDER: pictures, in a folder a class. The goal on a GPU: from files at 90 % of the rate or more.

Training and loading are `featurediff.training.trainer` and `featurediff.training.loading`, as in the workflow.
`memory`: epochs on batches that were made before and stay on the device, before and after the others. `first`: the
first epoch from files, in which every picture is decoded. `later`: the epochs after it, one after the other, with
decoded pictures from the cache. `loading`: the same epochs with nothing to train. Rates are pictures a second of
wall-clock time; where other work shares the processors, what the process itself had of them says more: milliseconds a
picture, without the loading processes'.
"""

import argparse
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import pandas as pd
import torch

from feature_vis.networks.models import build
from featurediff.training.finetune import freeze_before
from featurediff.training.loading import Batch, Stream, open_pictures, threads_for_loading
from featurediff.training.schedule import make_optimizer
from featurediff.training.settings import TrainingSettings
from featurediff.training.trainer import Epochs

GOAL = 0.9


@dataclass(frozen=True)
class Measured:
    """`rate`: pictures a second. `processor`: milliseconds of this process a picture."""

    rate: float
    processor: float


def measured(pictures: int, work: Callable[[], object], device: torch.device) -> Measured:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    wall, processor = time.perf_counter(), time.process_time()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - wall
    return Measured(pictures / seconds, 1000 * (time.process_time() - processor) / pictures)


def split_of(folder: Path, count: int | None) -> pd.DataFrame:
    """All pictures train but for one, since every epoch validates."""
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if len(files) < 3:
        raise SystemExit(f"{folder} holds {len(files)} pictures (.jpg, .jpeg, .png)")
    files = files[:: max(1, len(files) // count)][:count] if count else files
    table = pd.DataFrame({"path": [file.relative_to(folder).as_posix() for file in files]})
    table["label"] = [file.parent.name for file in files]
    table["class_index"] = pd.factorize(table["label"], sort=True)[0]
    return table.assign(split=["val", *["train"] * (len(files) - 1)])


def measure(
    folder: Path, count: int | None, model_name: str, settings: TrainingSettings, workers: int, device: torch.device
) -> Iterator[tuple[str, Measured]]:
    """Each kind of epoch when it is measured."""
    split = split_of(folder, count)
    classes = int(split["class_index"].max()) + 1
    model = build(model_name, classes=classes).to(device, memory_format=torch.channels_last)
    trainable = freeze_before(model, settings.train_from)
    optimizer = make_optimizer(trainable.parameters(), settings)
    rounds = settings.epochs - 1
    print(f"{len(split) - 1} pictures, {workers} processes load them, {torch.get_num_threads()} threads")

    def stream() -> tuple[Stream, list[int]]:
        parts = open_pictures(split, folder, settings)
        return Stream(*parts, settings, range(1 + rounds), workers, device), parts[0].labels

    loaded, labels = stream()
    epochs = Epochs(model, trainable.train, optimizer, labels, classes, settings)
    many = rounds * len(labels)

    def train(batches: Callable[[int], Iterable[Batch]], numbers: Iterable[int], after: Callable[[], object]) -> None:
        for number in numbers:
            epochs.train(number, batches(number), lambda _: None)
            after()

    ready = list(loaded.training(0))
    train(lambda _: ready, range(1), list)  # kernels are chosen, memory is taken
    yield "memory", measured(many, lambda: train(lambda _: ready, range(rounds), list), device)

    loaded.close()
    loaded, _ = stream()
    after = lambda: list(loaded.validation())  # noqa: E731
    yield "first", measured(len(labels), lambda: train(loaded.training, [0], after), device)
    yield "later", measured(many, lambda: train(loaded.training, range(1, 1 + rounds), after), device)
    yield "memory again", measured(many, lambda: train(lambda _: ready, range(rounds), list), device)

    loaded.close()
    loaded, _ = stream()
    for name, numbers in (("loading, first", [0]), ("loading, later", range(1, 1 + rounds))):
        work = lambda numbers=numbers: [(list(loaded.training(number)), after()) for number in numbers]  # noqa: E731
        yield name, measured(len(labels) * len(numbers), work, device)
    loaded.close()


def table(found: Mapping[str, Measured], device: torch.device) -> list[str]:
    """Lines of Markdown, of all that is measured so far."""
    lines = ["| epochs | pictures/s | ms of the process a picture |", "|---|---|---|"]
    lines += [f"| {name} | {value.rate:.1f} | {value.processor:.2f} |" for name, value in found.items()]
    in_memory = [value.rate for name, value in found.items() if name.startswith("memory")]
    if "first" in found:
        lines += ["", f"first epoch from files: {found['first'].rate / mean(in_memory):.1%} of the rate in memory"]
    if "later" in found:
        share = found["later"].rate / mean(in_memory)
        reached = "reached" if share >= GOAL else "missed"
        goal = f"the goal of {GOAL:.0%} is {reached}" if device.type == "cuda" else "the goal is one for a GPU"
        lines += ["", f"later epochs from files: {share:.1%}; {goal}"]
    return lines


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, required=True, help="folder with a folder a class")
    parser.add_argument("--count", type=int, help="how many of them, from all over the folder; all where absent")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--train-from", help="as in the config")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--resize", type=int)
    parser.add_argument("--rotation", type=float, default=0.0)
    parser.add_argument("--randaugment", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=4, help="epochs of each kind but the first from files")
    parser.add_argument("--workers", type=int, help="as in the config")
    parser.add_argument("--cache-mb", type=int, default=4000, help="as in the config")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU", f"torch {torch.__version__}")
    settings = TrainingSettings(
        epochs=1 + options.rounds,
        train_from=options.train_from,
        batch_size=options.batch_size,
        size=options.size,
        resize=options.resize,
        rotation=options.rotation,
        randaugment=options.randaugment,
        workers=options.workers,
        cache_mb=options.cache_mb,
    )
    with threads_for_loading(settings, device) as workers:
        found = dict(measure(options.pictures, options.count, options.model, settings, workers, device))
    print("", *table(found, device), sep="\n")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
