"""What the packages offer: found by tab completion, importable, and imported no sooner than it is used."""

import importlib
import subprocess
import sys

import pytest

from feature_vis.lazy import attach

PACKAGES = ["feature_vis", "feature_vis.images", "feature_vis.networks", "feature_vis.optimisation"]
PACKAGES += ["featurediff", "featurediff.rendering", "featurediff.statistics", "featurediff.measures"]


@pytest.mark.parametrize("package", PACKAGES)
def test_all_that_is_offered_is_there(package: str) -> None:
    module = importlib.import_module(package)
    assert dir(module) == module.__all__
    assert all(getattr(module, name) is not None for name in module.__all__)
    with pytest.raises(AttributeError, match="absent"):
        module.absent  # noqa: B018


def test_what_people_use_is_offered_without_torch() -> None:
    code = """
import sys, featurediff, feature_vis.recipe, feature_vis.images, feature_vis.networks, feature_vis.optimisation
assert {"render", "Recipe", "Objectives", "FeatureVisualizer"} <= set(dir(feature_vis))
assert feature_vis.Recipe is feature_vis.recipe.Recipe
assert {"load_network", "compare_networks", "cli", "statistics"} <= set(dir(featurediff))
assert "torch" not in sys.modules
from feature_vis import FeatureVisualizer
from feature_vis.render import FeatureVisualizer as the_same, render
assert FeatureVisualizer is the_same and feature_vis.render.render is render
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("exports", [{"a": ["x"], "b": ["x"]}, {"a": ["b"], "b": []}])
def test_a_name_for_two_things_is_refused(exports: dict[str, list[str]]) -> None:
    with pytest.raises(ValueError, match="twice"):
        attach("package", exports)
