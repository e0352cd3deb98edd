"""What differs between two networks: their pictures, their responses to pictures and photographs, and their weights.

A measure takes two `nn.Module`s, the base and a network tuned from it, and returns a table whose columns its module
describes in `COLUMNS`. Only `channels`, `embedder` and `embeddings` read or write files.

| question | module |
|---|---|
| do the channel's two pictures look alike? | `picture_similarity`, by `embedder`, `embeddings` and `distance` |
| does the channel respond alike to photographs? | `photo_responses`, by `activation_statistics`, `receptive_fields` |
| does it respond alike to the pictures of its layer, and to its own two? | `picture_responses`, `cross_activation` |
| how far did its filter move? | `weight_change`; `frozen_layers` says which layers training leaves alone |
| all of this in one table, a row a channel | `channels` |
| which layers and channels are worth comparing? | `layer_selection` |

The names below can be imported from here. A function that has its module's name is reached through the module:
`measures.weight_change.weight_change`.
"""

from feature_vis.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "activation_statistics": [
            "Label",
            "TopImages",
            "class_means",
            "class_selectivity",
            "correlation",
            "linear_cka",
        ],
        "channels": ["measure_channels", "probe_images", "write_photo_responses"],
        "cross_activation": [],
        "distance": ["cosine_similarity", "gram_distance", "gram_matrix"],
        "embedder": ["Embedder", "embed_pictures", "load_embedder"],
        "embeddings": ["load_embeddings", "save_embeddings", "without_failed"],
        "frozen_layers": ["layers_before", "trained_modules"],
        "layer_selection": ["activations_moved", "most_moved_layers", "sample_channels", "weights_moved"],
        "photo_responses": ["PhotoResponses"],
        "picture_responses": ["compare_activations", "picture_activations"],
        "picture_similarity": ["compare_layer", "compare_pictures", "most_different", "most_similar", "pair_picture"],
        "receptive_fields": [],
        "weight_change": ["FilterSource", "effective_filters", "find_filter_sources"],
    },
)
