"""The config: read with its lines, checked, expanded, and handed to the rules as a plan. No torch here.

`read_config` and `make_plan` are all that the workflow needs; `find_mistakes` checks a config by itself.
"""

from feature_vis.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "expand": ["Expanded", "architecture"],
        "file": ["ConfigFile", "Mistake", "format_mistakes", "mistake_at", "read_config"],
        "network_check": [],
        "plan": ["Plan"],
        "schema": ["did_you_mean", "read_schema", "with_defaults"],
        "validation": ["check_alone", "check_surroundings", "find_mistakes", "make_plan"],
    },
)
