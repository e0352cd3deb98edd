"""What changed between two networks, what does it look like, is it real, and does it matter?

In the order in which each may use those before it:

| part | holds |
|---|---|
| `networks` | networks on disk: weights, architecture, class names |
| `runtime` | what every job needs: its log, device, progress, whole files |
| `statistics` | is a change real? |
| `data` | data sets, listed, split and decoded |
| `rendering` | the pictures of channels on disk |
| `measures` | what differs between two networks |
| `training` | fine-tuning |
| `comparison` | the tables of a comparison |
| `report` | the page |
| `config` | the config, checked and expanded |
| `cli` | the command line |

The renderer itself is the package `feature_vis`. Once installed, the folder `workflow` holds the workflow.
"""

from feature_vis.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "cli": [],
        "comparison": ["compare_networks", "rank_layers"],
        "config": [],
        "data": [],
        "measures": ["measure_channels"],
        "networks": ["Network", "load_network", "load_weights", "save_network"],
        "rendering": ["visualize"],
        "report": [],
        "runtime": [],
        "statistics": ["visual_table"],
        "training": [],
    },
)
