"""One picture while it is optimised, and the sizes on its way."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from feature_vis import objectives
from feature_vis.objectives import Objective
from feature_vis.parameterizations import Parameterization
from feature_vis.transforms import Draws, Transforms, draw

__all__ = ["ImageState", "Stage", "is_in_set"]


@dataclass(eq=False)
class ImageState:
    """One picture while it is optimised, at any step."""

    index: int  # of its objective in the call of `render`
    objective: Objective
    seed: tuple[str | int, ...]
    parameters: Tensor  # (*P)
    memory: dict[str, Any] = field(default_factory=dict)  # the optimizer's state of the parameters
    trajectory: list[float] = field(default_factory=list)  # the objective at each step so far, under its transforms
    stopped: str | None = None  # why it ended early: `plateau` or `not finite`
    stage: int = 0
    draws: Draws | None = None  # of all steps of the stage, once they are drawn

    @property
    def step(self) -> int:
        return len(self.trajectory)

    def grow(self, smaller: Parameterization, larger: Parameterization, stage: int) -> None:
        """Go over to the next stage's size, where the optimizer begins anew."""
        self.parameters = smaller.grown(self.parameters.unsqueeze(0), larger)[0]
        self.memory = {}
        self.stage, self.draws = stage, None


@dataclass(frozen=True)
class Stage:
    """The steps at one size: from the last step of the stage before to `last_step`."""

    parameterization: Parameterization
    transforms: Transforms
    last_step: int

    def draws(self, state: ImageState) -> Draws:
        """The picture's random transforms, drawn once, however many batches it passes through."""
        if state.draws is None:
            state.draws = draw(self.transforms, self.last_step, *state.seed)
        return state.draws

    def is_unfinished(self, state: ImageState) -> bool:
        return state.stopped is None and state.step < self.last_step


def is_in_set(objective: Objective) -> bool:
    """Whether the objective compares its picture with others of the batch."""
    return any(isinstance(term, objectives.Diversity) for term in objectives.terms(objective))
