"""What two networks disagree about: pictures made against both at once, and what these do to photographs.

A hidden cause, such as a patch that photographs of one class carried in training, is in no channel of its own, and
photographs without it cannot show it. Pictures that are optimised to let a class rise above what it is in the base do.
`search` finds the class that each picture asks for, `pictures` renders them, `effects` puts them onto photographs,
`photographs` measures the disagreement on photographs alone, and `summary` says in a sentence what was found. `answers`
holds what all of them ask the networks.
"""

from feature_vis.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "answers": ["BothAnswers", "Classifier", "both_answers", "load_classifier", "why_not_comparable"],
        "effects": ["measure_effects"],
        "photographs": ["Photographs", "measure_photographs", "read_photographs"],
        "pictures": ["DifferenceSettings", "render_difference"],
        "summary": ["summarize"],
    },
)
