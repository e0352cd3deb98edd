"""All pictures shown to both networks: against SciPy, and where no number can be had."""

import copy

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from feature_vis.errors import InputError
from feature_vis.images.colors import IMAGENET_MEAN, IMAGENET_STD
from featurediff.measures import picture_responses as module
from featurediff.measures.picture_responses import COLUMNS, compare_activations, picture_activations, picture_responses

CHANNELS = 14


@pytest.fixture(scope="module")
def base() -> nn.Module:
    """Channels that are linear in a picture's mean colour and, through a ReLU, mostly off."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, CHANNELS, 1), nn.ReLU(), nn.Conv2d(CHANNELS, 4, 1))
        model[0].bias.data.fill_(-3)
        return nn.Sequential(nn.Sequential(model[0], model[1]), model[2])


@pytest.fixture(scope="module")
def tuned(base: nn.Module) -> nn.Module:
    other = copy.deepcopy(base)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        other[0][0].weight += 0.1 * torch.randn(other[0][0].weight.shape)
        other[0][0].weight[5] = -base[0][0].weight[5]
    return other


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    bright = np.random.default_rng(0).integers(0, 255, (40, 6, 5, 3), dtype=np.uint8)
    return bright // np.arange(1, 41, dtype=np.uint8)[:, None, None, None]


def test_it_is_the_rank_correlation_before_the_relu(base, tuned, pictures) -> None:
    channels = [5, 0, 3, 13, 1, 2, 4, 6, 7, 8, 9]
    table = picture_responses(base, tuned, "0", channels, pictures)
    shown = (pictures / 255 - IMAGENET_MEAN) / IMAGENET_STD
    answers = []
    for network in (base, tuned):
        weight, bias = (tensor.detach().numpy().astype(float) for tensor in network[0][0].parameters())
        answers.append((shown @ weight[:, :, 0, 0].T + bias).mean((1, 2)))  # (N, K)
    expected = [stats.spearmanr(answers[0][:, k], answers[1][:, k]).statistic for k in channels]
    assert list(table.columns) == list(COLUMNS)
    assert table["channel"].tolist() == channels
    assert table["picture_correlation"].to_numpy() == pytest.approx(expected, abs=1e-5)
    assert table.loc[0, "picture_correlation"] == pytest.approx(-1, abs=0.01)
    assert (table["pictures"] == 40).all()
    assert table["response_excess"].idxmax() == 0 == table["p_response"].idxmin()
    assert (table["reason"] == "").all()
    logs = np.log(1 - table["picture_correlation"].to_numpy())
    below = np.median(logs) - logs[logs < np.median(logs)]
    assert table["response_excess"].to_numpy() == pytest.approx((logs - np.median(logs)) / (1.4826 * np.median(below)))


def test_batches_and_order_decide_nothing(base, tuned, pictures, monkeypatch) -> None:
    whole = picture_responses(base, tuned, "0", range(CHANNELS), pictures)["picture_correlation"]
    monkeypatch.setattr(module, "_BATCH", 7)
    backwards = picture_activations(base, tuned, "0", range(CHANNELS), iter(pictures[::-1]))  # (2, 40, K)
    parts = compare_activations("0", range(CHANNELS), backwards)["picture_correlation"]
    assert parts.to_numpy() == pytest.approx(whole.to_numpy(), abs=1e-5)
    sizes = [*pictures[:20, :4], *pictures[20:]]  # pictures of two sizes
    assert picture_responses(base, tuned, "0", range(CHANNELS), sizes)["picture_correlation"].notna().all()


def test_where_no_number_can_be_had_there_is_a_reason(base, tuned, pictures) -> None:
    two_channels = "response_excess: 2 channels of the layer can be compared, 10 are needed"
    for count, reason in ((9, "9 pictures of the layer, 10 are needed"), (40, two_channels)):
        few = picture_responses(base, tuned, "0", [0, 1], pictures[:count])
        assert few["picture_correlation"].isna().tolist() == [count < 10] * 2
        assert set(few["reason"]) == {reason}
    broken = copy.deepcopy(tuned)
    with torch.no_grad():
        broken[0][0].weight[2], broken[0][0].weight[4] = 0, torch.nan
    table = picture_responses(base, broken, "0", range(CHANNELS), pictures)
    assert table.loc[[2, 4], ["picture_correlation", "response_excess", "p_response"]].isna().all(axis=None)
    assert table["reason"][[2, 4]].tolist() == ["the activation is the same for all pictures", "activation not finite"]
    assert table.drop(index=[2, 4])["response_excess"].notna().all()
    same = picture_responses(base, copy.deepcopy(base), "0", range(CHANNELS), pictures)
    assert (same[["picture_correlation", "p_response"]] == 1).all(axis=None)
    assert same["response_excess"].isna().all()
    assert set(same["reason"]) == {"response_excess: exactly unchanged"}


def test_bad_input_is_refused(base, tuned, pictures) -> None:
    for words, layer, channel, shown in [
        (r"14 channels, 0 to 13, not \[14\]", "0", 14, pictures),
        ("there is no layer", "9", 0, pictures),
        ("uint8", "0", 0, pictures / 255),
    ]:
        with pytest.raises(InputError, match=words):
            picture_responses(base, tuned, layer, [channel], shown)
    with pytest.raises(InputError, match="differs between base and tuned"):
        picture_responses(base, nn.Sequential(nn.Conv2d(3, 5, 1)), "0", [0], pictures)
