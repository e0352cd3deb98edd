"""State dicts from other tools, brought to the names and values that a network expects.

Removed are the checkpoint around it (Lightning, timm, the training loops of tutorials), a prefix of all names
(`module.` from DDP, `model.` from Lightning, `_orig_mod.` from `torch.compile`, or any other), masks of
`torch.nn.utils.prune`, and quantisation. Batch norm's counters of batches, on which nothing depends, may be missing.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from feature_vis.errors import InputError

__all__ = ["WRAPPERS", "fitted", "mismatches", "unwrapped"]

# The keys under which a checkpoint may keep the state dict.
WRAPPERS = ("model", "state_dict", "model_state_dict")

_COUNTER = "num_batches_tracked"


def unwrapped(loaded: Mapping[str, Any]) -> dict[str, Any]:
    """The state dict of a checkpoint, or `loaded` itself if it is a state dict."""
    return dict(next((loaded[key] for key in WRAPPERS if isinstance(loaded.get(key), Mapping)), loaded))


def fitted(state: Mapping[str, Any], expected: Mapping[str, Tensor]) -> tuple[dict[str, Any], list[str]]:
    """A state dict under the names that a network expects, and notes about what was changed.

    Entries that do not fit are kept; `mismatches` finds them.

    Raises:
        InputError: it holds more than one network that fits.
    """
    notes = []
    state = {
        str(key): value.dequantize() if isinstance(value, Tensor) and value.is_quantized else value
        for key, value in state.items()
    }
    state, pruned = _without_masks(state)
    if pruned:
        notes.append(f"pruned: the masks of {pruned} weights were applied")
    prefix = _prefix(state, expected)
    if prefix:
        inside = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        others = sorted(key for key in state if not key.startswith(prefix))
        notes.append(f"the names begin with {prefix!r}" + (f"; left out: {_listed(others)}" if others else ""))
        state = inside
    # auxiliary heads serve for training from scratch, and `build` leaves them out
    state = {key: value for key, value in state.items() if key in expected or not key.lower().startswith("aux")}
    counters = {key: torch.zeros_like(value) for key, value in expected.items() if key.endswith(_COUNTER)}
    return counters | state, notes


def mismatches(state: Mapping[str, Any], expected: Mapping[str, Tensor]) -> list[str]:
    """Why a state dict cannot be loaded, one line each; none if it fits."""
    problems = [f"missing: {key}" for key in expected if key not in state]
    problems += [f"unexpected: {key}" for key in state if key not in expected]
    for key, value in expected.items():
        given = state.get(key, value)
        if not isinstance(given, Tensor):
            problems.append(f"{key}: a {type(given).__name__} in the file, not a tensor")
        elif given.shape != value.shape:
            problems.append(f"{key}: {tuple(given.shape)} in the file, {tuple(value.shape)} in the network")
    if any("lora_" in problem for problem in problems):
        problems.append(
            "it holds separate adapters (LoRA): merge them (peft: model.merge_and_unload()) and save the result"
        )
    return problems


def _without_masks(state: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Replace each `weight_orig` and `weight_mask` by their product, `weight`; also returns how many there were."""
    pruned = [key.removesuffix("_mask") for key in state if key.endswith("_mask")]
    pruned = [key for key in pruned if f"{key}_orig" in state and key not in state]
    merged = {key: state[f"{key}_orig"] * state[f"{key}_mask"] for key in pruned}
    used = {f"{key}{end}" for key in pruned for end in ("_orig", "_mask")}
    return {key: value for key, value in state.items() if key not in used} | merged, len(pruned)


def _prefix(state: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """What precedes the names that the network expects: the prefix under which most of them are found."""
    found: Counter[str] = Counter()
    for key in state:
        parts = key.split(".")
        ends = (".".join(parts[start:]) for start in range(len(parts)))
        found.update(key.removesuffix(end) for end in ends if end in expected)
    most = max(found.values(), default=0)
    best = sorted(prefix for prefix, count in found.items() if count == most)
    if "" in best or not best:
        return ""
    if len(best) > 1 and most == len(expected):
        raise InputError(f"it holds {len(best)} networks that fit, {', '.join(best)}: save only the one that you mean")
    return best[0]


def _listed(names: list[str], shown: int = 5) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
