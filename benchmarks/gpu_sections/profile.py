"""What a step of the renderer is made of: kernels, the gaps between them, and the host's own time."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from step_rates import wait
from torch import nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from feature_vis.objectives import Objectives
from feature_vis.recipe import Recipe
from feature_vis.render import render

__all__ = ["Profile", "busy", "profile_step", "read"]

WARM_UP, MEASURED = 3, 3  # steps
ROWS, FIRST = 60, 12  # of the table in the file, and of the longest

# A copy to memory of the host's that is not pinned returns when it is done.
_WAITS = ("cudaDeviceSynchronize", "cudaStreamSynchronize", "cudaEventSynchronize", "cudaMemcpyAsync")


@dataclass(frozen=True)
class Profile:
    """Of one step, in milliseconds. `span`: from its beginning to the end of its last kernel."""

    span: float
    kernels: int
    kernel_time: float  # the kernels' durations added up; more than `busy` where some run side by side
    busy: float  # while at least one kernel runs
    waiting: float  # the host in calls that wait for the device or copy
    longest: list[tuple[str, int, float]]  # kernels by name, on the CPU operators: how many, and their time
    text: str

    def table(self) -> list[str]:
        """Lines of Markdown."""
        rows = [
            f"| `{name[:90]}` | {count} | {took:.2f} | {took / self.span:.1%} |" for name, count, took in self.longest
        ]
        longest = ["", "| the longest | a step | ms | share |", "|---|---|---|---|", *rows]
        if not self.kernels:
            return [f"{self.span:.1f} ms a step. The profiler saw no kernels here, these are operators.", *longest]
        gaps, added = self.span - self.busy, self.kernel_time
        return [
            "| of one step | ms | share |",
            "|---|---|---|",
            f"| whole | {self.span:.2f} | 100% |",
            f"| {self.kernels} kernels and copies, added up | {added:.2f} | {added / self.span:.0%} |",
            f"| gaps: the device has nothing to do | {gaps:.2f} | {gaps / self.span:.0%} |",
            f"| host: Python and launches | {self.span - self.waiting:.2f} | {1 - self.waiting / self.span:.0%} |",
            f"| host: waits for the device, and copies | {self.waiting:.2f} | {self.waiting / self.span:.0%} |",
            *longest,
        ]


def profile_step(
    model: nn.Module, layer: str, channels: Sequence[int], size: int, batch: int, device: torch.device
) -> Profile:
    """Profile some steps in the middle of a rendering, together, so that one may run into the next."""
    source = Objectives(model)
    wanted = [source(layer, channels[number % len(channels)]) for number in range(batch)]
    cuda = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities):  # the first start takes seconds
        torch.ones(1, device=device).add_(1)
    profiler = profile(activities=activities)
    marks: list[float] = []

    def progress(_count: int) -> None:
        marks.append(time.perf_counter())
        if len(marks) == WARM_UP:
            wait(device)
            profiler.start()
            marks[-1] = time.perf_counter()
        elif len(marks) == WARM_UP + MEASURED:
            wait(device)
            marks[-1] = time.perf_counter()
            profiler.stop()

    recipe = Recipe(size=size, steps=WARM_UP + MEASURED + 1)
    list(render(wanted, recipe, device=device, batch=batch, progress=progress))
    if len(marks) < WARM_UP + MEASURED:
        raise RuntimeError(f"a rendering of {recipe.steps} steps reported {len(marks)}: no step could be profiled")
    seconds = marks[WARM_UP + MEASURED - 1] - marks[WARM_UP - 1]
    return read(profiler, 1000 * seconds / MEASURED, cuda)


def read(profiler: profile, span: float, cuda: bool) -> Profile:
    """What the profiler saw of `MEASURED` steps. `span`: milliseconds of one of them, by the clock."""
    events = profiler.events() or []
    kernels = [
        event
        for event in events
        if event.device_type == DeviceType.CUDA and not getattr(event, "is_user_annotation", False)
    ]
    spans = [(event.time_range.start, event.time_range.end) for event in kernels]  # microseconds
    waiting = sum(
        event.time_range.elapsed_us()
        for event in events
        if event.device_type == DeviceType.CPU and event.name.startswith(_WAITS)
    )
    order = "self_device_time_total" if cuda else "self_cpu_time_total"
    averages = profiler.key_averages()
    times: dict[str, list[float]] = {}
    for kernel in kernels:
        times.setdefault(kernel.name, []).append(kernel.time_range.elapsed_us())
    if not kernels:
        times = {event.key: [event.self_cpu_time_total / event.count] * event.count for event in averages}
    longest = sorted(times.items(), key=lambda pair: -sum(pair[1]))[:FIRST]
    table = averages.table(sort_by=order, row_limit=ROWS, max_name_column_width=110)
    each = 1000 * MEASURED
    return Profile(
        span=span,
        kernels=round(len(spans) / MEASURED),
        kernel_time=sum(end - start for start, end in spans) / each,
        busy=busy(spans) / each,
        waiting=waiting / each,
        longest=[(name, round(len(own) / MEASURED), sum(own) / each) for name, own in longest],
        text=f"{MEASURED} steps together\n\n{table}\n",
    )


def busy(spans: Iterable[tuple[float, float]]) -> float:
    """How long at least one of the spans lasts: those that overlap count once."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total
