"""The profiles: every key is one of Snakemake's, and the workflow goes through each as far as it can here."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from places import REPOSITORY
from snakemake.cli import get_argument_parser

from workflow.conftest import Experiment, untrained_config

PROFILES = sorted(path.parent.name for path in (REPOSITORY / "profiles").glob("*/config.yaml"))
# Settings of snakemake-executor-plugin-kubernetes 0.5.1, whose many packages only a Kubernetes needs.
KUBERNETES = ("namespace", "cpu-scalar", "service-account-name", "privileged", "persistent-volumes", "omit-job-cleanup")


def profile(name: str) -> dict[str, object]:
    return yaml.safe_load((REPOSITORY / "profiles" / name / "config.yaml").read_text())


@pytest.fixture
def loaded(tmp_path: Path) -> Experiment:
    return Experiment(tmp_path, untrained_config(tmp_path, {"layer1.0": "0-2"}))


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_limits_the_gpus_and_goes_on_after_ctrl_c_and_has_options_of_snakemake(name: str) -> None:
    known = {option.removeprefix("--") for option in get_argument_parser()._option_string_actions}
    settings = profile(name)
    assert any(str(line).startswith("gpu=") for line in settings["resources"])
    assert settings["rerun-incomplete"] is True
    assert set(settings) <= known | {f"kubernetes-{name}" for name in KUBERNETES}


@pytest.mark.parametrize("name", PROFILES)
def test_a_dry_run_says_what_would_run(name: str, loaded: Experiment) -> None:
    if name == "kubernetes" and not (
        find_spec("snakemake_executor_plugin_kubernetes") and find_spec("snakemake_storage_plugin_fs")
    ):
        pytest.skip("needs snakemake-executor-plugin-kubernetes and snakemake-storage-plugin-fs")
    output = loaded.run("pictures", "-n", "--workflow-profile", name).output
    assert "load_network" in output
    assert "visualize_0" in output


@pytest.mark.long
def test_another_scheduler_gets_what_a_job_needs(loaded: Experiment, monkeypatch) -> None:
    """The command that the Grid Engine has, in its place one that notes what it is asked for and runs it at once."""
    qsub = loaded.folder / "bin" / "qsub"
    qsub.parent.mkdir()
    qsub.write_text('#!/bin/sh\necho "$@" >> asked.txt\nfor script; do :; done\nsh "$script" > job.txt 2>&1\necho 17\n')
    qsub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{qsub.parent}{os.pathsep}{os.environ['PATH']}")
    loaded.run("pictures", "--workflow-profile", "cluster-generic", "--seconds-between-status-checks", "1")
    assert len(list(loaded.folder.glob("results/base/pictures/layer1.0/channel*.png"))) == 3
    network, pictures = (loaded.folder / "asked.txt").read_text().splitlines()
    assert "featurediff.load_network -pe smp 1 -l h_vmem=4000M -l h_rt=0:15:0 -l gpu=0 " in network
    assert "featurediff.visualize_0 -pe smp 1 -l h_vmem=8000M -l h_rt=0:240:0 -l gpu=1 " in pictures
