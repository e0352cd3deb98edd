"""The tables of a comparison: every channel in the base and in the tuned network, and through a training's epochs."""

from feature_vis.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "compare": ["compare_networks", "rank_layers"],
        "epochs": ["measure_epoch"],
    },
)
