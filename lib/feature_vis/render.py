"""Feature visualization: optimise pictures until they excite a channel, a neuron or any other objective.

`render` makes many pictures at once, each as if it were alone. `FeatureVisualizer` is the original's interface for
one picture, on top of it.

Source: Olah et al. 2017, "Feature Visualization"; transfer-visualization `feature_vis/render.py`.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from feature_vis import transforms
from feature_vis.errors import InputError
from feature_vis.evaluation import values
from feature_vis.images import colors
from feature_vis.images.statistics import ImageStatistics, load_statistics, shrink_magnitude
from feature_vis.networks.precision import resolve_precision
from feature_vis.objectives import Neuron, Objective, Objectives, reads, terms
from feature_vis.optimisation.checkpointing import Checkpointer
from feature_vis.optimisation.gradient_ascent import GradientAscent
from feature_vis.optimisation.image_batch import ImageBatch, StepOptions
from feature_vis.optimisation.image_state import ImageState, Stage, is_in_set
from feature_vis.optimisation.memory import pictures_that_fit
from feature_vis.optimisation.optimizers import OptimizerFactory
from feature_vis.optimisation.prepared_networks import PreparedNetworks, find_problems, prepared_networks
from feature_vis.optimisation.starts import start_parameters
from feature_vis.parameterizations import parameterization
from feature_vis.recipe import Recipe

__all__ = ["BATCH", "FeatureVisualizer", "Rendered", "render"]

# Pictures optimised at once on the CPU, where a larger batch is no faster.
BATCH = 8


@dataclass(frozen=True)
class Rendered:
    """One finished picture.

    Both activations are the objective's value for a picture without transforms, read from the networks' plain output
    (after the ReLU).
    """

    index: int  # of its objective in the call
    objective: str
    recipe: Recipe
    picture: np.ndarray  # (H, W, C) uint8
    activation_start: float  # of the picture it started from
    activation_reached: float  # of the finished 8-bit picture
    trajectory: np.ndarray  # (steps,), the objective at each step, under that step's transforms
    stopped: str  # `steps` (all were made), `plateau`, or `not finite` (its gradient was not)
    parameters: Tensor  # (*P); `feature_vis.optimisation.starts.save_state` keeps them for a later start

    def image(self) -> Image.Image:
        """The picture as a PIL image, in grey when it has one channel."""
        return Image.fromarray(self.picture[:, :, 0] if self.picture.shape[2] == 1 else self.picture)


@dataclass(frozen=True)
class _Options:
    """How pictures are rendered, besides their recipes: arguments of `render`."""

    device: torch.device
    batch: int | None
    progress: Callable[[int], object] | None
    resume: Path | None
    transform: Callable[[Tensor], Tensor] | None
    optimizer: OptimizerFactory | None
    cuda_graph: bool


@dataclass(frozen=True)
class _Job:
    """One picture to render; `index` is that of its objective in the call."""

    index: int
    objective: Objective
    recipe: Recipe
    seed: tuple[str | int, ...]


def render(
    objectives: Sequence[Objective],
    recipe: Recipe | Sequence[Recipe] = Recipe(),  # noqa: B008 - frozen
    *,
    device: str | torch.device = "cpu",
    batch: int | None = None,
    progress: Callable[[int], object] | None = None,
    resume: Path | None = None,
    transform: Callable[[Tensor], Tensor] | None = None,
    optimizer: OptimizerFactory | None = None,
    cuda_graph: bool = False,
) -> Iterator[Rendered]:
    """Render objectives, all by one recipe or each by its own; yields the pictures as they are finished.

    An objective gives the same picture whichever others are rendered with it. Copies of one objective start from
    different noise; with a `diversity` term they are rendered as a set. The networks are not changed.

    - `batch`: pictures optimised at once. By default `BATCH` on the CPU and as many as fit on a GPU.
    - `progress`: called after each step with the number of pictures that took it.
    - `resume`: a folder in which unfinished pictures are kept, for the next call to go on with.
    - `transform`: your own function from a batch, (B, C, H, W) in [0, 1], to another, in place of the recipe's
      transforms.
    - `optimizer`: a class of `torch.optim`, by default a fused Adam.
    - `cuda_graph`: on a GPU, record a step once and replay it: with ResNet-50 at 224 px on an H200 7 times as fast for
      8 pictures, 3 times for 32. The networks must do the same work for every input, and it cannot be combined with
      `transform` or `optimizer`.

    Raises:
        InputError: layers or channels that do not exist, or a picture too small for a layer; all of them at once.
    """
    if cuda_graph and (transform is not None or optimizer is not None):
        raise InputError("a transform or an optimizer of your own cannot be recorded: leave out cuda_graph")
    recipes = [recipe] * len(objectives) if isinstance(recipe, Recipe) else list(recipe)
    if len(recipes) != len(objectives):
        raise InputError(f"{len(objectives)} objectives need as many recipes (or one for all), not {len(recipes)}")
    options = _Options(torch.device(device), batch, progress, resume, transform, optimizer, cuda_graph)
    groups: dict[tuple[Any, ...], list[_Job]] = {}
    seeds = _seeds(objectives, recipes)
    for index, (objective, own, seed) in enumerate(zip(objectives, recipes, seeds, strict=True)):
        layers = frozenset(reads(objective))
        picture_set = (id(objective), own.seed) if is_in_set(objective) else None
        key = (repr(replace(own, seed=0)), layers, picture_set, _has_position(objective))
        groups.setdefault(key, []).append(_Job(index, objective, own, seed))
    sessions = [_RenderSession(jobs, options) for jobs in groups.values()]
    problems = [problem for session in sessions for problem in session.problems()]
    if problems:
        raise InputError("\n".join(dict.fromkeys(problems)))
    for session in sessions:
        yield from session.render()


def _seeds(objectives: Sequence[Objective], recipes: Sequence[Recipe]) -> list[tuple[str | int, ...]]:
    """(seed, objective) for each, and the number of the copy from the second on."""
    copies: dict[tuple[int, str], int] = {}
    seeds: list[tuple[str | int, ...]] = []
    for objective, recipe in zip(objectives, recipes, strict=True):
        copy = copies[id(objective), repr(recipe)] = copies.get((id(objective), repr(recipe)), -1) + 1
        seeds.append((recipe.seed, str(objective), *((copy,) if copy else ())))
    return seeds


def _has_position(objective: Objective) -> bool:
    return any(isinstance(term, Neuron) and term.at is not None for term in terms(objective))


class _RenderSession:
    """Renders pictures that share a recipe, but for the seed, and the layers they read."""

    def __init__(self, jobs: list[_Job], options: _Options) -> None:
        self.recipe = recipe = replace(jobs[0].recipe, seed=0)  # each picture's own seed is in its job
        self.jobs = jobs
        self.options = options
        self.objectives = [job.objective for job in jobs]
        self.is_set = is_in_set(jobs[0].objective)
        self.statistics = load_statistics(recipe.statistics) if recipe.statistics is not None else None
        self.color_basis: Tensor | None = None

    def problems(self) -> list[str]:
        """What is wrong with the objectives, for the finished picture as well as for what the transforms make of it."""
        full = self.recipe.shape
        sizes = {full, transforms.frame(full, transforms.resolve(self.recipe.transforms))}
        return [problem for size in sizes for problem in find_problems(self.objectives, size)]

    def render(self) -> Iterator[Rendered]:
        recipe, device = self.recipe, self.options.device
        if self.is_set and recipe.plateau is not None:
            raise InputError("pictures of a set (a diversity term) end together: leave `plateau` out of their recipe")
        sources = [source for objective in self.objectives for source, _layer in reads(objective)]
        channels = len(sources[0].mean)
        color_basis = _color_basis(recipe, self.statistics, channels)
        self.color_basis = color_basis.to(device) if color_basis is not None else None
        stages = self._stages(channels)
        frame = transforms.frame(recipe.shape, stages[-1].transforms)
        dtype = resolve_precision(recipe.precision, device, list(dict.fromkeys(source.model for source in sources)))
        before_relu = recipe.objective == "pre_relu"
        with prepared_networks(self.objectives, frame, device, before_relu=before_relu, dtype=dtype) as networks:
            steps = StepOptions(
                recipe=recipe,
                read=networks.fast_activations,
                color_basis=self.color_basis,
                optimizer=self.options.optimizer,
                transform=self.options.transform,
                cuda_graph=self.options.cuda_graph,
            )
            batch_size = len(self.jobs) if self.is_set else self.options.batch or self._batch_size(steps, stages[-1])
            # pictures that may stop early hand their place on, so all of them are one chunk
            chunk = len(self.jobs) if recipe.plateau is not None or self.is_set else batch_size
            ascent = GradientAscent(steps, batch_size, self.options.progress)
            for first in range(0, len(self.jobs), chunk):
                yield from self._render_chunk(self.jobs[first : first + chunk], networks, stages, ascent)

    def _stages(self, channels: int) -> list[Stage]:
        """The sizes on the way to the full one that the networks take; a neuron's position holds at full size only."""
        full_transforms = transforms.resolve(self.recipe.transforms)
        full = self.recipe.shape
        stages = []
        for size, last_step in self.recipe.stages():
            scaled = full_transforms.scaled(min(size) / min(full))
            if size != full and (
                _has_position(self.objectives[0])
                or any(find_problems(self.objectives, seen) for seen in {size, transforms.frame(size, scaled)})
            ):
                continue
            magnitude = None
            if self.statistics is not None and self.recipe.parameterization == "maco":
                magnitude = shrink_magnitude(self.statistics.magnitude, self.statistics.size, size)
            name, decay_power = self.recipe.parameterization, self.recipe.decay_power
            stages.append(Stage(parameterization(name, size, channels, decay_power, magnitude), scaled, last_step))
        return stages

    def _batch_size(self, steps: StepOptions, stage: Stage) -> int:
        """Pictures at once: on a GPU as many as fit."""
        if self.options.device.type != "cuda":
            return BATCH
        states = [self._start(_Job(0, self.objectives[0], self.recipe, ("memory",)), stage) for _ in range(BATCH)]
        return pictures_that_fit(lambda: ImageBatch(states, stage, steps).step(), BATCH, self.options.device)

    def _start(self, job: _Job, stage: Stage) -> ImageState:
        parameters = start_parameters(self.recipe, stage.parameterization, job.seed, self.color_basis)
        return ImageState(job.index, job.objective, job.seed, parameters.to(self.options.device))

    def _render_chunk(
        self, jobs: list[_Job], networks: PreparedNetworks, stages: list[Stage], ascent: GradientAscent
    ) -> Iterator[Rendered]:
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:  # a GPU would wait for all this noise
            states = list(pool.map(self._start, jobs, [stages[0]] * len(jobs)))
        starts = self._pictures(states, stages[0])
        checkpointer = Checkpointer(self.options.resume, self.recipe) if self.options.resume is not None else None
        if checkpointer is not None:
            checkpointer.restore(states)
        for number, stage in enumerate(stages):
            for state in states:
                if state.stage < number:
                    state.grow(stages[state.stage].parameterization, stage.parameterization, number)
            current = [state for state in states if state.stage == number]
            ascent.run(stage, current, checkpointer.save_if_due if checkpointer is not None else None)
        finished = self._pictures(states, stages[-1])
        start_values, reached_values = (self._measure(networks, states, pictures) for pictures in (starts, finished))
        for row, state in enumerate(states):
            yield Rendered(
                index=state.index,
                objective=str(state.objective),
                recipe=jobs[row].recipe,
                picture=(finished[row] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy(),  # (H, W, C)
                activation_start=float(start_values[row]),
                activation_reached=float(reached_values[row]),
                trajectory=np.array(state.trajectory, dtype=np.float32),
                stopped=state.stopped or "steps",
                parameters=state.parameters.cpu(),
            )
        if checkpointer is not None:
            checkpointer.remove(states)

    def _pictures(self, states: list[ImageState], stage: Stage) -> Tensor:
        """(B, C, H, W) in [0, 1] on the CPU, rounded to 8 bits, so that what is measured is what is saved."""
        with torch.no_grad():
            images = [
                stage.parameterization.image(state.parameters.unsqueeze(0)) for state in states
            ]  # one by one: the batch's size must not show in the rounding
            pictures = torch.cat([colors.to_rgb(image, self.color_basis) for image in images])
        return ((pictures * 255).round() / 255).cpu()

    def _measure(self, networks: PreparedNetworks, states: list[ImageState], pictures: Tensor) -> Tensor:
        """The objectives' values for the pictures as they are, (B,)."""
        measured = []
        objectives = [state.objective for state in states]
        size = len(objectives) if self.is_set else BATCH
        for first in range(0, len(objectives), size):
            some, shown = objectives[first : first + size], pictures[first : first + size].to(self.options.device)
            if len(some) % 2 and size == BATCH:  # see `GradientAscent`: batches of even size round alike
                some, shown = [*some, some[0]], torch.cat([shown, shown[:1]])
            with torch.no_grad():
                found = values(some, networks.exact_activations(shown), self.options.device).cpu()
            measured.append(found[: len(objectives) - first])
        return torch.cat(measured)


def _color_basis(recipe: Recipe, statistics: ImageStatistics | None, channels: int) -> Tensor | None:
    """The recipe's colour basis, (C, C), or None; ImageNet's is one of RGB and serves pictures of 3 channels only."""
    basis = None
    if recipe.colors == "images" and statistics is not None:
        if statistics.matrix is None:
            raise InputError(f"{recipe.statistics} holds no colours: make it with `color_matrix` of your images")
        basis = statistics.matrix
    elif recipe.colors == "imagenet" and channels == 3:
        basis = colors.IMAGENET_COLORS
    if recipe.parameterization == "maco" and statistics is not None:
        other = statistics.matrix
        is_same = other is basis if other is None or basis is None else other.allclose(basis)
        if not is_same:
            raise InputError(
                f"the magnitudes in {recipe.statistics} were computed in another colour basis than `colors: "
                f"{recipe.colors}`: compute them with the same matrix"
            )
    return basis


class FeatureVisualizer:
    """Render one picture at a time: `FeatureVisualizer(model, device=device)(act_idx=309)`.

    - `img_shape`: (height, width) in pixels.
    - `transforms`: a preset of `feature_vis.transforms`, or a function from a batch, (B, 3, H, W) in [0, 1], to
      another.
    - `layer`: dotted name of the layer, or "" for the network's output.
    - `hook(module, inputs, output)`: makes the activation, (B, K, …), from the layer's output.
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
        """The picture that excites (or with `maximize=False` quiets) index `act_idx` of the layer.

        `epochs`: optimisation steps. `optim`: a class of `torch.optim`, which gets the further `options`; by default
        Adam as in `Recipe`.
        """
        target = self.objectives(self.layer, act_idx)
        preset, transform = (self.transforms, None) if isinstance(self.transforms, str) else ("none", self.transforms)
        recipe = Recipe(
            size=self.img_shape, steps=epochs, learning_rate=lr, objective=objective, transforms=preset, seed=seed
        )
        optimizer = functools.partial(optim or torch.optim.Adam, **options) if optim or options else None
        with tqdm(total=epochs, disable=None if progress else True) as bar:
            rendered = render(
                [target if maximize else -target],
                recipe,
                device=self.device,
                transform=transform,
                optimizer=optimizer,
                progress=bar.update,
            )
            return next(iter(rendered)).image()
