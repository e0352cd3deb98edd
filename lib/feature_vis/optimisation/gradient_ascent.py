"""Gradient ascent on many pictures at once, each as if it were alone.

Which others are optimised beside a picture changes nothing in it. When a picture ends early (a plateau, a gradient
that is not finite), the next one takes its place.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from feature_vis.optimisation.image_batch import ImageBatch, StepOptions
from feature_vis.optimisation.image_state import ImageState, Stage, is_in_set

__all__ = ["AfterStep", "GradientAscent"]

# Takes the pictures that took a step and a function that brings their states up to date.
AfterStep = Callable[[Sequence[ImageState], Callable[[], None]], object]


@dataclass
class GradientAscent:
    """How pictures are taken through the steps of a stage."""

    options: StepOptions
    batch_size: int  # halved when memory runs out
    progress: Callable[[int], object] | None = None

    def run(self, stage: Stage, states: Sequence[ImageState], after_step: AfterStep | None = None) -> None:
        """Take every picture to the stage's end, or to where it stops."""
        waiting = deque(state for state in states if stage.is_unfinished(state))
        while waiting:
            some = [waiting.popleft() for _ in range(min(self.batch_size, len(waiting)))]
            batch, size = ImageBatch(some, stage, self.options), self.batch_size
            try:
                self._until_one_ends(batch, after_step)
            except torch.OutOfMemoryError:
                # the pictures of a set are compared with each other, so they need one batch
                if self.batch_size < 2 or is_in_set(some[0].objective):
                    raise
                self.batch_size //= 2
            batch.write_back()
            if self.batch_size < size:
                torch.cuda.empty_cache()  # now that the error holds no tensors any more
            waiting.extendleft(state for state in reversed(some) if stage.is_unfinished(state))

    def _until_one_ends(self, batch: ImageBatch, after_step: AfterStep | None) -> None:
        has_ended = False
        while not has_ended:
            for _ in range(batch.steps_to_look()):
                batch.step()
                if self.progress is not None:
                    self.progress(len(batch.states))
                if after_step is not None:
                    after_step(batch.states, batch.write_back)
            has_ended = batch.look()
