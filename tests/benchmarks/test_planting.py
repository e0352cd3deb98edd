"""Planted changes: filters are exactly what was asked for, and the drift is of the size that was asked for."""

import numpy as np
import pytest
import torch
from planting import KINDS, UNCHANGED, Change, area_under_curve, draw_changes, drifted, planted
from scipy import stats
from torch import nn

from feature_vis.errors import InputError
from feature_vis.networks.models import build, state_digest
from featurediff.measures.weight_change import effective_filters, find_filter_sources


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """A network that nobody trained, its batch norms neither neutral nor all positive."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build("resnet18", classes=4)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.data.normal_(1, 0.5)
                module.bias.data.normal_(0, 0.5)
                module.running_mean.normal_(0, 0.5)
                module.running_var.uniform_(0.5, 2)
        return model


@pytest.mark.parametrize("layer", ["layer4.1", "layer4.0"], ids=["one source", "branch and shortcut"])
def test_mixed_is_what_the_channel_adds_up(network: nn.Module, layer: str) -> None:
    changes = [Change(3, "replaced", 7), Change(5, "half", 3), Change(8, "quarter", 9), Change(11, "flipped", 0)]
    changes.append(Change(12, UNCHANGED, 1))
    digest = state_digest(network.state_dict())
    other = planted(network, layer, changes)
    assert state_digest(network.state_dict()) == digest
    sources, _ = find_filter_sources(network, layer, 1, (64, 64))
    assert len(sources) == (1 if layer == "layer4.1" else 2)
    for source in sources:
        (weight, bias), (found, found_bias) = (effective_filters(model, source) for model in (network, other))
        assert torch.equal(found[12:], weight[12:])
        assert torch.equal(found_bias[12:], bias[12:])
        for change in changes[:3]:
            share = KINDS[change.kind]
            for after, before in ((found, weight), (found_bias, bias)):
                mixed = (1 - share) * before[change.channel] + share * before[change.other]
                torch.testing.assert_close(after[change.channel], mixed, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(found[11], -weight[11], rtol=1e-5, atol=1e-6)
        shift = network.get_submodule(source.norm).bias[11].double()
        torch.testing.assert_close(found_bias[11] - shift, -(bias[11] - shift), rtol=1e-5, atol=1e-6)


def test_layers_without_batch_norm_have_their_bias_mixed() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    other = planted(model, "0", [Change(0, "quarter", 2), Change(1, "flipped", 0)], size=(16, 16))
    for found, before in ((other[0].weight, model[0].weight), (other[0].bias, model[0].bias)):
        torch.testing.assert_close(found[0], 0.75 * before[0] + 0.25 * before[2])
    torch.testing.assert_close(other[0].weight[1], -model[0].weight[1])
    assert torch.equal(other[0].bias[1:], model[0].bias[1:])
    for words, layer, change in (
        ("4 channels", "0", Change(0, "half", 4)),
        ("not Change", "0", Change(0, "doubled", 1)),
        ("'7'", "7", Change(0, "half", 1)),
    ):
        with pytest.raises(InputError, match=words):
            planted(model, layer, [change], size=(16, 16))


def test_drift_has_its_size_and_stays_where_training_is(network: nn.Module) -> None:
    with pytest.raises(InputError, match="train_from"):
        drifted(network, "layer4.7", 0.1, 0)
    digest = state_digest(network.state_dict())
    other = drifted(network, "layer3.1", 0.2, 0)
    assert state_digest(network.state_dict()) == digest
    for (name, before), after in zip(network.state_dict().items(), other.state_dict().values(), strict=True):
        learned = name.startswith(("layer3.1", "layer4", "fc")) and name.endswith(("weight", "bias"))
        if not learned:
            assert torch.equal(before, after), name
        elif before.numel() > 1000:
            assert float((after - before).std() / before.std()) == pytest.approx(0.2, rel=0.05), name
        else:
            assert not torch.equal(before, after), name
    same, another = drifted(network, "layer3.1", 0.2, 0), drifted(network, "layer3.1", 0.2, 1)
    assert state_digest(same.state_dict()) == state_digest(other.state_dict()) != state_digest(another.state_dict())


def test_a_filter_that_is_not_planted_drifts_as_it_would_alone(network: nn.Module) -> None:
    alone = drifted(network, "layer4", 0.1, 0).layer4[1].conv2.weight
    beside = drifted(planted(network, "layer4.1", [Change(0, "quarter", 1)]), "layer4", 0.1, 0).layer4[1].conv2.weight
    assert torch.allclose(alone[1:], beside[1:], rtol=0, atol=1e-4)
    assert not torch.allclose(alone[0], beside[0], rtol=0, atol=1e-4)


def test_changes_are_drawn_without_repetition() -> None:
    changes = draw_changes(64, 6, 20, 0)
    channels = [change.channel for change in changes]
    kinds = [change.kind for change in changes]
    assert channels == sorted(set(channels))
    assert {kind: kinds.count(kind) for kind in kinds} == {**dict.fromkeys(KINDS, 6), UNCHANGED: 20}
    assert all(change.other != change.channel and 0 <= change.other < 64 for change in changes)
    assert changes == draw_changes(64, 6, 20, 0) != draw_changes(64, 6, 20, 1)
    with pytest.raises(InputError, match="44 channels cannot be drawn from a layer of 40"):
        draw_changes(40, 6, 20, 0)


def test_area_under_curve_counts_pairs_and_ties_half() -> None:
    rng = np.random.default_rng(0)
    values, changed = rng.integers(0, 9, 60).astype(float), rng.random(60) < 0.3  # with ties
    above = np.sign(values[changed][:, None] - values[~changed]) / 2 + 0.5
    assert area_under_curve(values, changed)[0] == pytest.approx(above.mean())
    assert area_under_curve(np.array([3.0, 2, 1]), np.array([True, False, False])) == (1, 0)
    assert area_under_curve(np.array([np.nan, 2, 1]), np.array([True, False, False]))[0] == 0
    assert np.isnan(area_under_curve(values, np.zeros(60, bool))).all()
    changed = np.arange(80) < 20
    found = np.array([area_under_curve(rng.normal(size=80) + changed, changed) for _ in range(300)])
    assert found[:, 0].mean() == pytest.approx(stats.norm.cdf(np.sqrt(0.5)), abs=0.02)
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(), rel=0.15), "the error is the spread"
