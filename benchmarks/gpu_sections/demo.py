"""The whole workflow on its demo, with the packed wheels; `demo.log` has what it says."""

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

from gpu_sections.results import Report
from gpu_sections.setting import ROOT, NotPossible, Setting


def run(setting: Setting, report: Report) -> None:
    wheels = sorted((setting.packed / "wheels").glob("*.whl"))
    if not wheels:
        raise NotPossible("not possible: no wheels were carried")
    installed, folder = setting.work / "packages", setting.work / "demo"
    folder.mkdir()
    log = setting.out / "demo.log"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(installed)]
    path = os.pathsep.join([os.environ["PYTHONPATH"], str(installed)])
    programs = os.pathsep.join([str(Path(sys.executable).parent), str(installed / "bin"), os.environ["PATH"]])
    environment = {**os.environ, "PYTHONPATH": path, "PATH": programs}
    cores = len(os.sched_getaffinity(0))
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    snakemake += ["--configfile", str(ROOT / "config.yaml"), "--cores", str(cores), "--resources", "gpu=1"]
    if setting.rehearse:
        snakemake.append("--dry-run")
    with log.open("w", encoding="utf-8") as stream:
        subprocess.run([*pip, *map(str, wheels)], stdout=stream, stderr=subprocess.STDOUT, check=True)
        began = time.perf_counter()
        process = subprocess.Popen(snakemake, env=environment, stdout=stream, stderr=subprocess.STDOUT)
        while process.poll() is None:
            time.sleep(1)
            report.last(table(folder / "results" / "benchmarks", time.perf_counter() - began))
    report.last(table(folder / "results" / "benchmarks", time.perf_counter() - began))
    report.keep()
    if process.returncode != 0:
        raise RuntimeError(f"snakemake ended with {process.returncode}, see demo.log")


def table(folder: Path, seconds: float) -> list[str]:
    """Lines of Markdown: the seconds of each rule's jobs so far."""
    jobs: dict[str, list[float]] = {}
    for file in sorted(folder.rglob("*.tsv")):
        with file.open(encoding="utf-8") as stream:
            for row in csv.DictReader(stream, delimiter="\t"):
                jobs.setdefault(file.relative_to(folder).parts[0].removesuffix(".tsv"), []).append(float(row["s"]))
    rows = [
        f"| {rule} | {len(own)} | {sum(own):.0f} | {max(own):.0f} |"
        for rule, own in sorted(jobs.items(), key=lambda pair: -sum(pair[1]))
    ]
    head = ["| rule | jobs that ended | s, added up | s, the longest |", "|---|---|---|---|"]
    return [f"{seconds:.0f} s from the command on", "", *head, *rows]
