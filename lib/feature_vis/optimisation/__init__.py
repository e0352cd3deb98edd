"""Gradient ascent: what pictures start from, how many are optimised at once, how an interrupted render goes on."""

from feature_vis.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "checkpointing": ["Checkpointer"],
        "cuda_graph": [],
        "gradient_ascent": ["GradientAscent"],
        "image_batch": [],
        "image_state": ["ImageState"],
        "memory": [],
        "optimizers": [],
        "prepared_networks": ["PreparedNetworks"],
        "starts": ["save_state"],
    },
)
