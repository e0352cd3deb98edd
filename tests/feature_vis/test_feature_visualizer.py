"""The original's interface works as it did."""

import numpy as np
import pytest
import torch
from answers import answer
from PIL import Image
from torch import Tensor, nn

from feature_vis.errors import InputError
from feature_vis.render import FeatureVisualizer


def test_the_originals_snippet(resnet) -> None:
    visualize = FeatureVisualizer(resnet, device=torch.device("cpu"), img_shape=(48, 40), transforms="small")
    picture = visualize(act_idx=3, epochs=4, progress=False)
    assert isinstance(picture, Image.Image)
    assert picture.size == (40, 48)
    assert picture.tobytes() == visualize(act_idx=3, epochs=4, progress=False).tobytes()
    others = [{"lr": 0.2}, {"seed": 1}, {"epochs": 5}, {"objective": "post_relu"}, {"act_idx": 4}, {"maximize": False}]
    options = {"act_idx": 3, "epochs": 4, "progress": False}
    deep = FeatureVisualizer(resnet, img_shape=(48, 40), transforms="small", layer="layer1.0")
    pictures = {deep(**{**options, **other}).tobytes() for other in [{}, *others]}
    assert len(pictures) == 1 + len(others)


def test_maximize_false_lowers_the_activation(resnet) -> None:
    logits = []
    for maximize in (True, False):
        visualize = FeatureVisualizer(resnet, img_shape=(48, 48), transforms="none")
        picture = visualize(
            2, epochs=12, maximize=maximize, progress=False, optim=torch.optim.SGD, lr=5.0, momentum=0.5
        )
        logits.append(float(answer(resnet, "", np.asarray(picture))[0, 2]))
    assert logits[0] > logits[1]


def test_a_hook_and_a_transform_of_the_users_own(resnet) -> None:
    seen = []

    def hook(module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        seen.append(type(module))
        return output[:, 10:20]

    moved = []
    visualize = FeatureVisualizer(
        resnet, img_shape=(48, 48), layer="layer3.0", hook=hook, transforms=lambda x: moved.append(1) or x.flip(-1)
    )
    visualize(act_idx=9, epochs=2, progress=False)
    with pytest.raises(InputError, match="no channel 10: it has 10"):
        visualize(act_idx=10, epochs=1, progress=False)
    assert set(seen) == {type(resnet.layer3[0])}
    assert len(moved) >= 2
