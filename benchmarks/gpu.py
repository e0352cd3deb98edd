"""One run on a machine with a CUDA GPU: all that a GPU alone can tell, in order of worth, within some minutes.

    python benchmarks/pack_for_gpu.py --weights resnet50.pth --photographs FOLDER    # before, anywhere
    python benchmarks/gpu.py --out FOLDER --minutes 8
    python benchmarks/gpu.py --out FOLDER --device cpu --rehearse                    # the same code, small

    tests       the renderer's tests on the device, and every test that needs a GPU
    rates       image-steps per second beside the original's recipe and the passes alone; what a step is made of
    experiment  how long the original experiment takes (config/paper.yaml), plain and as quick as it may be
    grey        how many channels stay grey, with the objective before the last ReLU and after it
    training    whether loading keeps up with training
    fine_tune   a network fine-tuned to the packed photographs, and its most changed channels
    demo        the whole workflow, if its wheels were packed

Nothing needs to be installed but the packages: no snakemake, no network. Each section is a process of its own and gets
its share of the time that is left, so one that fails or hangs takes nothing from the others. Tables are written to
`results.md` as they come about; its last lines, and the last that are printed, say what was not reached.
"""

import argparse
import datetime
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "lib"))

import torch  # noqa: E402 - after the path
from gpu_sections import processes  # noqa: E402
from gpu_sections.results import Ending, Results  # noqa: E402
from gpu_sections.setting import PACKED, Setting  # noqa: E402
from machine import processor  # noqa: E402
from training import split_of  # noqa: E402

from feature_vis.errors import InputError  # noqa: E402
from feature_vis.networks.torchvision_import import torchvision  # noqa: E402

# Each one's share of the time, in its order; what one leaves is shared by those after it.
SECTIONS = {"tests": 85, "rates": 90, "experiment": 120, "grey": 40, "training": 45, "fine_tune": 60, "demo": 40}

MOST_FILES, MOST_BYTES = 8, 16 * 2**20  # that are brought home, and of each

Command = Callable[[str, Setting], Sequence[str]]


def main() -> None:
    options = parse()
    check(options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the section's processes are ended, too
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="featurediff-gpu-") as temporary:
        parts = Path(temporary, "parts")
        setting = Setting(
            options.packed.resolve(),
            options.out.resolve(),
            Path(temporary, "work"),
            options.device,
            options.model,
            options.rehearse,
            time.time() + 60 * options.minutes,
        )
        results = Results(setting.out / "results.md", parts)
        results.head(heading(options))
        numbers = {name: str(number) for number, name in enumerate(SECTIONS)}

        def command(name: str, own: Setting) -> list[str]:
            return [sys.executable, "-m", "gpu_sections.child", name, numbers[name], str(parts), own.to_json()]

        last = run_sections(options.sections, setting, results, command)
    for line in too_much(setting.out):
        print(line)
    print(last)


def run_sections(names: Sequence[str], setting: Setting, results: Results, command: Command) -> str:
    """Run them one after the other until the time is over; returns the last lines of the results."""
    endings: dict[str, Ending | None] = dict.fromkeys(names)
    last = results.endings(endings)
    path = os.pathsep.join([str(ROOT / "lib"), str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH", "")])
    for place, name in enumerate(names):
        shares = [SECTIONS.get(other, 60) for other in names[place:]]
        seconds = setting.left() * shares[0] / sum(shares)
        if seconds < 1:
            break
        work = setting.work / name
        work.mkdir(parents=True)
        print(f"\n{name}, at most {seconds:.0f} s", flush=True)
        own = Setting(**{**vars(setting), "work": work, "until": time.time() + seconds})
        endings[name] = processes.run(command(name, own), seconds, work, {"PYTHONPATH": path.rstrip(os.pathsep)})
        shutil.rmtree(work, ignore_errors=True)
        for unfinished in setting.out.glob(".*.tmp*"):  # of a section that was ended while it wrote
            unfinished.unlink(missing_ok=True)
        last = results.endings(endings)
    return last


def heading(options: argparse.Namespace) -> str:
    cuda = torch.version.cuda or "none"
    lines = [
        "# On a GPU" + (", rehearsed: small sizes, nothing here is a measurement" if options.rehearse else ""),
        "",
        f"- {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC, at most {options.minutes:g} minutes",
        f"- device: {device_name() if options.device.startswith('cuda') else options.device}",
        f"- torch {torch.__version__}, CUDA {cuda}, cuDNN {torch.backends.cudnn.version()}, "
        f"torchvision {torchvision.__version__}, Python {platform.python_version()}",
        f"- processor: {processor()}, {os.cpu_count()} cores",
        f"- commit: {output(['git', '-C', str(ROOT), 'rev-parse', 'HEAD']) or 'git does not say'}",
        f"- network: {options.model}, {len(split_of(options.packed / 'photographs', None))} photographs",
    ]
    return "\n".join(lines)


def device_name() -> str:
    """Asked of the driver, because this process must take no memory of the GPU."""
    query = [
        "nvidia-smi",
        "--query-gpu=name,memory.total,driver_version,power.limit,clocks.max.sm",
        "--format=csv,noheader",
    ]
    return output(query) or "nvidia-smi does not say"


def output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return "; ".join(done.stdout.split("\n")[:-1])


def check(options: argparse.Namespace) -> None:
    """End with one message where the run could not even begin."""
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit(f"torch {torch.__version__} sees no GPU here: --device cpu --rehearse tries the script without one")
    photographs = options.packed / "photographs"
    for path, there in ((options.packed, options.packed.is_dir()), (photographs, photographs.is_dir())):
        if not there:
            sys.exit(f"there is no folder {path}: make the packed folder with benchmarks/pack_for_gpu.py")
    setting = Setting(options.packed, options.out, options.out, options.device, options.model, options.rehearse, 0)
    try:
        setting.network()
    except InputError as error:
        sys.exit(f"{error}\nMake the packed folder again with benchmarks/pack_for_gpu.py.")
    split_of(photographs, None)  # says itself if there are too few


def too_much(folder: Path) -> list[str]:
    """What is wrong with the files that are to be brought home."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    lines = [f"{file} has {file.stat().st_size} bytes" for file in files if file.stat().st_size > MOST_BYTES]
    return lines + ([f"{len(files)} files lie in {folder}"] if len(files) > MOST_FILES else [])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packed", type=Path, default=PACKED, help="folder that pack_for_gpu.py has made")
    parser.add_argument("--out", type=Path, required=True, help="folder for what is brought home")
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS), metavar="NAME")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", default="resnet50", help="a ResNet of torchvision's, as it was packed")
    parser.add_argument("--rehearse", action="store_true", help="everything small, to try the code")
    return parser.parse_args()


if __name__ == "__main__":
    main()
