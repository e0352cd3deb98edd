"""The frame around a script: devices, logs, errors, orphans."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
import torch
from places import python_environment

from feature_vis.errors import InputError
from feature_vis.files import atomic_path
from featurediff.runtime.job import job, lock_device, log, visible_gpus


def test_a_device_is_free_again_when_its_holder_is_killed(tmp_path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from featurediff.runtime.job import lock_device\n"
        "with lock_device(['0'], Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=python_environment()
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.wait()
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


@pytest.mark.usefixtures("four_gpus")
def test_four_jobs_take_four_devices_and_a_fifth_the_first_that_is_free(tmp_path) -> None:
    held: list[torch.device | None] = []
    got = threading.Event()

    def fifth() -> None:
        with job(tmp_path / "fifth.log", gpu=1) as device:
            held.append(device)
            got.set()

    with ExitStack() as others:
        jobs = [ExitStack() for _ in range(4)]
        devices = [
            others.enter_context(one).enter_context(job(tmp_path / f"{n}.log", gpu=1)) for n, one in enumerate(jobs)
        ]
        assert {str(device) for device in devices} == {"cuda:0", "cuda:1", "cuda:2", "cuda:3"}
        thread = threading.Thread(target=fifth)
        thread.start()
        assert not got.wait(0.5)
        jobs[2].close()
        assert got.wait(5)
    thread.join(timeout=5)
    assert held == [devices[2]]
    assert (tmp_path / "fifth.log").read_text().count("waiting for a GPU: other jobs are using all 4") == 1


@pytest.mark.usefixtures("four_gpus")
def test_no_job_waits_while_a_device_is_free(tmp_path) -> None:
    """Whichever the free one is: the time is far below one round of waiting."""
    for free in range(4):
        with ExitStack() as stack:
            devices = [
                stack.enter_context(lock_device([f"GPU-{n}"], tmp_path / "locks")) for n in range(4) if n != free
            ]
            assert len(devices) == 3
            started = time.monotonic()
            with lock_device(visible_gpus(), tmp_path / "locks", poll_seconds=10) as device:
                assert device == free
            assert time.monotonic() - started < 5


@pytest.mark.usefixtures("four_gpus")
def test_the_clusters_choice_of_devices_is_respected(tmp_path, monkeypatch) -> None:
    """Two jobs of a cluster on one machine: each calls its GPU 0, and neither waits for the other's."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    with job(tmp_path / "a.log", gpu=1) as first:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
        with job(tmp_path / "b.log", gpu=1) as second:
            assert (str(first), str(second)) == ("cuda:0", "cuda:0")
            assert "GPU-3" in (tmp_path / "b.log").read_text()
    assert "GPU-2" in (tmp_path / "a.log").read_text()


@pytest.mark.usefixtures("four_gpus")
@pytest.mark.parametrize(("given", "gpu"), [("", 1), ("2,3", 0)])
def test_on_the_cpu_without_a_device_or_where_none_is_asked_for(given: str, gpu: int, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    with job(tmp_path / "a.log", gpu=gpu) as device:
        assert str(device) == "cpu"
    assert ("CUDA_VISIBLE_DEVICES=" in (tmp_path / "a.log").read_text()) == (gpu > 0)


def test_messages_go_to_the_log_and_threads_are_limited(tmp_path) -> None:
    before = torch.get_num_threads()
    try:
        with job(tmp_path / "logs" / "a.log", threads=1, gpu=0) as device:
            log.info("hello")
            assert device == torch.device("cpu")
            assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    assert (tmp_path / "logs" / "a.log").read_text() == "hello\n"


def test_a_users_mistake_ends_without_traceback(tmp_path, capfd) -> None:
    with pytest.raises(SystemExit) as ended, job(tmp_path / "a.log"):
        raise InputError("the file x is missing")
    assert ended.value.code == 1
    assert (tmp_path / "a.log").read_text() == "the file x is missing\n"
    assert "Traceback" not in capfd.readouterr().err


def test_a_defect_keeps_its_traceback_in_the_log(tmp_path) -> None:
    with pytest.raises(ZeroDivisionError), job(tmp_path / "a.log"):
        raise ZeroDivisionError
    assert "Traceback" in (tmp_path / "a.log").read_text()


def test_a_job_ends_when_its_workflow_is_killed(tmp_path) -> None:
    work = (
        "import os, sys, time; from featurediff.runtime.job import job\n"
        "with job(sys.argv[1]): print(os.getpid(), flush=True); time.sleep(60)"
    )
    shell = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}, {str(tmp_path / 'a.log')!r}])"
    workflow = subprocess.Popen(
        [sys.executable, "-c", shell], stdout=subprocess.PIPE, text=True, env=python_environment()
    )
    assert workflow.stdout is not None
    pid = int(workflow.stdout.readline())
    time.sleep(0.5)
    os.kill(workflow.pid, signal.SIGKILL)
    workflow.wait()
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the job went on as an orphan")


def test_a_fault_of_the_machine_is_one_message_and_its_traceback_is_in_the_log(tmp_path, capfd) -> None:
    with pytest.raises(SystemExit) as ended, job(tmp_path / "a.log"):
        raise OSError(errno.ENOSPC, "No space left on device", "results/a.csv")
    assert ended.value.code == 1
    said = capfd.readouterr().err
    assert said.startswith("results/a.csv: the disk is full: free some space and run again")
    assert "Traceback" not in said
    assert "Traceback" in (tmp_path / "a.log").read_text()


def test_a_log_that_cannot_be_written_is_named(tmp_path, capfd) -> None:
    (tmp_path / "logs").write_text("a file, where the folder should be")
    with pytest.raises((SystemExit, OSError)), job(tmp_path / "logs" / "a.log"):
        pass
    assert str(tmp_path / "logs") in capfd.readouterr().err


def test_a_full_disk_takes_the_log_but_not_the_message(tmp_path, capfd) -> None:
    if not os.access("/dev/full", os.W_OK):
        pytest.skip("no /dev/full")
    with pytest.raises(SystemExit), job("/dev/full"):
        raise InputError("the file x is missing")
    assert capfd.readouterr().err == "the file x is missing\n"


def test_ctrl_c_is_one_message(tmp_path, capfd) -> None:
    with pytest.raises(SystemExit) as ended, job(tmp_path / "a.log"):
        signal.raise_signal(signal.SIGINT)
    assert ended.value.code == 130
    assert capfd.readouterr().err == "interrupted: run the same command again to continue from here\n"


def test_sigterm_is_one_message_and_leaves_nothing_half_done(tmp_path, capfd) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, job(tmp_path / "a.log"), atomic_path(tmp_path / "a.csv"):
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 143
    assert "ended by SIGTERM" in capfd.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["a.log"]
    assert signal.getsignal(signal.SIGTERM) is before
