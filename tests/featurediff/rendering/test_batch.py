"""A batch of channels to PNGs: what is current stays, what was finished is not lost."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from feature_vis.images.png import read_notes
from feature_vis.networks.models import weights_digest
from feature_vis.recipe import Recipe
from featurediff.networks import load_network
from featurediff.rendering import batch as module
from featurediff.rendering.batch import Target, adopt, layer_digests, make_targets, other_networks, thinned, visualize
from featurediff.rendering.paths import picture_paths

CPU = torch.device("cpu")
RECIPES = {"layer": Recipe(size=32, steps=2).settings(), "channels": {"1": Recipe(size=32, steps=3).settings()}}


def targets(folder: Path, digest: str = "d", count: int = 3) -> list[Target]:
    return make_targets(picture_paths(folder, range(count), [0]), "layer3.1", RECIPES, digest)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("*.png")}


def times(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in folder.glob("*.png")}


def test_current_pictures_are_left_alone_and_others_rendered(small_weights: Path, tmp_path: Path) -> None:
    assert visualize(targets(tmp_path), "layer3.1", small_weights, tmp_path / "staging", CPU) == (3, 0)
    before = times(tmp_path)
    assert visualize(targets(tmp_path), "layer3.1", small_weights, tmp_path / "staging", CPU) == (0, 3)
    assert times(tmp_path) == before
    assert not (tmp_path / "staging").exists()
    assert visualize(targets(tmp_path, "e"), "layer3.1", small_weights, tmp_path / "staging", CPU) == (3, 0)


def test_a_picture_holds_its_recipe_and_its_course_thinned(small_weights: Path, tmp_path: Path) -> None:
    visualize(targets(tmp_path), "layer3.1", small_weights, tmp_path / "staging", CPU)
    notes = [read_notes(tmp_path / f"channel{channel}.png") or {} for channel in range(3)]
    assert [each["recipe"]["steps"] for each in notes] == [2, 3, 2]  # one channel's recipe is its own
    assert [each["steps"] for each in notes] == [len(each["trajectory"]) for each in notes] == [2, 3, 2]
    course = np.arange(256, dtype=np.float32) ** 2 / 3
    thin = thinned(course)
    assert len(thin) == 32
    np.testing.assert_allclose([thin[0], thin[1], thin[-1]], course[[0, 8, -1]], rtol=1e-3)
    assert thinned(course[:1]) == [0.0]
    model = load_network(small_weights).module()  # a network in memory is as good as its file
    assert layer_digests(small_weights, ["layer1"]) == {"layer1": weights_digest(model, "layer1")}
    visualize(targets(tmp_path / "memory"), "layer3.1", model, tmp_path / "staging", CPU)
    assert contents(tmp_path / "memory") == contents(tmp_path)


def test_what_was_finished_before_a_crash_is_not_rendered_again(
    small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module.render

    def crash_after_two(*args: object, **kwargs: object):  # type: ignore[no-untyped-def]
        yield from itertools.islice(real(*args, **kwargs), 2)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "render", crash_after_two)
    with pytest.raises(KeyboardInterrupt):
        visualize(targets(tmp_path, count=4), "layer3.1", small_weights, tmp_path / "staging", CPU)
    assert contents(tmp_path) == {}
    monkeypatch.setattr(module, "render", real)
    assert visualize(targets(tmp_path, count=4), "layer3.1", small_weights, tmp_path / "staging", CPU) == (2, 2)
    visualize(targets(tmp_path / "whole", count=4), "layer3.1", small_weights, tmp_path / "staging", CPU)
    assert contents(tmp_path) == contents(tmp_path / "whole")


def test_a_picture_that_was_made_elsewhere_under_the_same_key_is_copied(small_weights: Path, tmp_path: Path) -> None:
    here, there, other = (
        make_targets(picture_paths(tmp_path / name, [0, 1], [0, 1]), "layer3.1", RECIPES, digest)
        for name, digest in (("here", "d"), ("there", "d"), ("other", "e"))
    )
    visualize(there, "layer3.1", small_weights, tmp_path / "staging", CPU)
    first, _, second, _ = (read_notes(target.path) or {} for target in there)  # each seed has its own noise
    assert (first["recipe"]["seed"], second["recipe"]["seed"]) == (0, 1)
    assert there[0].path.read_bytes() != there[2].path.read_bytes()
    assert adopt(here, [tmp_path / "nowhere", tmp_path / "there"]) == 4
    for ours, theirs in zip(here, there, strict=True):
        assert ours.path.read_bytes() == theirs.path.read_bytes()
    assert adopt(here, [tmp_path / "there"]) == 0, "what is current is left alone"
    assert adopt(other, [tmp_path / "there"]) == 0, "other weights, other pictures"


def test_equal_pictures_of_other_networks_are_not_rendered(small_weights: Path, tmp_path: Path) -> None:
    sides = []
    for name in ("base", "dogs"):
        folder = tmp_path / name / "pictures"
        others = other_networks(folder, "layer3.1")
        made, staging = targets(folder / "layer3.1", count=2), folder / ".staging" / "layer3.1"
        sides.append((others, visualize(made, "layer3.1", small_weights, staging, CPU, others)))
    assert sides == [([], (2, 0)), ([tmp_path / "base" / "pictures" / "layer3.1"], (0, 2))]
    first, second = (tmp_path / name / "pictures/layer3.1/channel1.png" for name in ("base", "dogs"))
    assert first.read_bytes() == second.read_bytes()


def test_nothing_renders_on_the_cpu_while_a_picture_is_packed(
    small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that packs beside those that render would be one more than the job was given."""
    packed, handed_out = [], []
    write, render = module.write_picture, module.render

    def slowly(*arguments: Any) -> None:
        time.sleep(0.1)
        packed.append(write(*arguments))

    def watched(*arguments: Any, **named: Any) -> Iterator[Any]:
        for result in render(*arguments, **named):
            assert len(packed) == len(handed_out)
            handed_out.append(result)
            yield result

    monkeypatch.setattr(module, "write_picture", slowly)
    monkeypatch.setattr(module, "render", watched)
    visualize(targets(tmp_path), "layer3.1", small_weights, tmp_path / "staging", CPU)
    assert len(packed) == len(handed_out) == 3
