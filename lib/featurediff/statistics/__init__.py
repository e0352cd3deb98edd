"""Is a change real? Statistics of numbers and tables; no module here knows a network or a picture's file.

`mmd` tests each channel's pictures. `empirical_null` says how far a layer drifts, `combined_score` puts all measures
into one number, `multiple_testing` corrects for the number of channels, `control_runs` compares two trainings, and
`unchanged` makes sure that frozen layers are exactly unchanged. `class_agreement` asks whether several pictures name
one class by chance.
"""

from feature_vis.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "class_agreement": ["AlphaEstimate", "agreement_p_value", "estimate_alpha"],
        "combined_score": ["add_combined_score"],
        "control_runs": ["compare_runs", "shared_change"],
        "empirical_null": ["EmpiricalNull", "fit_null"],
        "mmd": ["mmd2_unbiased", "sign_flip_test", "visual_table"],
        "multiple_testing": ["add_q_values", "agreement", "q_values", "rank_channels", "summarise"],
        "unchanged": ["FrozenLayerChanged", "check_frozen"],
    },
)
