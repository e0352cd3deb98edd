"""Networks: built by name, their weights loaded, read at their layers, and made faster to optimise against."""

from feature_vis.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "activations": ["activations_of", "device_of"],
        "batch_norm_folding": ["fold_batch_norm"],
        "hooks": ["hooked"],
        "models": ["build", "load_file", "load_state", "save_file", "weights_digest"],
        "names": ["is_weights_name"],
        "precision": [],
        "relus": [],
        "state_dicts": [],
        "structure": ["call_order", "layer_shapes"],
        "torchvision_import": ["torchvision"],
        "user_module": [],
    },
)
