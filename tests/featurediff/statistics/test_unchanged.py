"""What a frozen layer must come out as, and what is said where it does not."""

import numpy as np
import pandas as pd
import pytest

from feature_vis.errors import InputError
from featurediff.statistics.unchanged import FrozenLayerChanged, check_frozen


def test_every_deviation_is_listed_with_its_size() -> None:
    table = pd.DataFrame({"layer": ["one"] * 3 + ["two"], "channel": [5, 6, 7, 0]}, index=[0, 0, 0, 0])
    table["cosine"], table["correlation"] = [1, 1 - 2**-50, np.nan, 0.5], [1 - 1e-7, 0.75, 0.5, 0.1]
    table = table.assign(network="dogs")
    with pytest.raises(FrozenLayerChanged) as raised:
        check_frozen([table], {"dogs": ["one"]})
    assert str(raised.value).splitlines()[1:] == [
        "  dogs, one: cosine must be 1; it differs in 1 of the channels (6), most in 6, by 8.88e-16",
        "  dogs, one: correlation must be 1; it differs in 2 of the channels (6, 7), most in 7, by 0.5",
    ]
    assert check_frozen([table], {"dogs": ["one"]}, {"cosine": (1.0, 1e-9)}) == 2
    assert check_frozen([table], {"cars": ["one"]}) == 0
    with pytest.raises(InputError, match="no column network"):
        check_frozen([pd.DataFrame({"layer": [], "channel": []})], {"dogs": ["one"]})
