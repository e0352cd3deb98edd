"""Image-steps per second beside the original's recipe and the passes alone, and what a step is made of."""

import torch
from step_rates import Task, contest, default_batch, matmul_rate, ours
from torch import nn

from gpu_sections.profile import profile_step
from gpu_sections.results import Report
from gpu_sections.setting import Setting, end_blocks

SIZES = (224, 400)
GOAL = 40  # times the original's recipe
LEAST_SECONDS = 25  # that must be left for another round, or another size
CHANNELS = (7, 9, 100, 309)
PRECISIONS = ("bfloat16", "float32")


def run(setting: Setting, report: Report) -> None:
    device, model = setting.torch_device(), setting.network()
    layer = list(end_blocks(model))[-1]
    side = setting.number(8192 if device.type == "cuda" else 2048, 256)
    peak = {name: matmul_rate(getattr(torch, name), device, side) for name in PRECISIONS}
    shown = ", ".join(f"{name} {rate / 1e12:.2f} T/s" for name, rate in peak.items())
    report.add(f"Product of two matrices of {side} × {side}: {shown} operations.")
    sizes = [setting.size(224)] if setting.rehearse else SIZES
    for size in sizes:
        if size != sizes[0] and setting.left() < LEAST_SECONDS:
            report.add("", f"There was no time for {size} px.")
            return
        most = setting.number(256, 2)
        batches = {name: default_batch(model, layer, size, device, name, most) for name in PRECISIONS}
        _rates(setting, report, model, layer, size, batches, peak)
        if size == sizes[0]:
            _profile(setting, report, model, layer, size, batches[PRECISIONS[0]])
    _graphs(setting, report, model, layer, sizes[0])


def _rates(
    setting: Setting,
    report: Report,
    model: nn.Module,
    layer: str,
    size: int,
    batches: dict[str, int],
    peak: dict[str, float],
) -> None:
    device, steps = setting.torch_device(), setting.number(4, 1)
    with contest(Task(model, layer, CHANNELS, size, steps, device), batches) as found:
        found.run(setting.number(3, 1), lambda: setting.left() < LEAST_SECONDS)
    shown = ", ".join(f"{batch} pictures at once in {name}" for name, batch in batches.items())
    operations = found.operations[PRECISIONS[0]] / 1e9
    report.add(
        "", f"`{layer}`, {size} px, {shown}; {operations:.2f} G operations an image-step:", "", *found.table(peak)
    )
    ratio = found.times_original(f"featurediff, {PRECISIONS[0]}")
    goal = f"the goal of {GOAL} × the original's recipe is {'reached' if ratio >= GOAL else 'missed'}"
    report.add("", f"{ratio:.1f} ×: " + (goal if device.type == "cuda" else "the goal is one for a GPU"))


def _graphs(setting: Setting, report: Report, model: nn.Module, layer: str, size: int) -> None:
    """What recording a step as a CUDA graph spares small batches; on a CPU nothing is recorded."""
    task = Task(model, layer, CHANNELS, size, setting.number(8, 1), setting.torch_device())
    report.add("", f"A step launched, and recorded as a CUDA graph, {size} px, {PRECISIONS[0]}:", "")
    report.add("| pictures at once | ms per image-step, launched | recorded |", "|---|---|---|")
    for batch in [2] if setting.rehearse else [1, 8, 32]:
        timers = [ours(task, PRECISIONS[0], batch, cuda_graph=recorded) for recorded in (False, True)]
        found = [min(timer() for _ in range(setting.number(2, 1))) for timer in timers]
        report.add(f"| {batch} | {1e3 * found[0]:.2f} | {1e3 * found[1]:.2f} |")


def _profile(setting: Setting, report: Report, model: nn.Module, layer: str, size: int, batch: int) -> None:
    found = profile_step(model, layer, CHANNELS, size, batch, setting.torch_device())
    (setting.out / "profile.txt").write_text(found.text, encoding="utf-8")
    report.add("", f"A step of {batch} pictures, {size} px, under the profiler (`profile.txt` has the kernels):", "")
    report.add(*found.table())
