"""Feature visualization: the picture that excites a channel of a network.

    from feature_vis import FeatureVisualizer, Objectives, Recipe
    from feature_vis.render import render

`feature_vis.render` is the module; its function `render` makes many pictures at once. Nothing here imports torch
before it is used, so that a workflow can read `feature_vis.recipe` cheaply.
"""

from feature_vis.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "differences": ["distance", "divergence", "largest_rise", "rise"],
        "errors": ["InputError"],
        "evaluation": [],
        "images": [],
        "networks": [],
        "objectives": ["Objectives"],
        "optimisation": [],
        "parameterizations": [],
        "recipe": ["Recipe"],
        "regularizers": [],
        "render": ["FeatureVisualizer", "Rendered"],
        "transforms": ["Transforms"],
    },
)
