"""The frame around a script: devices, logs, errors, orphans."""

import errno
import os
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack
from types import SimpleNamespace
from unittest.mock import Mock

import psutil
import pytest
import torch
from places import python

from feature_vis.errors import InputError
from feature_vis.files import atomic_path
from featurediff.runtime.job import job, lock_device, visible_gpus

HOLDER = """
import os, sys, time
from pathlib import Path
from featurediff.runtime.job import job, lock_device
with job(sys.argv[1] + "/a.log"), lock_device(["0"], Path(sys.argv[1])):
    print(os.getpid(), flush=True)
    time.sleep(60)
"""


def test_a_job_ends_when_its_workflow_is_killed_and_its_device_is_free_again(tmp_path) -> None:
    shell = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"
    workflow = python(shell, HOLDER, tmp_path, stdout=subprocess.PIPE)
    orphan = psutil.Process(int(workflow.stdout.readline()))
    time.sleep(0.5)
    workflow.kill()
    workflow.wait()
    try:
        orphan.wait(10)
    finally:
        if orphan.is_running():
            orphan.kill()
    with lock_device(["0"], tmp_path) as device:
        assert device == 0


@pytest.fixture
def four_gpus(tmp_path, monkeypatch) -> None:
    """A machine with four GPUs as torch shows it: only those of CUDA_VISIBLE_DEVICES, counted from 0."""

    def visible() -> list[str]:
        return [f"GPU-{name}" for name in os.environ.get("CUDA_VISIBLE_DEVICES", "0,1,2,3").split(",") if name]

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(visible()))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(visible()))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=visible()[index]))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "fake")
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_four_jobs_take_four_devices_and_a_fifth_the_first_that_is_free(tmp_path, four_gpus) -> None:
    held: list[torch.device | None] = []
    got = threading.Event()

    def fifth() -> None:
        with job(tmp_path / "fifth.log", gpu=1) as device:
            held.append(device)
            got.set()

    with ExitStack() as others:
        jobs = [others.enter_context(ExitStack()) for _ in range(4)]
        devices = [one.enter_context(job(tmp_path / f"{n}.log", gpu=1)) for n, one in enumerate(jobs)]
        assert {str(device) for device in devices} == {"cuda:0", "cuda:1", "cuda:2", "cuda:3"}
        thread = threading.Thread(target=fifth)
        thread.start()
        assert not got.wait(0.5)
        jobs[2].close()
        assert got.wait(5)
    thread.join(timeout=5)
    assert held == [devices[2]]
    assert (tmp_path / "fifth.log").read_text().count("waiting for a GPU: other jobs are using all 4") == 1


@pytest.mark.parametrize("free", range(4))
def test_no_job_waits_while_a_device_is_free(tmp_path, four_gpus, free) -> None:
    with ExitStack() as stack:
        for number in {0, 1, 2, 3} - {free}:
            stack.enter_context(lock_device([f"GPU-{number}"], tmp_path))
        started = time.monotonic()
        assert stack.enter_context(lock_device(visible_gpus(), tmp_path, poll_seconds=10)) == free
        assert time.monotonic() - started < 5  # far below one round of waiting


def test_the_clusters_choice_of_devices_is_respected(tmp_path, monkeypatch, four_gpus) -> None:
    """Two jobs of a cluster on one machine: each calls its GPU 0, and neither waits for the other's."""
    with ExitStack() as stack:
        for given, gpu, device in (("2", 1, "cuda:0"), ("3", 1, "cuda:0"), ("2,3", 0, "cpu"), ("", 1, "cpu")):
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
            assert str(stack.enter_context(job(tmp_path / f"{given}.log", gpu=gpu))) == device
    assert all(f"GPU-{given}" in (tmp_path / f"{given}.log").read_text() for given in "23")


@pytest.mark.parametrize(
    ("end", "status", "said"),
    [
        (InputError("the file x is missing"), 1, "the file x is missing\n"),
        (OSError(errno.ENOSPC, "No space", "results/a"), 1, "results/a: the disk is full"),
        (signal.SIGINT, 130, "interrupted: run the same command again to continue from here\n"),
        (signal.SIGTERM, 143, "ended by SIGTERM"),
    ],
)
def test_an_end_is_one_message_and_leaves_nothing_half_done(tmp_path, capfd, end, status, said) -> None:
    before = signal.getsignal(signal.SIGTERM)
    reach = Mock(side_effect=end if isinstance(end, Exception) else signal.raise_signal)
    with pytest.raises(SystemExit) as ended, job(tmp_path / "a.log"), atomic_path(tmp_path / "a.csv"):
        reach(end)
    assert ended.value.code == status
    shown, logged = capfd.readouterr().err, (tmp_path / "a.log").read_text()
    assert shown.startswith(said)
    assert shown.count("\n") == 1
    assert logged.startswith(shown)
    assert ("Traceback" in logged) == isinstance(end, OSError)
    assert [file.name for file in tmp_path.iterdir()] == ["a.log"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_defect_keeps_its_traceback_in_the_log(tmp_path) -> None:
    with pytest.raises(ZeroDivisionError), job(tmp_path / "a.log"):
        raise ZeroDivisionError
    assert "Traceback" in (tmp_path / "a.log").read_text()


def test_without_a_log_the_message_is_said(tmp_path, capfd) -> None:
    (tmp_path / "logs").write_text("a file, where the folder should be")
    with pytest.raises((SystemExit, OSError)), job(tmp_path / "logs" / "a.log"):
        pass
    assert str(tmp_path / "logs") in capfd.readouterr().err
    if os.access("/dev/full", os.W_OK):
        with pytest.raises(SystemExit), job("/dev/full"):
            raise InputError("the file x is missing")
        assert capfd.readouterr().err == "the file x is missing\n"
