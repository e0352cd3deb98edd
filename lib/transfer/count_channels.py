"""How many channels do a network's layers have? A process of its own answers, so that the workflow needs no torch.

Standard input: `{"model": …, "sizes": {layer: [height, width]}}`; standard output: `{layer: channels}`. Ends with 3
and the problems on standard output where the config is wrong, with 4 where there is no torch.
"""

import json
import sys

from feature_vis.errors import InputError

__all__ = ["main"]


def main() -> None:
    """Answer the question on standard input."""
    question = json.load(sys.stdin)
    try:
        from feature_vis.activations import channel_counts
        from feature_vis.models import build
    except ImportError:
        sys.exit(4)
    try:
        model = build(question["model"])
    except InputError as error:
        print(f"  - model: {error}")
        sys.exit(3)
    counts: dict[str, int] = {}
    problems: list[str] = []
    for layer, size in question["sizes"].items():
        try:
            counts |= channel_counts(model, [layer], tuple(size))
        except InputError as error:
            problems.append(f"  - visualize.layers: {error}")
    if problems:
        print("\n".join(problems))
        sys.exit(3)
    json.dump(counts, sys.stdout)


if __name__ == "__main__":
    main()
