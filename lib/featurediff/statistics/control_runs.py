"""How much of a change is the task, and how much the run? A second training with another seed tells.

Two networks are trained from one base on one data set with different seeds. What the task asks for changes in both in
the same way; what the order of the photographs and their augmentation happened to do does not. A channel has three
vectors, in the base b, the run t and the control c: mean embeddings of its pictures, standardised activations on the
probe images, or unit filters. Their squared distances, |t - b|², |c - b|² and |t - c|², give the product of the two
changes,

    (t - b) · (c - b) = (|t - b|² + |c - b|² - |t - c|²) / 2.

`shared` is this product, summed over the channels, divided by the root of the product of the summed |t - b|² and
|c - b|²: the cosine between the changes of the two runs. It is 1 if both runs changed the layer alike, and 0 if they
have nothing in common. If a change is the sum of the task's part and of the run's own, which is independent and of
equal size in both runs, `shared` is the task's share of the squared change.

The squared distances are `visual_change` (unbiased, over pictures of different seeds, so that the noise that two
pictures share does not count), 1 - `correlation` and 1 - `weight_cosine` (each half of the squared distance; the half
cancels).
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from featurediff.statistics.empirical_null import FEW_CHANNELS
from featurediff.statistics.multiple_testing import RATE, bootstrap_interval, rank_agreement

__all__ = ["COLUMNS", "compare_runs", "shared_change"]

# name -> (unit, meaning)
COLUMNS: Mapping[str, tuple[str, str]] = {
    "network": ("", "the network whose change is in question"),
    "control": ("", "another run of it: the same training with another seed"),
    "layer": ("", "dotted name of the layer"),
    "measure": ("", "the column of the networks' rankings that is compared"),
    "channels": ("count", "channels whose measure is known in both runs"),
    "median_network": ("the measure's", "median over the channels, base against network"),
    "median_control": ("the measure's", "median over the channels, base against control"),
    "median_between": ("the measure's", "median over the channels, network against control"),
    "shared": ("cosine", "of the two runs' changes: 1 the same, 0 nothing in common; an estimate, may exceed 1"),
    "shared_low": ("cosine", "95 % interval of shared, bootstrap over channels, lower end"),
    "shared_high": ("cosine", "95 % interval of shared, bootstrap over channels, upper end"),
    "spearman": ("-1 to 1", "rank correlation of the measure in the two runs, across channels"),
    "spearman_low": ("-1 to 1", "95 % interval of spearman, bootstrap over channels, lower end"),
    "spearman_high": ("-1 to 1", "95 % interval of spearman, bootstrap over channels, upper end"),
    "changed_network": ("count", "channels that changed in the network, at a false discovery rate of 5 %"),
    "changed_control": ("count", "channels that changed in the control"),
    "changed_both": ("count", "channels that changed in both"),
    "share_both": ("0 to 1", "changed_both of those that changed in either (Jaccard); empty where none did"),
    "by_chance": ("count", "channels expected to change in both if the two runs were unrelated"),
    "reason": ("", "why numbers of this row are empty"),
}

# measure -> the column of its test
_MEASURES = {"visual_change": "q_visual", "excess": "q_excess", "correlation": None, "weight_cosine": None}

# measure -> the squared distance up to a factor; `excess`, a logarithm above the layer's drift, has none
_DISTANCES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "visual_change": lambda change: change,
    "correlation": lambda similarity: 1 - similarity,
    "weight_cosine": lambda similarity: 1 - similarity,
}


def compare_runs(
    ranking: pd.DataFrame, of_control: pd.DataFrame, between: pd.DataFrame, *, network: str, control: str, seed: int
) -> pd.DataFrame:
    """A row for each layer and measure, see `COLUMNS`.

    `ranking`, `of_control`: of `featurediff.comparison.compare.rank_layers`, for a network and another run of it.
    `between`: of `featurediff.comparison.compare.compare_networks`, for the one against the other. `seed`: of the
    bootstraps.
    """
    keys = ["layer", "channel"]
    table = ranking.merge(of_control, on=keys, suffixes=("", "_control"), validate="one_to_one")
    table = table.merge(between.add_suffix("_between").rename(columns={f"{key}_between": key for key in keys}), on=keys)
    rows = []
    for layer in dict.fromkeys(between["layer"]):
        part = table[table["layer"] == layer].sort_values("channel")
        for measure in _MEASURES:
            found = _row(part, measure, seed)
            rows.append({"network": network, "control": control, "layer": layer, "measure": measure} | found)
    counts = {name: "Int64" for name in COLUMNS if name.startswith("changed_")}
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(counts)


def shared_change(
    first: np.ndarray, second: np.ndarray, between: np.ndarray, *seed: str | int
) -> tuple[float, float, float]:
    """The cosine between the changes of two runs, and its bootstrap interval over channels.

    The arguments are squared distances, (K,) each: from the base to the one run, to the other, and from the one to the
    other. Channels with a NaN are left out. The result is NaN below `FEW_CHANNELS` channels, and if a run has no
    change. `seed`: parts of the generator's seed.
    """
    distances = np.stack([first, second, between])  # (3, K)
    distances = distances[:, np.isfinite(distances).all(0)]
    if distances.shape[1] < FEW_CHANNELS or np.isnan(value := float(_cosine(*distances))):
        return np.nan, np.nan, np.nan
    return value, *bootstrap_interval(_cosine, list(distances), "shared", *seed)


def _cosine(first: np.ndarray, second: np.ndarray, between: np.ndarray, axis: int = -1) -> np.ndarray:
    """From squared distances along an axis; NaN where a run has no change."""
    first, second, between = first.sum(axis), second.sum(axis), between.sum(axis)
    changed = (first > 0) & (second > 0)
    size = np.sqrt(np.where(changed, first * second, np.nan))
    return (first + second - between) / (2 * size)


def _row(part: pd.DataFrame, measure: str, seed: int) -> dict[str, object]:
    """The numbers of one layer and measure."""
    layer, in_control = str(part["layer"].iloc[0]), f"{measure}_control"
    row = rank_agreement(
        part[measure].to_numpy(float), part[in_control].to_numpy(float), seed, layer, measure, in_control
    )
    reasons = [f"spearman: {row['reason']}"] if row["reason"] else []
    row |= {"median_network": part[measure].median(), "median_control": part[in_control].median()}
    if measure in _DISTANCES:
        first, second, between = (
            _DISTANCES[measure](part[f"{measure}{end}"].to_numpy(float)) for end in ("", "_control", "_between")
        )
        shared = shared_change(first, second, between, seed, layer, measure)
        row |= dict(zip(("shared", "shared_low", "shared_high"), shared, strict=True))
        row["median_between"] = part[f"{measure}_between"].median()
        if np.isnan(shared[0]):
            reasons.append("shared: too few channels, or a run without change")
    if (test := _MEASURES[measure]) is not None:
        row |= _overlap(part[test], part[f"{test}_control"])
    return row | {"reason": "; ".join(reasons)}


def _overlap(q: pd.Series, q_control: pd.Series) -> dict[str, object]:
    """How many channels changed in one run, in the other, and in both; NaN counts as not changed."""
    known = q.notna() & q_control.notna()
    changed, in_control = q[known] <= RATE, q_control[known] <= RATE
    both, either = int((changed & in_control).sum()), int((changed | in_control).sum())
    return {
        "changed_network": int(changed.sum()),
        "changed_control": int(in_control.sum()),
        "changed_both": both,
        "share_both": both / either if either else np.nan,
        "by_chance": changed.sum() * in_control.sum() / known.sum() if known.any() else np.nan,
    }
