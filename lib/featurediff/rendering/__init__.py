"""The pictures of channels on disk: they are rendered in batches, listed in tables, and checked for failed ones.

`paths` and `channels` import neither torch nor pandas: the workflow asks them while it builds its graph.
"""

from feature_vis.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "batch": ["Target", "make_targets", "visualize"],
        "channels": ["parse_channels", "ranges_text"],
        "failed_pictures": ["failed_of", "find_failed"],
        "paths": ["picture_paths"],
        "picture_pairs": ["PicturePairs", "listed_pairs"],
        "picture_table": ["listed_pictures", "measure_pictures"],
    },
)
