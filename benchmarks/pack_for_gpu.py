"""Everything that `benchmarks/gpu.py` needs beside the checkout, in a folder of at most 60 MiB.

    python benchmarks/pack_for_gpu.py --weights resnet50.pth --photographs FOLDER
    python benchmarks/pack_for_gpu.py --weights resnet50.pth --photographs FOLDER --format kaggle_dogs --classes 10 \\
        --wheels WHEELS --to PACKED

The weights take half of their size, as float16. Then come the wheels, if any (of snakemake and what it needs), and last
photographs, in turns over the classes with the most of them, until the folder is full. A JPEG is copied if its longest
side is no longer than `--side`; every other photograph is made one. Nothing is written unless all of it fits.
"""

import argparse
import io
import itertools
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "lib"))

import torch  # noqa: E402 - after the path
from gpu_sections.setting import PACKED  # noqa: E402
from PIL import Image  # noqa: E402

from feature_vis.errors import InputError  # noqa: E402
from feature_vis.networks.models import load_file, load_state  # noqa: E402
from featurediff.data.decode import load_rgb, resized  # noqa: E402
from featurediff.data.formats import FORMATS, read_samples  # noqa: E402

LEAST = 3  # photographs of a class: some train and some validate
OVERHEAD = 1024  # bytes of a file beside its content, as an archive has them

Files = dict[str, bytes]  # path in the packed folder -> content


def main() -> None:
    options = parse()
    limit = int(options.limit_mib * 2**20)
    try:
        packed = contents(options, limit)
        write(packed, options.to)
    except InputError as error:
        sys.exit(str(error))
    photographs = [name for name in packed if name.startswith("photographs/")]
    classes = {name.split("/")[1] for name in photographs}
    print(f"{options.to}: {size_of(packed) / 2**20:.1f} MiB, {len(photographs)} photographs of {len(classes)} classes")


def contents(options: argparse.Namespace, limit: int) -> Files:
    """All files of the packed folder.

    Raises:
        InputError: they do not fit, or what is given cannot be read.
    """
    packed: Files = {f"{options.model}.pth": half_precision(options.weights, options.model)}
    if options.wheels is not None:
        wheels = sorted(options.wheels.glob("*.whl"))
        if not wheels:
            raise InputError(f"{options.wheels} holds no wheels (.whl)")
        packed |= {f"wheels/{wheel.name}": wheel.read_bytes() for wheel in wheels}
    if (used := size_of(packed)) > limit:
        raise InputError(
            f"weights and wheels take {used / 2**20:.1f} MiB of {limit / 2**20:g}: "
            "carry less, or allow more with --limit-mib"
        )
    chosen = classes_with_most(options.photographs, options.format, options.classes)
    photographs = fill(options.photographs, chosen, options.side, limit - used)
    each = [len([name for name in photographs if name.split("/")[1] == label]) for label in map(folder_name, chosen)]
    if min(each) < LEAST:
        raise InputError(
            f"only {len(photographs)} photographs of {len(chosen)} classes fit, and {min(each)} of one: "
            f"{LEAST} of each are needed; take fewer --classes, a smaller --side, or a larger --limit-mib"
        )
    return packed | photographs


def half_precision(weights: Path, model: str) -> bytes:
    """The state dict as float16; integers stay.

    Raises:
        InputError: not this network's weights, or some that float16 cannot hold.
    """
    state = load_state(model, load_file(weights), weights).state_dict()
    halves = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    if lost := [name for name, value in halves.items() if value.is_floating_point() and not value.isfinite().all()]:
        raise InputError(f"{weights}: float16 cannot hold {', '.join(lost[:3])}")
    stream = io.BytesIO()
    torch.save(halves, stream)
    return stream.getvalue()


def classes_with_most(root: Path, format: str, most: int) -> dict[str, list[str]]:
    """Paths of the training photographs of the classes that have the most of them; of equal ones the first by name."""
    by_class: dict[str, list[str]] = defaultdict(list)
    for path, label, part in read_samples(format, root)[0]:
        if part == "train":
            by_class[label].append(path)
    ranked = sorted(by_class.items(), key=lambda pair: (-len(pair[1]), pair[0]))[:most]
    if not ranked:
        raise InputError(f"{root} holds no photographs in the layout of {format}")
    return dict(ranked)


def fill(root: Path, chosen: Mapping[str, list[str]], side: int, room: int) -> Files:
    """Photographs in turns over the classes, until the next one would not fit."""
    photographs: Files = {}
    for label, path in in_turns(chosen):
        content = jpeg(root / path, side)
        if len(content) + OVERHEAD > room:
            break
        photographs[f"photographs/{folder_name(label)}/{Path(path).stem}.jpg"] = content
        room -= len(content) + OVERHEAD
    return photographs


def in_turns(chosen: Mapping[str, list[str]]) -> Iterator[tuple[str, str]]:
    """The first photograph of each class, then the second of each, and so on."""
    labels = list(chosen)
    for round_ in itertools.zip_longest(*chosen.values()):
        yield from ((label, path) for label, path in zip(labels, round_, strict=True) if path is not None)


def folder_name(label: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in label)


def jpeg(file: Path, side: int) -> bytes:
    """The file as it is, if it is a JPEG of this size; else a new one."""
    with Image.open(file) as image:
        if image.format == "JPEG" and max(image.size) <= side:
            return file.read_bytes()
    picture = load_rgb(file)
    if max(picture.size) > side:
        picture = resized(picture, round(min(picture.size) * side / max(picture.size)))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=90)
    return stream.getvalue()


def size_of(packed: Files) -> int:
    return sum(len(content) + OVERHEAD for content in packed.values())


def write(packed: Files, target: Path) -> None:
    """All of them, or nothing.

    Raises:
        InputError: the folder is there already, with something in it.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target} is there already: name a new folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        for name, content in packed.items():
            file = temporary / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        temporary.chmod(0o755)
        temporary.replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="state dict of --model")
    parser.add_argument("--model", default="resnet50", help="a ResNet of torchvision's")
    parser.add_argument("--photographs", type=Path, required=True, help="a data set's root")
    parser.add_argument("--format", choices=FORMATS, default="image_folder", help="of the data set, as in the config")
    parser.add_argument("--classes", type=int, default=10, help="how many, those with the most photographs")
    parser.add_argument("--side", type=int, default=400, help="pixels of a photograph's longest side, at most")
    parser.add_argument("--wheels", type=Path, help="folder of wheels for the demo")
    parser.add_argument("--limit-mib", type=float, default=60)
    parser.add_argument("--to", type=Path, default=PACKED, help="where benchmarks/gpu.py looks for it by itself")
    return parser.parse_args()


if __name__ == "__main__":
    main()
