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

__all__ = ["ORIGINAL", "Contest", "Timer", "contest", "default_batch", "matmul_rate", "wait"]

Timer = Callable[[], float]  # seconds for one image-step

ORIGINAL = "original's recipe"


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


@contextmanager
def contest(
    model: nn.Module,
    layer: str,
    channels: Sequence[int],
    size: int,
    steps: int,
    device: torch.device,
    batches: Mapping[str, int],
) -> Iterator[Contest]:
    """The renderer and its passes alone in each precision, and the original's recipe on the first channel.

    `batches`: precision -> pictures at once. `steps`: how many of them a contender makes in its turn.
    """
    with ExitStack() as stack:
        found = Contest(device, {}, {})
        for precision, batch in batches.items():
            passes = _Passes(model, layer, size, device, precision, batch)
            timer, operations = stack.enter_context(passes).timer(steps)
            found.timers[f"passes alone, {precision}"] = timer
            found.timers[f"featurediff, {precision}"] = _ours(
                model, layer, channels, size, steps, device, precision, batch
            )
            found.operations[precision] = operations
        found.timers[ORIGINAL] = _originals(model, layer, channels[0], size, steps, device)
        yield found


class _Passes:
    """The prepared network's forward and input-gradient passes with nothing around them."""

    def __init__(
        self, model: nn.Module, layer: str, size: int, device: torch.device, precision: str, batch: int
    ) -> None:
        self.stack = ExitStack()
        self.source = Objectives(model)
        self.layer, self.size, self.device, self.batch = layer, size, device, batch
        self.dtype = getattr(torch, precision)
        self.wanted = [self.source(layer, 7)]

    def __enter__(self) -> "_Passes":
        self.prepared = self.stack.enter_context(
            prepared_networks(self.wanted, (self.size, self.size), self.device, before_relu=True, dtype=self.dtype)
        )
        return self

    def __exit__(self, *error: object) -> None:
        self.stack.close()

    def timer(self, steps: int) -> tuple[Timer, float]:
        """And the operations of one image-step."""
        inputs = torch.randn(self.batch, 3, self.size, self.size, device=self.device).to(self.dtype)
        inputs = inputs.contiguous(memory_format=torch.channels_last).requires_grad_(True)
        network = self.prepared.fast[self.source]

        def once() -> None:
            inputs.grad = None
            network(inputs)[self.layer][:, 7].mean((1, 2)).sum().backward()

        def timer() -> float:
            began = time.perf_counter()
            for _ in range(steps):
                once()
            wait(self.device)
            return (time.perf_counter() - began) / (steps * self.batch)

        with FlopCounterMode(display=False) as counter:
            once()
        return timer, counter.get_total_flops() / self.batch


def _ours(
    model: nn.Module,
    layer: str,
    channels: Sequence[int],
    size: int,
    steps: int,
    device: torch.device,
    precision: str,
    batch: int,
) -> Timer:
    source = Objectives(model)
    wanted = [source(layer, channels[i % len(channels)]) for i in range(batch)]
    recipe = Recipe(size=size, steps=steps + 1, schedule="plain", precision=precision)

    def timer() -> float:
        ends = []

        def progress(_count: int) -> None:
            wait(device)
            ends.append(time.perf_counter())

        list(render(wanted, recipe, device=device, batch=batch, progress=progress))
        return (ends[-1] - ends[0]) / (steps * batch)

    return timer


def _originals(model: nn.Module, layer: str, channel: int, size: int, steps: int, device: torch.device) -> Timer:
    recipe = original.start(copy.deepcopy(model).to(device), layer, channel, size, 0)

    def timer() -> float:
        began = time.perf_counter()
        for _ in range(steps):
            recipe.step()
        wait(device)
        return (time.perf_counter() - began) / steps

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
