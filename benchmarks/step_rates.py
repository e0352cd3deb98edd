"""What one image-step takes: the renderer, the network's passes alone and the original's recipe, in turns.

The contenders take turns in one process, after a warm-up, so that a busy machine is busy for all of them; what counts
are the ratios.
"""

import copy
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import original
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from feature_vis.objectives import Objectives
from feature_vis.optimisation.prepared_networks import prepared_networks
from feature_vis.recipe import Recipe
from feature_vis.render import render

__all__ = ["ORIGINAL", "Contest", "Task", "Timer", "contest", "default_batch", "matmul_rate", "ours", "wait"]

Timer = Callable[[], float]  # seconds for one image-step

ORIGINAL = "original's recipe"
RECORDED = 5  # steps until a step is replayed from a CUDA graph


@dataclass
class Contest:
    """Contenders by name, and what they took: seconds an image-step in each round, bytes of a GPU at most."""

    device: torch.device
    timers: dict[str, Timer]
    operations: dict[str, float]  # precision -> of one image-step's passes
    taken: dict[str, list[float]] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)

    def run(self, rounds: int, is_late: Callable[[], bool] = lambda: False) -> None:
        """Warm up, then let each take its turn in every round; when it is late, no further round begins."""
        for timer in self.timers.values():
            timer()
        self.taken = {name: [] for name in self.timers}
        for number in range(rounds):
            if number and is_late():
                return
            for name, timer in self.timers.items():
                if self.device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats(self.device)
                self.taken[name].append(timer())
                if self.device.type == "cuda":
                    self.memory[name] = torch.cuda.max_memory_allocated(self.device)

    def times_original(self, name: str) -> float:
        """How many image-steps it makes while the original's recipe makes one."""
        return statistics.median(self.taken[ORIGINAL]) / statistics.median(self.taken[name])

    def table(self, peak: Mapping[str, float]) -> list[str]:
        """Lines of Markdown. `peak`: precision -> measured operations per second of a matrix product."""
        memory = " peak memory, GiB |" if self.memory else ""
        lines = [
            f"| | image-steps/s | ms per image-step (median, least) | × original's recipe | of its passes alone | "
            f"of the matmul rate |{memory}",
            "|---" * (6 + bool(self.memory)) + "|",
        ]
        for name, seconds in self.taken.items():
            median = statistics.median(seconds)
            precision = "bfloat16" if "bfloat16" in name else "float32"
            share = ""
            if name.startswith("featurediff"):  # within a round, so that a slow minute counts for both
                alone = self.taken[f"passes alone, {precision}"]
                share = f"{statistics.median(a / b for a, b in zip(alone, seconds, strict=True)):.1%}"
            of_peak = self.operations[precision] / median / peak[precision]
            lines.append(
                f"| {name} | {1 / median:.1f} | {median * 1e3:.2f}, {min(seconds) * 1e3:.2f} | "
                f"{self.times_original(name):.2f} | {share} | {of_peak:.0%} |"
                + (f" {self.memory[name] / 2**30:.1f} |" if self.memory else "")
            )
        return lines


@dataclass(frozen=True)
class Task:
    """What the contenders render, and how many steps each makes in its turn."""

    model: nn.Module
    layer: str
    channels: Sequence[int]
    size: int
    steps: int
    device: torch.device


@contextmanager
def contest(task: Task, batches: Mapping[str, int]) -> Iterator[Contest]:
    """The renderer and its passes alone in each precision, and the original's recipe on the first channel.

    `batches`: precision -> pictures at once.
    """
    with ExitStack() as stack:
        found = Contest(task.device, {}, {})
        for precision, batch in batches.items():
            timer, found.operations[precision] = _passes(task, precision, batch, stack)
            found.timers[f"passes alone, {precision}"] = timer
            found.timers[f"featurediff, {precision}"] = ours(task, precision, batch)
        found.timers[ORIGINAL] = _originals(task)
        yield found


def _passes(task: Task, precision: str, batch: int, stack: ExitStack) -> tuple[Timer, float]:
    """The prepared network's forward and input-gradient passes alone; and the operations of one image-step.

    `stack` keeps the network prepared.
    """
    source, dtype = Objectives(task.model), getattr(torch, precision)
    wanted, size = [source(task.layer, 7)], (task.size, task.size)
    prepared = stack.enter_context(prepared_networks(wanted, size, task.device, before_relu=True, dtype=dtype))
    inputs = torch.randn(batch, 3, *size, device=task.device).to(dtype)
    inputs = inputs.contiguous(memory_format=torch.channels_last).requires_grad_(True)
    network = prepared.fast[source]

    def once() -> None:
        inputs.grad = None
        network(inputs)[task.layer][:, 7].mean((1, 2)).sum().backward()

    def timer() -> float:
        began = time.perf_counter()
        for _ in range(task.steps):
            once()
        wait(task.device)
        return (time.perf_counter() - began) / (task.steps * batch)

    with FlopCounterMode(display=False) as counter:
        once()
    return timer, counter.get_total_flops() / batch


def ours(task: Task, precision: str, batch: int, *, cuda_graph: bool = False) -> Timer:
    """The renderer's, from the end of its first steps to that of the last; in between nothing waits for the device."""
    first = RECORDED if cuda_graph else 1
    source = Objectives(task.model)
    wanted = [source(task.layer, task.channels[i % len(task.channels)]) for i in range(batch)]
    recipe = Recipe(size=task.size, steps=first + task.steps, schedule="plain", precision=precision)

    def timer() -> float:
        done: list[int] = []
        marks: list[float] = []

        def progress(count: int) -> None:
            done.append(count)
            if len(done) == first or sum(done) == batch * recipe.steps:
                wait(task.device)
                marks.append(time.perf_counter())

        list(render(wanted, recipe, device=task.device, batch=batch, progress=progress, cuda_graph=cuda_graph))
        return (marks[-1] - marks[0]) / sum(done[first:])

    return timer


def _originals(task: Task) -> Timer:
    model = copy.deepcopy(task.model).to(task.device)
    recipe = original.start(model, task.layer, task.channels[0], task.size, 0)

    def timer() -> float:
        began = time.perf_counter()
        for _ in range(task.steps):
            recipe.step()
        wait(task.device)
        return (time.perf_counter() - began) / task.steps

    return timer


def default_batch(
    model: nn.Module, layer: str, size: int, device: torch.device, precision: str, most: int = 256
) -> int:
    """How many pictures the renderer optimises at once where it is not told, `most` being wanted."""
    source, counts = Objectives(model), []
    recipe = Recipe(size=size, steps=1, precision=precision)
    list(render([source(layer, 7)] * most, recipe, device=device, progress=counts.append))
    return max(counts)


def matmul_rate(dtype: torch.dtype, device: torch.device, size: int = 2048) -> float:
    """Operations per second of a large matrix product: what the machine can do at most."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(6):
        wait(device)
        began = time.perf_counter()
        a @ b
        wait(device)
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def wait(device: torch.device) -> None:
    """Until a GPU has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
