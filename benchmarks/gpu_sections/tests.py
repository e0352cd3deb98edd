"""The renderer's tests on the device, and every test that needs a GPU; `tests.log` has all they say."""

import os
import re
import subprocess
import sys

from gpu_sections.results import Report
from gpu_sections.setting import ROOT, Setting

RENDERER = ROOT / "tests" / "feature_vis"
FILES = [
    "test_render.py",
    "test_transforms.py",
    "test_objectives.py",
    "test_evaluation.py",
    "test_differences.py",
    "test_parameterizations.py",
    "optimisation",
]
FEW = ["test_seeding.py", "test_transforms.py"]

_OUTCOME = re.compile(r"^\[gw\d+\] \[ *\d+%\] (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS) (\S+::.+?) *$")


def run(setting: Setting, report: Report) -> None:
    chosen = [str(RENDERER / name) for name in (FEW if setting.rehearse else FILES)]
    marked = [str(file) for file in sorted((ROOT / "tests").rglob("test_*.py")) if "mark.gpu" in file.read_text()]
    options = ["-o", "addopts=", "--import-mode=importlib", "--strict-markers", "-m", "not long or gpu"]
    options += ["-p", "no:cacheprovider", "--basetemp", str(setting.work / "pytest"), "--color=no", "-v", "--tb=short"]
    # one process took 6 s for each of the first tests, in which networks start on the device for the first time
    options += ["--numprocesses", str(max(1, min(8, (os.cpu_count() or 2) // 2)))]
    if setting.rehearse:
        marked = []
    paths = list(dict.fromkeys([*chosen, *(path for path in marked if not path.startswith(tuple(chosen)))]))
    environment = {**os.environ, "FEATUREDIFF_TEST_DEVICE": setting.device, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", *options, *paths]
    found: dict[str, list[str]] = {}
    with (
        (setting.out / "tests.log").open("w", encoding="utf-8", buffering=1) as log,
        subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process,
    ):
        for line in process.stdout or ():
            log.write(line)
            if outcome := _OUTCOME.match(line):
                found.setdefault(outcome[1], []).append(outcome[2])
                report.last(table(found))
                if sum(map(len, found.values())) % 50 == 0:
                    print(table(found)[0], flush=True)
    report.keep()
    if process.returncode not in (0, 1):
        raise RuntimeError(f"pytest ended with {process.returncode}, see tests.log")


def table(found: dict[str, list[str]]) -> list[str]:
    """Lines of Markdown: how many tests had which outcome, and the names of those that failed."""
    names = {
        "PASSED": "passed",
        "FAILED": "failed",
        "ERROR": "error",
        "SKIPPED": "skipped",
        "XFAIL": "failed as expected",
    }
    counts = [f"{len(tests)} {names.get(outcome, outcome.lower())}" for outcome, tests in sorted(found.items())]
    failed = [test for outcome in ("FAILED", "ERROR") for test in found.get(outcome, [])]
    return [", ".join(counts), "", *[f"- failed: `{test}`" for test in failed]]
