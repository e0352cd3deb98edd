"""The ascent: many pictures climb at once, each as if it were alone.

Every picture has its own parameters, its own draws and its own state of the optimizer; batch norm is in `eval`
mode; so nothing couples the pictures of a batch, and which others stand beside one changes nothing in it. A place
that becomes free (a plateau, a gradient that is not finite) goes to the next picture.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from feature_vis import objectives, regularizers, transforms
from feature_vis.images import colors
from feature_vis.objectives import Objective, Read
from feature_vis.parameterizations import Parameterization
from feature_vis.recipe import Recipe

__all__ = ["Ascent", "Climber", "OptimizerFactory", "Stage"]

OptimizerFactory = Callable[..., torch.optim.Optimizer]

_PLATEAU_WINDOW = 32  # steps whose rise is judged
_PLATEAU_EVERY = 8


@dataclass(eq=False)
class Climber:
    """One picture on its way.

    `parameters`: (*P), the optimizer's leaf. `memory`: the optimizer's state of it. `trajectory`: the objective at
    each step so far, under that step's transforms. `stopped`: why it ended, None while under way.
    """

    index: int
    objective: Objective
    seed: tuple[str | int, ...]
    parameters: Tensor
    memory: dict[str, Any] = field(default_factory=dict)
    trajectory: list[float] = field(default_factory=list)
    stopped: str | None = None
    stage: int = 0
    draws: transforms.Draws | None = None

    @property
    def step(self) -> int:
        return len(self.trajectory)

    def grow(self, smaller: Parameterization, larger: Parameterization, stage: int) -> None:
        """Go over to the next stage's size; the optimizer begins anew there."""
        self.parameters = smaller.grown(self.parameters.detach().unsqueeze(0), larger)[0]
        self.memory = {}
        self.stage = stage


@dataclass(frozen=True)
class Stage:
    """A part of the way at one size: from the step that the stage before ended with to `last_step`."""

    parameterization: Parameterization
    transforms: transforms.Transforms
    last_step: int


@dataclass
class Ascent:
    """How a batch takes a step.

    `read`: pictures, (B, C, H, W) in [0, 1] -> their activations. `matrix`: the colour basis. `width`: pictures
    at once. `move`: a function of the user's on moved pictures, in place of the recipe's transforms.
    """

    recipe: Recipe
    read: Callable[[Tensor], Read]
    matrix: Tensor | None
    width: int
    optimizer: OptimizerFactory
    move: Callable[[Tensor], Tensor] | None = None
    progress: Callable[[int], object] | None = None
    after_step: Callable[[Sequence[Climber]], object] | None = None

    def run(self, stage: Stage, climbers: Sequence[Climber]) -> None:
        """Take every climber to the stage's end, or to where it stops."""
        waiting = deque(climber for climber in climbers if _under_way(climber, stage))
        seated: list[Climber] = []
        optimizer: torch.optim.Optimizer | None = None
        while waiting or seated:
            if optimizer is None:
                while waiting and len(seated) < self.width:
                    seated.append(self._ready(waiting.popleft(), stage))
                optimizer = self._optimizer(seated)
            self._step(stage, seated, optimizer)
            if not all(_under_way(climber, stage) for climber in seated):
                seated = [climber for climber in seated if _under_way(climber, stage)]
                optimizer = None

    def try_step(self, stage: Stage, climbers: Sequence[Climber]) -> None:
        """The work of one step, without its outcome."""
        self._gradients(stage, [self._ready(climber, stage) for climber in climbers])

    def _ready(self, climber: Climber, stage: Stage) -> Climber:
        climber.parameters = climber.parameters.detach().requires_grad_(True)
        climber.draws = transforms.draw(stage.transforms, stage.last_step, *climber.seed)
        return climber

    def _optimizer(self, seated: list[Climber]) -> torch.optim.Optimizer:
        """One optimizer for all, which goes on where each climber's own memory ends."""
        optimizer = self.optimizer([climber.parameters for climber in seated], lr=self.recipe.learning_rate)
        for climber in seated:
            if climber.memory:
                optimizer.state[climber.parameters] = climber.memory
        return optimizer

    def _step(self, stage: Stage, seated: list[Climber], optimizer: torch.optim.Optimizer) -> None:
        values, gradients = self._gradients(stage, seated)
        norms = torch.stack(torch._foreach_norm(gradients))
        fine = (torch.isfinite(values) & torch.isfinite(norms)).tolist()
        for climber, gradient, ok in zip(seated, gradients, fine, strict=True):
            climber.parameters.grad = gradient if ok else None  # the optimizer passes over it
        optimizer.step()
        for climber, value, ok in zip(seated, values.tolist(), fine, strict=True):
            if not ok:
                climber.stopped = "not finite"
                continue
            climber.trajectory.append(value)
            climber.memory = optimizer.state[climber.parameters]
            if self.recipe.plateau is not None and _on_plateau(climber.trajectory, self.recipe.plateau):
                climber.stopped = "plateau"
        if self.progress is not None:
            self.progress(len(seated))
        if self.after_step is not None:
            self.after_step(seated)

    def _gradients(self, stage: Stage, seated: list[Climber]) -> tuple[Tensor, list[Tensor]]:
        """Objectives, (B,), and each climber's gradient of what is minimised. Out of memory, in halves."""
        while True:
            try:
                parts = [
                    self._gradients_of(stage, seated[first : first + self.width])
                    for first in range(0, len(seated), self.width)
                ]
            except torch.OutOfMemoryError:
                if self.width < 2 or any(_is_in_set(climber.objective) for climber in seated):
                    raise  # the pictures of a set are compared with each other: they cannot be parted
                self.width //= 2
                torch.cuda.empty_cache()
                continue
            return torch.cat([values for values, _ in parts]), [g for _, gradients in parts for g in gradients]

    def _gradients_of(self, stage: Stage, seated: list[Climber]) -> tuple[Tensor, list[Tensor]]:
        leaves = [climber.parameters for climber in seated]
        batch = list(seated)
        # Convolutions on a batch of odd size round differently: a copy of the first makes it even.
        if len(batch) % 2 and not any(_is_in_set(climber.objective) for climber in batch):
            batch.append(batch[0])
        parameters = torch.stack([climber.parameters for climber in batch[: len(leaves)]])  # (B, *P)
        if len(batch) > len(leaves):
            parameters = torch.cat([parameters, parameters[:1].detach()])
        pictures = colors.to_rgb(stage.parameterization.image(parameters), self.matrix)  # (B, C, H, W)
        if self.move is None:
            draws = [climber.draws for climber in batch if climber.draws is not None]
            moved = transforms.apply(pictures, stage.transforms, draws, [climber.step for climber in batch])
        else:
            moved = self.move(pictures)
        values = objectives.values([climber.objective for climber in batch], self.read(moved), pictures.device)
        loss = -values.sum()
        if self.recipe.regularizers:
            loss = loss + regularizers.penalty(pictures, self.recipe.regularizers).sum()
        gradients = torch.autograd.grad(loss, leaves)
        return values.detach()[: len(leaves)], list(gradients)


def _under_way(climber: Climber, stage: Stage) -> bool:
    return climber.stopped is None and climber.step < stage.last_step


def _is_in_set(objective: Objective) -> bool:
    """Whether the picture is compared with others of its batch."""
    return any(isinstance(term, objectives.Diversity) for term in objectives.terms(objective))


def _on_plateau(trajectory: list[float], least_rise: float) -> bool:
    """Whether the objective's mean over the last half of the window rose by less than a share of its size."""
    if len(trajectory) < _PLATEAU_WINDOW or len(trajectory) % _PLATEAU_EVERY:
        return False
    half = _PLATEAU_WINDOW // 2
    before = sum(trajectory[-2 * half : -half]) / half
    now = sum(trajectory[-half:]) / half
    return now - before <= least_rise * max(abs(before), abs(now))  # also of a grey picture, 0 throughout
