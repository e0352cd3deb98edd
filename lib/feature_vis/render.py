"""Feature visualization: optimise pictures until they excite what they are for.

`render` makes many pictures at once, each as if it were alone. `FeatureVisualizer` is the original's one-picture
interface on top of it.

Source: Olah et al. 2017, "Feature Visualization"; transfer-visualization `feature_vis/render.py`.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from feature_vis import objectives, transforms
from feature_vis.errors import InputError
from feature_vis.images import colors
from feature_vis.images.statistics import ImageStatistics, load_statistics, shrink_magnitude
from feature_vis.networks.precision import resolve_precision
from feature_vis.objectives import Diversity, Neuron, Objective, Objectives, terms
from feature_vis.optimisation.ascent import Ascent, Climber, OptimizerFactory, Stage
from feature_vis.optimisation.checkpointing import Notebook
from feature_vis.optimisation.memory import pictures_that_fit
from feature_vis.optimisation.prepared_networks import Prepared, prepare, problems
from feature_vis.optimisation.starts import start_of
from feature_vis.parameterizations import parameterization
from feature_vis.recipe import Recipe

__all__ = ["BATCH", "FeatureVisualizer", "Rendered", "render"]

# Pictures optimised at once on the CPU: from here on a larger batch is no faster there.
BATCH = 8


@dataclass(frozen=True)
class Rendered:
    """One finished picture.

    `index`: of its objective in the call. `picture`: (H, W, C) uint8. `activation_start`, `activation_reached`: the
    objective read from the networks' plain output (after the ReLU), without transforms, for the start and for the
    finished 8-bit picture. `trajectory`: (steps,) the objective at each step, under that step's transforms.
    `stopped`: `steps` (all were made), `plateau`, or `not finite` (the picture whose gradient was not). `parameters`:
    (*P), what the picture is held as; `feature_vis.optimisation.starts.save_state` keeps it for a later start.
    """

    index: int
    objective: str
    recipe: Recipe
    picture: np.ndarray
    activation_start: float
    activation_reached: float
    trajectory: np.ndarray
    stopped: str
    parameters: Tensor

    def image(self) -> Image.Image:
        """As a PIL image; of one channel, a grey-scale one."""
        return Image.fromarray(self.picture[:, :, 0] if self.picture.shape[2] == 1 else self.picture)


def render(
    wanted: Sequence[Objective],
    recipe: Recipe | Sequence[Recipe] = Recipe(),  # noqa: B008 - frozen
    *,
    device: str | torch.device = "cpu",
    batch: int | None = None,
    progress: Callable[[int], object] | None = None,
    resume: Path | None = None,
    move: Callable[[Tensor], Tensor] | None = None,
    optimizer: OptimizerFactory | None = None,
) -> Iterator[Rendered]:
    """Render objectives, all by one recipe or each by its own; yields the pictures as they are finished.

    An objective comes out the same whichever others are asked for with it. Copies of one objective start from
    different noise; with a `diversity` term they are rendered as a set. `batch`: pictures at once; `BATCH` on the
    CPU, as many as fit on a GPU. `progress` is called with the number of image-steps made. `resume`: a folder
    where unfinished pictures are kept, and found by the next call. `move`: your own function of a batch (B, C, H, W)
    in [0, 1], in place of the recipe's transforms. `optimizer`: a class of `torch.optim`, fused Adam where absent.
    The networks themselves are not touched.

    Raises:
        InputError: layers or channels that do not exist, a picture too small for a layer: all at once.
    """
    recipes = [recipe] * len(wanted) if isinstance(recipe, Recipe) else list(recipe)
    if len(recipes) != len(wanted):
        raise InputError(f"{len(wanted)} objectives need as many recipes (or one for all), not {len(recipes)}")
    seeds = _seeds(wanted, recipes)
    groups: dict[tuple[Any, ...], list[int]] = {}
    for index, objective in enumerate(wanted):
        reads = frozenset((id(term.source), term.layer) for term in terms(objective))
        groups.setdefault((repr(recipes[index]), reads, _set_of(objective), _has_place(objective)), []).append(index)
    options = (torch.device(device), batch, progress, resume, move, optimizer)
    easels = [(_Easel(recipes[indices[0]], *options), indices) for indices in groups.values()]
    wrong = [line for easel, indices in easels for line in easel.problems([wanted[index] for index in indices])]
    if wrong:
        raise InputError("\n".join(dict.fromkeys(wrong)))
    for easel, indices in easels:
        yield from easel.render([(index, wanted[index], seeds[index]) for index in indices])


def _seeds(wanted: Sequence[Objective], recipes: Sequence[Recipe]) -> list[tuple[str | int, ...]]:
    """(seed, objective) for each, and the number of the copy from the second on."""
    copies: dict[tuple[int, Recipe | str], int] = {}
    seeds: list[tuple[str | int, ...]] = []
    for objective, recipe in zip(wanted, recipes, strict=True):
        copy = copies[id(objective), repr(recipe)] = copies.get((id(objective), repr(recipe)), -1) + 1
        seeds.append((recipe.seed, str(objective), *((copy,) if copy else ())))
    return seeds


def _set_of(objective: Objective) -> int | None:
    """Pictures that are compared with each other belong together; all others stand alone."""
    return id(objective) if any(isinstance(term, Diversity) for term in terms(objective)) else None


def _has_place(objective: Objective) -> bool:
    return any(isinstance(term, Neuron) and term.at is not None for term in terms(objective))


class _Easel:
    """All that the pictures of one recipe share."""

    def __init__(
        self,
        recipe: Recipe,
        device: torch.device,
        batch: int | None,
        progress: Callable[[int], object] | None,
        resume: Path | None,
        move: Callable[[Tensor], Tensor] | None,
        optimizer: OptimizerFactory | None,
    ) -> None:
        self.recipe = recipe
        self.device = device
        self.batch = batch
        self.progress = progress
        self.resume = resume
        self.move = move
        self.optimizer = optimizer or functools.partial(torch.optim.Adam, betas=(recipe.momentum, 0.999), fused=True)
        self.statistics = load_statistics(recipe.statistics) if recipe.statistics is not None else None
        self.matrix: Tensor | None = None

    def problems(self, wanted: list[Objective]) -> list[str]:
        """What is wrong with them, for the finished picture as well as for what the transforms make of it."""
        full = self.recipe.shape
        sizes = {full, transforms.frame(full, transforms.resolve(self.recipe.transforms))}
        return [line for size in sizes for line in problems(wanted, size)]

    def render(self, jobs: list[tuple[int, Objective, tuple[str | int, ...]]]) -> Iterator[Rendered]:
        wanted = [objective for _, objective, _ in jobs]
        is_set = _set_of(wanted[0]) is not None
        if is_set and self.recipe.plateau is not None:
            raise InputError("pictures of a set (a diversity term) end together: leave `plateau` out of their recipe")
        channels = len(next(terms(wanted[0])).source.mean)
        matrix = _color_basis(self.recipe, self.statistics, channels)
        self.matrix = matrix.to(self.device) if matrix is not None else None
        stages = self._stages(channels, wanted)
        frame = transforms.frame(self.recipe.shape, stages[-1].transforms)
        models = [term.source.model for objective in wanted for term in terms(objective)]
        dtype = resolve_precision(self.recipe.precision, self.device, list(dict.fromkeys(models)))
        before_relu = self.recipe.objective == "pre_relu"
        with prepare(wanted, frame, self.device, before_relu=before_relu, dtype=dtype) as prepared:
            width = len(jobs) if is_set else self.batch or self._width(prepared, stages[-1], wanted)
            chunk = len(jobs) if self.recipe.plateau is not None or is_set else width
            ascent = self._ascent(prepared, width)
            for first in range(0, len(jobs), chunk):
                yield from self._render_chunk(jobs[first : first + chunk], prepared, stages, ascent)

    def _stages(self, channels: int, wanted: list[Objective]) -> list[Stage]:
        """Of the sizes on the way those that the networks take; a neuron's position is one at the full size."""
        moves = transforms.resolve(self.recipe.transforms)
        full = self.recipe.shape
        stages = []
        for size, last_step in self.recipe.stages():
            moved = moves.scaled(min(size) / min(full))
            if size != full and (
                _has_place(wanted[0]) or any(problems(wanted, seen) for seen in {size, transforms.frame(size, moved)})
            ):
                continue
            magnitude = None
            if self.statistics is not None and self.recipe.parameterization == "maco":
                magnitude = shrink_magnitude(self.statistics.magnitude, self.statistics.size, size)
            held = parameterization(self.recipe.parameterization, size, channels, self.recipe.decay_power, magnitude)
            stages.append(Stage(held, moved, last_step))
        return stages

    def _width(self, prepared: Prepared, stage: Stage, wanted: list[Objective]) -> int:
        """Pictures at once: on a GPU as many as fit."""
        if self.device.type != "cuda":
            return BATCH
        climbers = [self._climber(0, wanted[0], ("memory",), stage) for _ in range(BATCH)]
        ascent = self._ascent(prepared, BATCH)
        return pictures_that_fit(lambda: ascent.try_step(stage, climbers), BATCH, self.device)

    def _ascent(self, prepared: Prepared, width: int) -> Ascent:
        return Ascent(
            recipe=self.recipe,
            read=prepared.read_fast,
            matrix=self.matrix,
            width=width,
            optimizer=self.optimizer,
            move=self.move,
            progress=self.progress,
        )

    def _climber(self, index: int, objective: Objective, seed: tuple[str | int, ...], stage: Stage) -> Climber:
        """At its start."""
        parameters = start_of(self.recipe, stage.parameterization, seed, self.matrix)
        return Climber(index, objective, seed, parameters.to(self.device))

    def _render_chunk(
        self,
        jobs: list[tuple[int, Objective, tuple[str | int, ...]]],
        prepared: Prepared,
        stages: list[Stage],
        ascent: Ascent,
    ) -> Iterator[Rendered]:
        climbers = [self._climber(*job, stages[0]) for job in jobs]
        starts = self._pictures(climbers, stages[0])
        notebook = Notebook(self.resume, self.recipe) if self.resume is not None else None
        if notebook is not None:
            notebook.recall(climbers)
            ascent.after_step = notebook.note_now_and_then
        for number, stage in enumerate(stages):
            for climber in climbers:
                if climber.stage < number:
                    climber.grow(stages[climber.stage].parameterization, stage.parameterization, number)
            ascent.run(stage, [climber for climber in climbers if climber.stage == number])
        finished = self._pictures(climbers, stages[-1])
        began, reached = (self._measure(prepared, climbers, pictures) for pictures in (starts, finished))
        for row, climber in enumerate(climbers):
            yield Rendered(
                index=climber.index,
                objective=str(climber.objective),
                recipe=self.recipe,
                picture=(finished[row] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy(),  # (H, W, C)
                activation_start=float(began[row]),
                activation_reached=float(reached[row]),
                trajectory=np.array(climber.trajectory, dtype=np.float32),
                stopped=climber.stopped or "steps",
                parameters=climber.parameters.detach().cpu(),
            )
        if notebook is not None:
            notebook.forget(climbers)

    def _pictures(self, climbers: list[Climber], stage: Stage) -> Tensor:
        """(B, C, H, W) on the CPU, of the values that 8 bits can hold, in [0, 1]: what is measured is what is saved."""
        with torch.no_grad():
            images = [
                stage.parameterization.image(climber.parameters.detach().unsqueeze(0)) for climber in climbers
            ]  # one by one: the size of the batch must not show in the rounding
            pictures = torch.cat([colors.to_rgb(image, self.matrix) for image in images])
        return ((pictures * 255).round() / 255).cpu()

    def _measure(self, prepared: Prepared, climbers: list[Climber], pictures: Tensor) -> Tensor:
        """The objectives of the pictures as they are, (B,)."""
        found = []
        wanted = [climber.objective for climber in climbers]
        width = len(wanted) if _set_of(wanted[0]) is not None else BATCH
        for first in range(0, len(wanted), width):
            part, seen = wanted[first : first + width], pictures[first : first + width].to(self.device)
            if len(part) % 2 and width == BATCH:  # see Ascent: batches of even size round alike
                part, seen = [*part, part[0]], torch.cat([seen, seen[:1]])
            with torch.no_grad():
                measured = objectives.values(part, prepared.read_plain(seen), self.device).cpu()
            found.append(measured[: len(wanted) - first])
        return torch.cat(found)


def _color_basis(recipe: Recipe, statistics: ImageStatistics | None, channels: int) -> Tensor | None:
    """The matrix (C, C) of the recipe's colours, or None. ImageNet's is one of RGB: other channels stand alone."""
    matrix = None
    if recipe.colors == "images" and statistics is not None:
        if statistics.matrix is None:
            raise InputError(f"{recipe.statistics} holds no colours: make it with `color_matrix` of your images")
        matrix = statistics.matrix
    elif recipe.colors == "imagenet" and channels == 3:
        matrix = colors.IMAGENET_COLORS
    if recipe.parameterization == "maco" and statistics is not None:
        there = statistics.matrix
        if (there is None) != (matrix is None) or (
            there is not None and matrix is not None and not there.allclose(matrix)
        ):
            raise InputError(
                f"the magnitudes in {recipe.statistics} were taken in another colour basis than `colors: "
                f"{recipe.colors}`: make them with the same matrix"
            )
    return matrix


class FeatureVisualizer:
    """Render one picture at a time: `FeatureVisualizer(model, device=device)(act_idx=309)`.

    `img_shape`: (height, width) in pixels. `transforms`: a preset of `feature_vis.transforms`, or a function from
    a batch (1, 3, H, W) in [0, 1] to another. `layer`: dotted name of the target, the network's output where
    empty. `hook(module, inputs, output)`: makes the activation, (B, K, …), from the target's output.
    """

    def __init__(
        self,
        model: nn.Module,
        img_shape: tuple[int, int] = (400, 400),
        transforms: str | Callable[[Tensor], Tensor] = "paper",
        device: str | torch.device = "cpu",
        layer: str = "",
        hook: Callable[[nn.Module, Any, Any], Tensor] | None = None,
    ) -> None:
        self.objectives = Objectives(model, hook=hook)
        self.img_shape = img_shape
        self.transforms = transforms
        self.device = torch.device(device)
        self.layer = layer

    def __call__(
        self,
        act_idx: int,
        epochs: int = 200,
        lr: float = 0.05,
        optim: OptimizerFactory | None = None,
        maximize: bool = True,
        objective: str = "pre_relu",
        seed: int = 0,
        progress: bool = True,
        **options: Any,
    ) -> Image.Image:
        """The picture that excites (or with `maximize=False` quiets) index `act_idx` of the target.

        `epochs`: optimisation steps. `optim`: a class of `torch.optim`; `options` go to it. Adam as in `Recipe`
        where both are absent.
        """
        target = self.objectives(self.layer, act_idx)
        named, move = (self.transforms, None) if isinstance(self.transforms, str) else ("none", self.transforms)
        recipe = Recipe(
            size=self.img_shape, steps=epochs, learning_rate=lr, objective=objective, transforms=named, seed=seed
        )
        optimizer = functools.partial(optim or torch.optim.Adam, **options) if optim or options else None
        with tqdm(total=epochs, disable=None if progress else True) as bar:
            rendered = render(
                [target if maximize else -target],
                recipe,
                device=self.device,
                move=move,
                optimizer=optimizer,
                progress=bar.update,
            )
            return next(iter(rendered)).image()
