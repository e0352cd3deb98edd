"""Facts of a run, from logs and benchmarks such as the workflow leaves them."""

import shlex
import subprocess
from pathlib import Path

from feature_vis.files import write_text as write
from featurediff.report.provenance import describe_embedder, devices, revision, seconds_by_step, start_command, versions


def test_devices_are_those_that_the_logs_name(tmp_path: Path) -> None:
    write(tmp_path / "a/x.log", "using GPU 0 (NVIDIA H100)\nrendered 3, reused 1\n")
    write(tmp_path / "b/y.log", "reused 3 epochs\nusing GPU GPU-12ab (NVIDIA A100)\n")
    assert devices(tmp_path) == ["NVIDIA A100", "NVIDIA H100"]
    (cpu,) = devices(tmp_path / "none")
    assert cpu.startswith("CPU, ")
    assert {"Python", "torch", "numpy"} <= set(versions())


def test_seconds_are_summed_by_step_the_longest_first(tmp_path: Path) -> None:
    write(tmp_path / "plots.tsv", "s\th:m:s\n1.5\t0:00:01\n")
    write(tmp_path / "visualize/dogs/layer/0-7.tsv", "s\th:m:s\n4\t-\n")
    write(tmp_path / "visualize/cars/layer/0-7.tsv", "s\th:m:s\n6.25\t-\n")
    write(tmp_path / "broken.tsv", "s\nNA\n")
    assert list(seconds_by_step(tmp_path).items()) == [("visualize", 10.25), ("plots", 1.5)]


def test_the_revision_says_whether_files_differ(tmp_path: Path) -> None:
    assert revision(tmp_path) == ""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    write(tmp_path / "file", "1")
    for command in (["init", "-q"], ["add", "file"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    clean = revision(tmp_path)
    assert len(clean) == 12
    write(tmp_path / "file", "2")
    assert revision(tmp_path) == f"{clean} with changes"


def test_the_command_that_the_page_offers_is_one_command_whatever_it_names() -> None:
    assert start_command(["snakemake"], [], "results") == "snakemake --cores 8"
    started = start_command(["featurediff", "run"], ["a.yaml"], "out/x")
    assert started == "featurediff run --cores 8 --configfile a.yaml --config results=out/x"
    nasty = start_command(["snakemake"], ["my birds.yaml", "$(reboot).yaml"], "it's; rm -rf ~")
    words = ["--configfile", "my birds.yaml", "$(reboot).yaml", "--config", "results=it's; rm -rf ~"]
    assert shlex.split(nasty)[3:] == words


def test_the_report_says_whether_the_embedder_is_under_test() -> None:
    assert describe_embedder({"network": "base"}) == "base, itself one of the networks under test"
    assert describe_embedder({"model": "vgg11", "weights": "vgg.pth"}) == "vgg11 with the weights vgg.pth"
