"""A layer's pictures in two networks, from the tables that list them."""

import pandas as pd

from featurediff.rendering.paths import picture_paths
from featurediff.rendering.picture_pairs import PicturePairs, listed_pairs
from featurediff.runtime.tables import write_table


def test_the_pictures_of_two_networks_are_paired_by_layer_with_those_that_failed(tmp_path) -> None:
    tables = {name: [tmp_path / name / f"{layer}.csv" for layer in ("a", "b")] for name in ("base", "dogs")}
    for table in (path for paths in tables.values() for path in paths):
        write_table(pd.DataFrame({"channel": [3, 3, 7], "seed": [0, 1, 0]}), table)
    rows = [("base", "a", 3, 1), ("dogs", "b", 7, 0), ("cars", "a", 7, 0)]
    failed = pd.DataFrame(rows, columns=["network", "layer", "channel", "seed"])
    pairs = listed_pairs(["a", "b"], *tables.values(), failed, ("base", "dogs"))
    expected = [str(tmp_path / "dogs" / "b" / name) for name in ("channel3.png", "seed1/channel3.png", "channel7.png")]
    assert pairs["b"].tuned == expected
    assert pairs["b"].first_seeds[1] == [expected[0], expected[2]]
    assert pairs["b"].first_seeds[0] == picture_paths(tmp_path / "base" / "b", [3, 7], [0])
    found = [(pairs[layer].failed_base, pairs[layer].failed_tuned) for layer in "ab"]
    assert found == [({(3, 1)}, set()), (set(), {(7, 0)})]
    without = listed_pairs(["a"], tables["base"][:1], tables["dogs"][:1])
    assert without["a"] == PicturePairs(pairs["a"].base, pairs["a"].tuned)
