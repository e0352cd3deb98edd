"""Whether two renderings of one picture agree.

On the CPU that is: to the byte. A GPU's kernels depend on the batch, and some add up in no order, so there the first
steps and what was reached are close.
"""

import os

import numpy as np

from feature_vis.render import Rendered

ON_GPU = os.environ.get("FEATUREDIFF_TEST_DEVICE", "cpu") != "cpu"


def alike(one: Rendered, other: Rendered) -> bool:
    if ON_GPU:
        steps = [len(it.trajectory) for it in (one, other)]
        numbers = [[it.activation_start, *it.trajectory[:2], it.activation_reached] for it in (one, other)]
        return steps[0] == steps[1] and one.stopped == other.stopped and np.allclose(*numbers, rtol=0.25, atol=0.01)
    arrays = [(one.picture, other.picture), (one.trajectory, other.trajectory)]
    rest = [(it.stopped, it.activation_start, it.activation_reached) for it in (one, other)]
    return all(np.array_equal(*pair) for pair in arrays) and rest[0] == rest[1]
