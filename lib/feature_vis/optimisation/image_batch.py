"""Pictures that take their steps together: a few tensors on the device, with a row for each picture.

Every picture has its own parameters, its own random transforms and its own optimizer state, and batch norm is in
`eval` mode. So nothing couples the rows. A step takes as many calls of Python for many pictures as for one. On a GPU it
waits for nothing and has neither a shape nor a branch that depends on what was computed, so it can be recorded once and
replayed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from feature_vis import evaluation, regularizers, transforms
from feature_vis.evaluation import ReadActivation
from feature_vis.images import colors
from feature_vis.optimisation.cuda_graph import Recorded
from feature_vis.optimisation.image_state import ImageState, Stage, is_in_set
from feature_vis.optimisation.optimizers import BatchOptimizer, FusedAdam, OptimizerFactory, TorchOptimizer
from feature_vis.recipe import Recipe

__all__ = ["ImageBatch", "StepOptions"]

_PLATEAU_WINDOW = 32  # steps over which the objective must rise
_PLATEAU_EVERY = 8  # steps between two looks at it
_LOOK_EVERY = 32  # steps between two looks where pictures end early only by an accident


@dataclass(frozen=True)
class StepOptions:
    """What the steps of all batches have in common."""

    recipe: Recipe
    read: Callable[[Tensor], ReadActivation]  # (B, C, H, W) in [0, 1] -> the activations of these pictures
    color_basis: Tensor | None  # (C, C)
    optimizer: OptimizerFactory | None = None  # in place of Adam
    transform: Callable[[Tensor], Tensor] | None = None  # the user's own, in place of the recipe's transforms
    cuda_graph: bool = False  # record the step on a GPU; not with an optimizer or a transform of the user's own


class ImageBatch:
    """The pictures of some states, from the step at which each of them is; `write_back` brings the states up to date.

    All of them must be unfinished in the stage. A picture whose objective or gradient is not finite does not change
    any more.
    """

    def __init__(self, states: Sequence[ImageState], stage: Stage, options: StepOptions) -> None:
        self.states = list(states)
        self._stage, self._options = stage, options
        rows = list(states)
        # Convolutions on a batch of odd size round differently: a copy of the first picture makes it even.
        if len(rows) % 2 and not is_in_set(rows[0].objective):
            rows.append(rows[0])
        self._parameters = torch.stack([state.parameters for state in rows]).requires_grad_(True)  # (B, *P)
        device = self._parameters.device
        self._optimizer = self._new_optimizer(rows)
        self._draws = transforms.stack([stage.draws(state) for state in rows], device)  # (B, T, …)
        self._evaluate = evaluation.evaluator([state.objective for state in rows], device)
        self._steps_before = np.array([state.step for state in rows])  # (B,)
        self._steps_taken = 0
        self._steps = torch.tensor(self._steps_before, device=device)  # (B,)
        self._is_running = torch.ones(len(rows), dtype=torch.bool, device=device)
        self._looks_at_once = device.type == "cpu"  # where there is nothing to wait for
        values = torch.zeros(len(rows), stage.last_step)
        for row, state in zip(values, rows, strict=True):
            row[: state.step] = torch.tensor(state.trajectory)
        self._values = values.to(device)  # (B, T), the objectives at each step
        self._work = Recorded(self._take_step) if options.cuda_graph and device.type == "cuda" else self._take_step

    def step(self) -> None:
        """Take one step."""
        self._work()
        self._steps_taken += 1

    def _take_step(self) -> None:
        """All that a step does on the device."""
        values, gradients = self.gradients()
        with torch.no_grad():
            self._is_running &= values.isfinite() & torch.linalg.vector_norm(gradients.flatten(1), dim=1).isfinite()
            if self._looks_at_once and bool(self._is_running.all()):
                self._optimizer.step(gradients)
            else:
                before = self._parameters.clone()
                self._optimizer.step(gradients)
                is_running = self._is_running.view(-1, *[1] * (before.dim() - 1))  # (B, 1, …)
                torch.where(is_running, self._parameters, before, out=self._parameters.detach())
            self._values.scatter_(1, self._steps.unsqueeze(1), values.unsqueeze(1))
            self._steps += self._is_running

    def gradients(self) -> tuple[Tensor, Tensor]:
        """The objectives, (B,), and the gradients of the loss, (B, *P), at the pictures as they are."""
        options, stage = self._options, self._stage
        pictures = colors.to_rgb(stage.parameterization.image(self._parameters), options.color_basis)  # (B, C, H, W)
        if options.transform is None:
            transformed = transforms.apply(pictures, stage.transforms, self._draws.at(self._steps))
        else:
            transformed = options.transform(pictures)
        values = self._evaluate(options.read(transformed))  # (B,)
        loss = -values.sum()
        if options.recipe.regularizers:
            loss = loss + regularizers.penalty(pictures, options.recipe.regularizers).sum()
        (gradients,) = torch.autograd.grad(loss, self._parameters)
        return values.detach(), gradients.contiguous()

    def steps_to_look(self) -> int:
        """Steps until a picture may have ended, at most; `look` tells then."""
        every = _LOOK_EVERY if self._options.recipe.plateau is None else _PLATEAU_EVERY
        steps = self._steps_before + self._steps_taken
        return int((np.minimum(steps // every * every + every, self._stage.last_step) - steps).min())

    def look(self) -> bool:
        """Note which pictures have stopped early; returns whether any has ended. Waits for the device."""
        is_running = self._is_running.tolist()
        for state, goes_on in zip(self.states, is_running, strict=False):  # there may be a copy of the first
            if not goes_on:
                state.stopped = "not finite"
        steps = self._steps_before + self._steps_taken  # of those that run
        plateau = self._options.recipe.plateau
        if plateau is not None:
            values = self._values.cpu().double().numpy()  # (B, T)
            for state, goes_on, step, row in zip(self.states, is_running, steps, values, strict=False):
                if goes_on and _is_on_plateau(row[:step], plateau):
                    state.stopped = "plateau"
        return bool((steps >= self._stage.last_step).any() or [state for state in self.states if state.stopped])

    def write_back(self) -> None:
        """Bring the states up to date."""
        self.look()
        steps, values = self._steps.tolist(), self._values.cpu()
        parameters = self._parameters.detach()
        for row, state in enumerate(self.states):
            state.parameters = parameters[row].clone()
            state.memory = self._optimizer.memory(row)
            state.trajectory = values[row, : steps[row]].tolist()

    def _new_optimizer(self, rows: Sequence[ImageState]) -> BatchOptimizer:
        recipe, memories = self._options.recipe, [state.memory for state in rows]
        if self._options.optimizer is not None:
            return TorchOptimizer(self._parameters, memories, recipe.learning_rate, self._options.optimizer)
        # Every step sees other transforms, so Adam's memory is short: see `Recipe.momentum`.
        return FusedAdam(self._parameters, memories, recipe.learning_rate, recipe.momentum)


def _is_on_plateau(trajectory: np.ndarray, least_rise: float) -> bool:
    """Whether the objective's mean rose by less than a share of its size from one half of the window to the other."""
    if len(trajectory) < _PLATEAU_WINDOW or len(trajectory) % _PLATEAU_EVERY:
        return False
    before, now = trajectory[-_PLATEAU_WINDOW:].reshape(2, -1).mean(1)
    return bool(now - before <= least_rise * max(abs(before), abs(now)))  # also for a grey picture, 0 throughout
