"""How much of a change is the task, how much the run? A second training with another seed tells.

Two networks are trained from one base on one data set, with other seeds. What the task asks for changes in both alike;
what the order of the pictures and their augmentation happened to do does not. For a channel there are three vectors:
base b, run t and control c (mean embeddings of its pictures; standardised activations on the probe images; unit
filters). From their squared distances, |t - b|², |c - b|² and |t - c|², follows the product of the two changes,

    (t - b) · (c - b) = (|t - b|² + |c - b|² - |t - c|²) / 2,

and `shared` is that, summed over the channels, over the root of the product of the summed |t - b|² and |c - b|²: the
cosine between the two runs' changes. 1: both runs changed the layer alike; 0: they have nothing in common. Where a
change is the task's part plus a run's own, of equal size in both and independent, it is the task's share of the squared
change.

Squared distances are `visual_change` (unbiased, over different seeds' pictures: the noise that two pictures share does
not count), 1 - `correlation` and 1 - `weight_cosine` (half of the squared distance each; the half cancels).
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from feature_vis.seeding import derive_seed
from featurediff.statistics.multiple_testing import FEW_CHANNELS, agreement

__all__ = ["COLUMNS", "compare_runs", "shared_change"]

# name -> (unit, meaning)
COLUMNS: Mapping[str, tuple[str, str]] = {
    "network": ("", "the network whose change is in question"),
    "control": ("", "another run of it: the same training with another seed"),
    "layer": ("", "dotted name of the layer"),
    "measure": ("", "the column of the networks' rankings that is compared"),
    "channels": ("count", "channels of which the measure is known in both runs"),
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
    "by_chance": ("count", "channels that would have changed in both, were the two runs unrelated"),
    "reason": ("", "why numbers of this row are empty"),
}

# measure -> the column of its test
_MEASURES = {"visual_change": "q_visual", "excess": "q_excess", "correlation": None, "weight_cosine": None}

# measure -> the squared distance, up to a factor; `excess` is a logarithm against the layer's drift, and has none
_DISTANCES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "visual_change": lambda change: change,
    "correlation": lambda similarity: 1 - similarity,
    "weight_cosine": lambda similarity: 1 - similarity,
}

_RATE = 0.05


def compare_runs(
    ranking: pd.DataFrame, of_control: pd.DataFrame, between: pd.DataFrame, *, network: str, control: str, seed: int
) -> pd.DataFrame:
    """A row a layer and measure, see `COLUMNS`.

    `ranking`, `of_control`: of `featurediff.comparison.compare.rank_layers`, of a network and another run of it.
    `between`: of `featurediff.comparison.compare.compare_networks`, the one against the other. `seed`: of the
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
    first: np.ndarray, second: np.ndarray, between: np.ndarray, *seed: str | int, level: float = 0.95, draws: int = 2000
) -> tuple[float, float, float]:
    """The cosine between two runs' changes, and its interval from a bootstrap over channels (percentiles).

    From squared distances, (K,) each: base to the one, base to the other, the one to the other. Channels with a NaN
    are left out. NaN below `FEW_CHANNELS` channels, and where a run has no change. `seed`: parts of the generator's.
    """
    distances = np.stack([first, second, between])  # (3, K)
    distances = distances[:, np.isfinite(distances).all(0)]
    if distances.shape[1] < FEW_CHANNELS:
        return np.nan, np.nan, np.nan
    rng = np.random.default_rng(derive_seed("shared", *seed))
    drawn = rng.integers(distances.shape[1], size=(draws, distances.shape[1]))  # (draws, K)
    value = float(_cosine(distances.sum(1)))
    values = _cosine(distances[:, drawn].sum(2))
    if np.isnan(value) or np.isnan(values).all():
        return np.nan, np.nan, np.nan
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return value, float(low), float(high)


def _cosine(sums: np.ndarray) -> np.ndarray:
    """(3, …) -> (…); NaN where a run has no change."""
    first, second, between = sums
    changed = (first > 0) & (second > 0)
    size = np.sqrt(np.where(changed, first * second, np.nan))
    return (first + second - between) / (2 * size)


def _row(part: pd.DataFrame, measure: str, seed: int) -> dict[str, object]:
    """What is said of one layer and measure."""
    layer = str(part["layer"].iloc[0])
    ranks = agreement(part, measure, f"{measure}_control", seed=seed, by=["layer"]).iloc[0]
    row: dict[str, object] = {name: ranks[name] for name in ranks.index if name in COLUMNS}
    reasons = [f"spearman: {ranks['reason']}"] if ranks["reason"] else []
    row |= {"median_network": part[measure].median(), "median_control": part[f"{measure}_control"].median()}
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
    """How many channels changed in one run, in the other, and in both; NaN is not changed."""
    known = q.notna() & q_control.notna()
    changed, in_control = q[known] <= _RATE, q_control[known] <= _RATE
    both, either = int((changed & in_control).sum()), int((changed | in_control).sum())
    return {
        "changed_network": int(changed.sum()),
        "changed_control": int(in_control.sum()),
        "changed_both": both,
        "share_both": both / either if either else np.nan,
        "by_chance": changed.sum() * in_control.sum() / known.sum() if known.any() else np.nan,
    }
