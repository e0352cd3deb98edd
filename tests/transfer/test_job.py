"""The frame around a script: devices, logs, errors, orphans."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch

from feature_vis.errors import InputError
from transfer.job import job, lock_device, log, visible_gpus


def test_two_jobs_take_two_devices_and_a_third_waits(tmp_path) -> None:
    held, waited = [], threading.Event()
    with lock_device(["0", "1"], tmp_path) as first, lock_device(["0", "1"], tmp_path) as second:
        assert {first, second} == {0, 1}

        def third() -> None:
            with lock_device(["0", "1"], tmp_path, poll_seconds=0.01) as device:
                held.append(device)
                waited.set()

        thread = threading.Thread(target=third)
        thread.start()
        assert not waited.wait(0.3)
    thread.join(timeout=5)
    assert held == [0]


def test_a_device_is_free_again_when_its_holder_is_killed(tmp_path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from transfer.job import lock_device\n"
        "with lock_device(['0'], Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment()
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.wait()
    with lock_device(["0"], tmp_path) as device:
        assert device == 0


@pytest.mark.parametrize(
    ("given", "names"), [("2,5", ["2", "5"]), ("", []), ("-1", []), ("GPU-ab, 3", ["GPU-ab", "3"])]
)
def test_the_clusters_choice_of_devices_is_respected(given: str, names: list[str], monkeypatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert visible_gpus() == names


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


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
        "import os, sys, time; from transfer.job import job\n"
        "with job(sys.argv[1]): print(os.getpid(), flush=True); time.sleep(60)"
    )
    shell = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}, {str(tmp_path / 'a.log')!r}])"
    workflow = subprocess.Popen([sys.executable, "-c", shell], stdout=subprocess.PIPE, text=True, env=environment())
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
