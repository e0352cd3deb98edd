"""On PYTHONPATH, this notes what every job of a workflow uses: one JSON file a job, in the folder that RECORD names.

Python imports it by itself when it starts; it acts only in the processes that run a rule's script. With RECORD_GPUS=4
the machine seems to have four GPUs: jobs lock them as they would real ones, then work on the CPU. A job that got one
keeps it until RECORD_HELD jobs have had one and RECORD_WAITS jobs waited for one, so that those that may run at once
surely do; with RECORD_KEEPER=layer1.0 only a job keeps it whose log has this in its path.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from logging import LogRecord
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

BEGAN = time.monotonic()  # the same clock in all processes
used: dict[str, Any] = {"pool": 0, "processes": 0, "beside": 0, "gpu": None}  # beside: torch's threads with processes


def record(folder: Path) -> None:
    """Watch pools of threads, child processes, and the frame around the script."""
    from featurediff.runtime import job as frame

    used["script"] = Path(sys.orig_argv[-1]).name.split(".", 1)[1].removesuffix(".py")
    ThreadPoolExecutor.submit = noting_threads(ThreadPoolExecutor.submit)
    BaseProcess.start = noting_children(BaseProcess.start)
    frame.job = recorded(frame.job, folder)
    if "RECORD_GPUS" in os.environ:
        frame._device = on_a_fake_gpu(frame._device, folder)


def torch_threads() -> int:
    return sys.modules["torch"].get_num_threads() if "torch" in sys.modules else 1


def noting_threads(submit: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(submit)
    def submitted(pool: ThreadPoolExecutor, *arguments: Any, **named: Any) -> Any:
        future = submit(pool, *arguments, **named)
        used["pool"] = max(used["pool"], len(pool._threads))
        return future

    return submitted


def noting_children(start: Callable[..., None]) -> Callable[..., None]:
    @wraps(start)
    def started(process: BaseProcess) -> None:
        start(process)
        used["processes"] = max(used["processes"], len(active_children()))
        used["beside"] = torch_threads()

    return started


def recorded(
    job: Callable[..., AbstractContextManager[Any]], folder: Path
) -> Callable[..., AbstractContextManager[Any]]:
    @contextmanager
    def noted(*arguments: Any, **named: Any) -> Iterator[Any]:
        used["log"] = str(arguments[0])
        try:
            with job(*arguments, **named) as device:
                yield device
        finally:
            used["torch"] = torch_threads()
            used["arrow"] = sys.modules["pyarrow"].cpu_count() if "pyarrow" in sys.modules else 1
            used["blas"] = int(os.environ["OPENBLAS_NUM_THREADS"])
            file = folder / f"{os.getpid()}.json"
            file.write_text(json.dumps({**used, "began": BEGAN, "ended": time.monotonic()}))

    return noted


def on_a_fake_gpu(
    choose: Callable[..., AbstractContextManager[Any]], folder: Path
) -> Callable[..., AbstractContextManager[Any]]:
    from featurediff.runtime.job import log

    def note_waiting(message: LogRecord) -> bool:
        if message.getMessage().startswith("waiting"):
            (folder / f"{os.getpid()}.waits").touch()
        return True

    @contextmanager
    def chosen(threads: int, gpu: int) -> Iterator[Any]:
        import torch

        log.addFilter(note_waiting)

        every = ",".join(str(number) for number in range(int(os.environ["RECORD_GPUS"])))
        names = [f"GPU-{number}" for number in os.environ.get("CUDA_VISIBLE_DEVICES", every).split(",")]
        fakes = {
            "is_available": lambda: True,
            "device_count": lambda: len(names),
            "get_device_properties": lambda index: SimpleNamespace(uuid=names[index]),
            "get_device_name": lambda index: "fake",
        }
        pretended = patch.multiple(torch.cuda, **fakes)
        pretended.start()
        with choose(threads, gpu) as device:
            pretended.stop()  # what follows is the CPU's way
            used["gpu"], used["gpu_from"] = names[device.index], time.monotonic()
            (folder / f"{os.getpid()}.held").touch()
            if os.environ.get("RECORD_KEEPER", "") in used["log"]:
                wait_for_others(folder)
            yield torch.device("cpu")
            used["gpu_to"] = time.monotonic()

    return chosen


def wait_for_others(folder: Path) -> None:
    wanted = {kind: int(os.environ.get(f"RECORD_{kind.upper()}", "0")) for kind in ("held", "waits")}
    end = time.monotonic() + 240
    while any(len(list(folder.glob(f"*.{kind}"))) < count for kind, count in wanted.items()):
        if time.monotonic() > end:
            raise TimeoutError(f"not at once: {wanted}")
        time.sleep(0.05)


if "RECORD" in os.environ and "/.snakemake/scripts/" in sys.orig_argv[-1]:
    record(Path(os.environ["RECORD"]))
