"""One run on a GPU, rehearsed without one; what is packed for it, and what becomes of sections that fail."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import gpu
import numpy as np
import pack_for_gpu
import psutil
import pytest
import torch
from gpu import run_sections, too_much
from gpu_sections import processes
from gpu_sections.experiment import area_steps, candidates
from gpu_sections.profile import MEASURED, busy, read
from gpu_sections.results import Report, Results
from gpu_sections.setting import Setting, end_blocks
from gpu_sections.tests import table as outcomes
from PIL import Image
from places import REPOSITORY
from torch.autograd import DeviceType

from feature_vis.networks.models import build, load_file
from feature_vis.recipe import Recipe

CLASSES = {"ant": 7, "bee": 5, "no wasp": 4}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a ResNet-18 that nobody trained, and noisy photographs of three classes."""
    folder = tmp_path_factory.mktemp("data")
    torch.manual_seed(0)
    torch.save(build("resnet18", classes=3).state_dict(), folder / "weights.pth")
    noise = np.random.default_rng(0)
    for label, count in CLASSES.items():
        (folder / "photographs" / label).mkdir(parents=True)
        for number in range(count):
            pixels = noise.integers(0, 256, (60, 80, 3), dtype=np.uint8)
            suffix = "png" if number == 0 else "jpg"
            Image.fromarray(pixels).save(folder / "photographs" / label / f"{number}.{suffix}")
    return folder


def told(main: Callable[[], None], *arguments: str | Path) -> str:
    """What a benchmark says where it cannot go on; nothing where it ends well."""
    with patch.object(sys, "argv", ["benchmark", *map(str, arguments)]):
        try:
            main()
        except SystemExit as end:
            return str(end.code)
    return ""


def pack(data: Path, to: Path, *more: str | Path) -> str:
    given = ["--weights", data / "weights.pth", "--model", "resnet18", "--photographs", data / "photographs"]
    return told(pack_for_gpu.main, *given, "--to", to, *more)


@pytest.fixture(scope="module")
def packed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed") / "packed"
    assert pack(data, folder) == ""
    return folder


def rehearse(packed: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """In a folder of no importance; nothing is installed."""
    command = [sys.executable, REPOSITORY / "benchmarks" / "gpu.py", "--packed", packed, "--out", out, *more]
    command += ["--model", "resnet18", "--device", "cpu", "--rehearse"]
    return subprocess.run(list(map(str, command)), cwd="/", capture_output=True, text=True)


def test_packed_are_half_the_weights_and_photographs_as_an_image_folder(data: Path, packed: Path) -> None:
    whole, half = load_file(data / "weights.pth"), load_file(packed / "resnet18.pth")
    assert whole.keys() == half.keys()
    assert half["conv1.weight"].dtype == torch.float16
    torch.testing.assert_close(half["conv1.weight"].float(), whole["conv1.weight"], rtol=1e-3, atol=1e-6)
    assert sorted(path.name for path in packed.iterdir()) == ["photographs", "resnet18.pth"]
    names = {path.relative_to(packed / "photographs").as_posix() for path in packed.rglob("*.jpg")}
    assert names == {f"{label.replace(' ', '_')}/{n}.jpg" for label, count in CLASSES.items() for n in range(count)}
    copied = Path("photographs", "ant", "1.jpg")
    assert (packed / copied).read_bytes() == (data / copied).read_bytes()


def test_what_is_packed_stays_below_the_limit_evenly_over_the_classes(data: Path, tmp_path: Path) -> None:
    weights = len(pack_for_gpu.half_precision(data / "weights.pth", "resnet18"))
    mib = (weights + 56_000) / 2**20
    assert pack(data, tmp_path / "packed", "--limit-mib", f"{mib:.4f}") == ""
    files = [path for path in (tmp_path / "packed").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= mib * 2**20
    counts = [len(list(folder.iterdir())) for folder in (tmp_path / "packed" / "photographs").iterdir()]
    assert max(counts) - min(counts) <= 1


@pytest.mark.shared_data
def test_a_real_network_and_real_dogs_fit_into_the_default_limit(shared_data: Path, tmp_path: Path) -> None:
    weights, dogs = shared_data / "weights" / "resnet50.pth", shared_data / "dog-breed-identification"
    given = ["--weights", weights, "--photographs", dogs, "--format", "kaggle_dogs", "--to", tmp_path / "packed"]
    assert told(pack_for_gpu.main, *given) == ""
    files = [path for path in (tmp_path / "packed").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 60 * 2**20
    folders = list((tmp_path / "packed" / "photographs").iterdir())
    assert [len(list(folder.iterdir())) for folder in folders] == [60] * 10
    named = Setting(tmp_path / "packed", tmp_path, tmp_path, "cpu", "resnet50", True, 0)
    assert end_blocks(named.network()) == {"layer3.5": 1024, "layer4.0": 2048, "layer4.1": 2048, "layer4.2": 2048}


@pytest.mark.parametrize(("more", "says"), [(-1000, "weights and wheels take"), (9000, "of each are needed")])
def test_nothing_is_written_where_too_little_fits(data: Path, tmp_path: Path, more: int, says: str) -> None:
    weights = len(pack_for_gpu.half_precision(data / "weights.pth", "resnet18"))
    assert says in pack(data, tmp_path / "packed", "--limit-mib", f"{(weights + more) / 2**20:.4f}")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_not_packed_over(data: Path, packed: Path) -> None:
    assert "is there already" in pack(data, packed)


@pytest.mark.long
def test_every_section_can_be_rehearsed(packed: Path, tmp_path: Path) -> None:
    done = rehearse(packed, tmp_path)
    results = (tmp_path / "results.md").read_text()
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == results.splitlines()[-1] == "- demo: not possible: no wheels were carried"
    assert results.count("| done |") == 6, results
    for title in ("Tests", "Rates", "Experiment", "Grey", "Training", "Fine tune"):
        assert f"\n## {title}\n" in results
    assert " 0 passed" not in results
    assert "Product of two matrices" in results
    assert "minutes, projected from" in results
    assert "later epochs from files" in results
    files = {path.name for path in tmp_path.iterdir()}
    sheets = {"grey_before_relu.jpg", "grey_after_relu.jpg", "experiment.jpg", "fine_tuned.jpg"}
    assert files == {"results.md", "tests.log", "profile.txt", *sheets}
    assert too_much(tmp_path) == []


def test_one_section_can_be_rehearsed(packed: Path, tmp_path: Path) -> None:
    done = rehearse(packed, tmp_path, "--sections", "grey", "demo")
    results = (tmp_path / "results.md").read_text()
    assert "| grey |" in results
    assert "| all | 6 |" in results
    assert done.stdout.splitlines()[-2:] == ["Not reached, or failed:", "- demo: not possible: no wheels were carried"]


@pytest.mark.parametrize("fault", ["no folder", "no photographs", "no weights", "damaged weights", "no GPU"])
def test_what_is_missing_or_damaged_is_said_in_one_message(packed: Path, tmp_path: Path, fault: str) -> None:
    folder = tmp_path / "packed"
    if fault != "no folder":
        folder.mkdir()
    if fault not in ("no folder", "no photographs"):
        (folder / "photographs").symlink_to(packed / "photographs")
    if fault == "damaged weights":
        (folder / "resnet18.pth").write_bytes((packed / "resnet18.pth").read_bytes()[:-5000])
    if fault == "no GPU" and torch.cuda.is_available():
        pytest.skip("there is one")
    device = "cuda" if fault == "no GPU" else "cpu"
    given = ["--packed", folder, "--out", tmp_path / "out", "--model", "resnet18", "--device", device]
    assert ("sees no GPU" if fault == "no GPU" else "benchmarks/pack_for_gpu.py") in told(gpu.main, *given)
    assert not (tmp_path / "out").exists()


def test_a_section_that_fails_or_hangs_takes_nothing_from_the_others(tmp_path: Path) -> None:
    results = Results(tmp_path / "out" / "results.md", tmp_path / "parts")
    results.head("# Head")
    setting = Setting(tmp_path, tmp_path / "out", tmp_path / "work", "cpu", "resnet18", True, time.time() + 32)
    codes = {
        "hangs": "report.add('half a table'); import time; time.sleep(600)",
        "crashes": "import os, signal; report.add('before'); os.kill(os.getpid(), signal.SIGKILL)",
        "fails": "raise SystemExit(3)",
        "works": "report.add('| a | b |'); report.last(['for now']); report.last(['in the end'])",
    }

    begin = f"""
from pathlib import Path
from gpu_sections.results import Report, Results
report = Report(Results(Path({str(results.file)!r}), Path({str(results.parts)!r})), NUMBER, "Title")
"""

    def command(name: str, _own: Setting) -> list[str]:
        return [sys.executable, "-c", begin.replace("NUMBER", str(list(codes).index(name))) + codes[name]]

    last = run_sections(list(codes), setting, results, command)
    text = results.file.read_text()
    assert text.startswith("# Head")
    for said in ("half a table", "before", "| a | b |", "in the end"):
        assert said in text
    assert "for now" not in text
    assert "- hangs: ended at its limit of 8 s" in last
    assert "- crashes: ended by signal 9" in last
    assert "- fails: ended with 3" in last
    assert "works:" not in last
    assert text.rstrip().endswith(last)


def test_sections_that_the_time_did_not_reach_are_named(tmp_path: Path) -> None:
    results = Results(tmp_path / "results.md", tmp_path / "parts")
    setting = Setting(tmp_path, tmp_path, tmp_path / "work", "cpu", "resnet18", True, time.time())
    assert run_sections(["rates", "grey"], setting, results, lambda *_: []) == (
        "Not reached, or failed:\n- rates: not reached\n- grey: not reached"
    )


def test_a_section_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    file = tmp_path / "child"
    sleep = "import time; time.sleep(600)"
    code = f"""
import pathlib, subprocess, sys
process = subprocess.Popen([sys.executable, "-c", {sleep!r}])
pathlib.Path({str(file)!r}).write_text(str(process.pid))
process.wait()
"""
    ending = processes.run([sys.executable, "-c", code], 3, tmp_path)
    assert ending.what.startswith("ended at its limit of 3 s")
    assert ending.seconds < 20
    child = int(file.read_text())
    until = time.monotonic() + 10
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_too_many_or_too_large_files_are_named(tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / str(number)).touch()
    with (tmp_path / "0").open("wb") as file:
        file.truncate(17 * 2**20)
    assert len(too_much(tmp_path)) == 2


def test_overlapping_kernels_count_once() -> None:
    assert busy([(5.0, 9.0), (0.0, 2.0), (1.0, 3.0), (6.0, 7.0)]) == 7.0


def test_a_profile_tells_kernels_gaps_and_the_hosts_own_time() -> None:
    def event(name: str, start: float, end: float, device: DeviceType = DeviceType.CUDA, note: bool = False) -> object:
        span = SimpleNamespace(start=start, end=end, elapsed_us=lambda: end - start)
        return SimpleNamespace(name=name, time_range=span, device_type=device, is_user_annotation=note)

    ms = 1000 * MEASURED  # microseconds of all steps that are one millisecond of a step
    events = [
        event("ProfilerStep#1", 0, 20 * ms, note=True),
        *[event("gemm", 2 * ms * n, (2 * n + 1) * ms) for n in range(MEASURED)],
        event("copy", 0, 2 * ms),
        event("cudaStreamSynchronize", 0, 3 * ms, DeviceType.CPU),
        event("cudaLaunchKernel", 0, 4 * ms, DeviceType.CPU),
    ]
    averages = SimpleNamespace(table=lambda **_: "the table")
    profiler = SimpleNamespace(events=lambda: events, key_averages=lambda: averages)
    found = read(profiler, span=10.0, cuda=True)
    assert found.waiting == pytest.approx(3)
    assert found.kernel_time == pytest.approx(MEASURED + 2)
    assert found.busy == pytest.approx(MEASURED + 1)
    assert found.longest == [("gemm", 1, pytest.approx(MEASURED)), ("copy", 0, pytest.approx(2))]
    lines = found.table()
    assert any(line.startswith("| gaps") and "6.00" in line for line in lines)
    assert any(line.startswith("| host: Python") and "7.00" in line for line in lines)
    assert "the table" in found.text


def test_candidates_come_cheapest_first_and_a_growing_picture_costs_less() -> None:
    recipe = Recipe(size=400, steps=256)
    costs = [area_steps(own) for _, own in candidates(recipe)]
    assert costs == sorted(costs)
    assert area_steps(recipe) == 256
    assert area_steps(Recipe(size=400, steps=256, schedule="growing")) < 200


def test_failed_tests_are_named() -> None:
    lines = outcomes({"PASSED": ["a::x", "a::y"], "FAILED": ["a::z"], "ERROR": ["b::w"]})
    assert lines[0] == "1 error, 1 failed, 2 passed"
    assert lines[2:] == ["- failed: `a::z`", "- failed: `b::w`"]


def test_a_report_is_on_the_disk_at_once(tmp_path: Path) -> None:
    results = Results(tmp_path / "results.md", tmp_path / "parts")
    report = Report(results, 1, "Second")
    Report(results, 0, "First").add("one")
    report.last(["row"])
    assert results.file.read_text() == "## First\n\none\n\n## Second\n\nrow\n"
