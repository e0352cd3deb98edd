"""Gradient ascent on many pictures at once, each as if it were alone.

Every picture has its own parameters, its own random transforms and its own optimizer state, and batch norm is in
`eval` mode. So nothing couples the pictures of a batch: which others are optimised beside a picture changes nothing
in it. When a picture ends early (a plateau, a gradient that is not finite), the next one takes its place.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from feature_vis import objectives, regularizers, transforms
from feature_vis.images import colors
from feature_vis.objectives import Objective, ReadActivation
from feature_vis.parameterizations import Parameterization
from feature_vis.recipe import Recipe

__all__ = ["GradientAscent", "ImageState", "OptimizerFactory", "Stage", "is_in_set"]

OptimizerFactory = Callable[..., torch.optim.Optimizer]

_PLATEAU_WINDOW = 32  # steps over which the objective must rise
_PLATEAU_EVERY = 8  # steps between two looks


@dataclass(eq=False)
class ImageState:
    """One picture while it is optimised, at any step."""

    index: int  # of its objective in the call of `render`
    objective: Objective
    seed: tuple[str | int, ...]
    parameters: Tensor  # (*P), the optimizer's leaf
    memory: dict[str, Any] = field(default_factory=dict)  # the optimizer's state of the parameters
    trajectory: list[float] = field(default_factory=list)  # the objective at each step so far, under its transforms
    stopped: str | None = None  # why it ended early: `plateau` or `not finite`
    stage: int = 0
    draws: transforms.Draws | None = None  # the random transforms of all steps

    @property
    def step(self) -> int:
        return len(self.trajectory)

    def grow(self, smaller: Parameterization, larger: Parameterization, stage: int) -> None:
        """Go over to the next stage's size, where the optimizer begins anew."""
        self.parameters = smaller.grown(self.parameters.detach().unsqueeze(0), larger)[0]
        self.memory = {}
        self.stage = stage


@dataclass(frozen=True)
class Stage:
    """The steps at one size: from the last step of the stage before to `last_step`."""

    parameterization: Parameterization
    transforms: transforms.Transforms
    last_step: int


@dataclass
class GradientAscent:
    """How a batch takes a step."""

    recipe: Recipe
    read: Callable[[Tensor], ReadActivation]  # (B, C, H, W) in [0, 1] -> the activations of these pictures
    color_basis: Tensor | None  # (C, C)
    batch_size: int  # halved when memory runs out
    optimizer: OptimizerFactory
    transform: Callable[[Tensor], Tensor] | None = None  # the user's own, in place of the recipe's transforms
    progress: Callable[[int], object] | None = None

    def run(
        self,
        stage: Stage,
        states: Sequence[ImageState],
        after_step: Callable[[Sequence[ImageState]], object] | None = None,
    ) -> None:
        """Take every picture to the stage's end, or to where it stops; `after_step` is called with the active ones."""
        waiting = deque(state for state in states if _is_unfinished(state, stage))
        active: list[ImageState] = []
        optimizer: torch.optim.Optimizer | None = None
        while waiting or active:
            if optimizer is None:
                while waiting and len(active) < self.batch_size:
                    active.append(_start_stage(waiting.popleft(), stage))
                optimizer = self._optimizer(active)
            self._step(stage, active, optimizer)
            if after_step is not None:
                after_step(active)
            if not all(_is_unfinished(state, stage) for state in active):
                active = [state for state in active if _is_unfinished(state, stage)]
                optimizer = None

    def try_step(self, stage: Stage, states: Sequence[ImageState]) -> None:
        """Do the work of one step and drop the outcome."""
        self._gradients(stage, [_start_stage(state, stage) for state in states])

    def _optimizer(self, active: list[ImageState]) -> torch.optim.Optimizer:
        """One optimizer for all active pictures, which goes on from each picture's own memory."""
        optimizer = self.optimizer([state.parameters for state in active], lr=self.recipe.learning_rate)
        for state in active:
            if state.memory:
                optimizer.state[state.parameters] = state.memory
        return optimizer

    def _step(self, stage: Stage, active: list[ImageState], optimizer: torch.optim.Optimizer) -> None:
        values, gradients = self._gradients(stage, active)  # (B,), B of (*P)
        norms = torch.stack(torch._foreach_norm(gradients))  # (B,)
        is_finite = (torch.isfinite(values) & torch.isfinite(norms)).tolist()
        for state, gradient, finite in zip(active, gradients, is_finite, strict=True):
            state.parameters.grad = gradient if finite else None  # the optimizer skips it
        optimizer.step()
        for state, value, finite in zip(active, values.tolist(), is_finite, strict=True):
            if not finite:
                state.stopped = "not finite"
                continue
            state.trajectory.append(value)
            state.memory = optimizer.state[state.parameters]
            if self.recipe.plateau is not None and _is_on_plateau(state.trajectory, self.recipe.plateau):
                state.stopped = "plateau"
        if self.progress is not None:
            self.progress(len(active))

    def _gradients(self, stage: Stage, active: list[ImageState]) -> tuple[Tensor, list[Tensor]]:
        """Objectives, (B,), and each picture's gradient of the loss, (*P); in halves when memory runs out."""
        while True:
            try:
                parts = [
                    self._batch_gradients(stage, active[first : first + self.batch_size])
                    for first in range(0, len(active), self.batch_size)
                ]
            except torch.OutOfMemoryError:
                if self.batch_size < 2 or any(is_in_set(state.objective) for state in active):
                    raise  # the pictures of a set are compared with each other, so they need one batch
                self.batch_size //= 2
                torch.cuda.empty_cache()
                continue
            return torch.cat([values for values, _ in parts]), [g for _, gradients in parts for g in gradients]

    def _batch_gradients(self, stage: Stage, active: list[ImageState]) -> tuple[Tensor, list[Tensor]]:
        leaves = [state.parameters for state in active]
        batch = list(active)
        parameters = torch.stack(leaves)  # (B, *P)
        # Convolutions on a batch of odd size round differently: a copy of the first picture makes it even.
        if len(batch) % 2 and not any(is_in_set(state.objective) for state in batch):
            batch.append(batch[0])
            parameters = torch.cat([parameters, parameters[:1].detach()])
        pictures = colors.to_rgb(stage.parameterization.image(parameters), self.color_basis)  # (B, C, H, W)
        if self.transform is None:
            draws = [state.draws for state in batch if state.draws is not None]
            transformed = transforms.apply(pictures, stage.transforms, draws, [state.step for state in batch])
        else:
            transformed = self.transform(pictures)
        values = objectives.values([state.objective for state in batch], self.read(transformed), pictures.device)
        loss = -values.sum()
        if self.recipe.regularizers:
            loss = loss + regularizers.penalty(pictures, self.recipe.regularizers).sum()
        gradients = torch.autograd.grad(loss, leaves)
        return values.detach()[: len(leaves)], list(gradients)


def is_in_set(objective: Objective) -> bool:
    """Whether the objective compares its picture with others of the batch."""
    return any(isinstance(term, objectives.Diversity) for term in objectives.terms(objective))


def _start_stage(state: ImageState, stage: Stage) -> ImageState:
    state.parameters = state.parameters.detach().requires_grad_(True)
    state.draws = transforms.draw(stage.transforms, stage.last_step, *state.seed)
    return state


def _is_unfinished(state: ImageState, stage: Stage) -> bool:
    return state.stopped is None and state.step < stage.last_step


def _is_on_plateau(trajectory: list[float], least_rise: float) -> bool:
    """Whether the objective's mean rose by less than a share of its size from one half of the window to the other."""
    if len(trajectory) < _PLATEAU_WINDOW or len(trajectory) % _PLATEAU_EVERY:
        return False
    half = _PLATEAU_WINDOW // 2
    before = sum(trajectory[-2 * half : -half]) / half
    now = sum(trajectory[-half:]) / half
    return now - before <= least_rise * max(abs(before), abs(now))  # also for a grey picture, 0 throughout
