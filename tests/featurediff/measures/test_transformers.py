"""A vision transformer and a Swin through the whole chain: their channels are features of the patches' tokens."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from feature_vis.images.colors import normalize
from feature_vis.images.png import write_picture
from feature_vis.networks.activations import activations_of, patch_tokens
from feature_vis.networks.hooks import hooked
from feature_vis.networks.models import build, head_name, load_state, replace_head, weights_digest
from feature_vis.networks.structure import call_order, layer_shapes, picture_size
from feature_vis.objectives import Objectives
from feature_vis.recipe import Recipe
from feature_vis.render import render
from featurediff.measures.activation_statistics import Label
from featurediff.measures.channels import measure_channels
from featurediff.measures.distance import gram_matrix
from featurediff.measures.embedder import Embedder
from featurediff.measures.frozen_layers import frozen_layers, layers_before
from featurediff.measures.photo_responses import photo_responses
from featurediff.measures.receptive_fields import receptive_fields
from featurediff.measures.weight_change import weight_change
from featurediff.training.finetune import freeze_before

SIZE = (32, 32)


@dataclass(frozen=True)
class Case:
    """A network, its last block and the one before, and in it the projection that attention reads without calling it,
    and the last filter.
    """

    function: str
    block: str
    earlier: str
    projection: str
    last: str


VIT = "encoder.layers.encoder_layer_"
CASES = [
    Case("vit", f"{VIT}1", f"{VIT}0", f"{VIT}1.self_attention.out_proj", f"{VIT}1.mlp.3"),
    Case("swin", "features.3", "features.1", "features.3.1.attn.proj", "features.3.1.mlp.3"),
]


@pytest.fixture(params=CASES, ids=lambda case: case.function)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture
def base(case: Case, own: str) -> nn.Module:
    torch.manual_seed(0)
    return build(f"{own}:{case.function}")


@pytest.fixture
def tuned(case: Case, base: nn.Module, own: str) -> nn.Module:
    """All weights of the last block drifted."""
    torch.manual_seed(1)
    state = base.state_dict()
    inside = {key: value for key, value in state.items() if key.startswith(case.block) and value.is_floating_point()}
    moved = {key: value + 0.1 * torch.randn_like(value) for key, value in inside.items()}
    return load_state(f"{own}:{case.function}", {**state, **moved}, "tuned")


def tokens_by_hand(model: nn.Module, case: Case, pictures: Tensor) -> Tensor:
    """The block's features of the patches, (B, places, K), from the block itself."""
    kept: list[Tensor] = []
    with hooked(model, after={case.block: lambda _m, _i, output: kept.append(output)}), torch.no_grad():
        model(pictures)
    return kept[0][:, 1:] if case.function == "vit" else kept[0].flatten(1, 2)


def test_channels_are_means_over_the_patches_tokens(case: Case, base: nn.Module) -> None:
    pictures = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    shapes, problems = layer_shapes(base, [case.block], SIZE)
    assert problems == []
    shape, axis = shapes[case.block]
    assert shape[axis] == 16
    with activations_of(base, [case.block], axes={case.block: axis}) as activations, torch.no_grad():
        answer = activations(pictures)[case.block]
    assert answer.shape[:2] == (2, 16)
    expected = tokens_by_hand(base, case, pictures)
    torch.testing.assert_close(answer.flatten(2), expected.transpose(1, 2), rtol=0, atol=0)
    fields = receptive_fields(base, [case.block], SIZE)[case.block]
    assert fields.shape == (16, 16, 4)
    assert (fields == [0, 0, 32, 32]).all()


def test_the_network_is_followed_at_a_size_that_it_takes_and_what_attention_reads_counts(
    case: Case, base: nn.Module
) -> None:
    assert picture_size(base) == (32 if case.function == "vit" else 224)
    head = head_name(base)
    assert head == ("heads.head" if case.function == "vit" else "head")
    assert replace_head(base, 7, seed=0)(torch.zeros(1, 3, *SIZE)).shape == (1, 7)
    order = call_order(base, until=case.block)
    assert case.projection in order
    assert head not in order
    freeze_before(base, case.block)
    learning = {name for name, parameter in base.named_parameters() if parameter.requires_grad}
    inside = {name for name, _ in base.named_parameters() if name.startswith(f"{case.block}.")}
    assert {f"{case.projection}.weight"} < inside <= learning
    assert learning.isdisjoint(["conv_proj.weight", "features.0.0.weight"])
    assert layers_before(base, case.block, [case.earlier, case.block]) == [case.earlier]
    before, of_earlier = (weights_digest(base, layer) for layer in (case.block, case.earlier))
    with torch.no_grad():
        base.get_submodule(case.projection).weight += 1
    assert weights_digest(base, case.block) != before
    assert weights_digest(base, case.earlier) == of_earlier


def test_pictures_rise_and_are_compared(case: Case, base: nn.Module, tuned: nn.Module, tmp_path: Path) -> None:
    recipe = Recipe(size=32, steps=6, transforms="none")
    paths = tuple([str(tmp_path / name / f"channel{k}.png") for k in range(6)] for name in ("base", "tuned"))
    for files, model in zip(paths, (base, tuned), strict=True):
        unit = Objectives(model)
        for result in render([unit(case.block, channel) for channel in range(6)], recipe):
            assert result.activation_reached > result.activation_start
            write_picture(files[result.index], result.picture, {})
    for network, same in ((base, True), (tuned, False)):
        table = measure_channels(base, network, {case.block: paths}, None, None)
        assert np.isfinite(table["base_picture_in_tuned"]).all()
        assert table["frozen"].tolist() == [same] * 6
        assert ((table["picture_correlation"] == 1) == same).all()
        assert ((table["weight_change"] == 0) == same).all()
    table = weight_change(base, tuned, [case.block], size=SIZE)
    assert (table[["filters", "reason"]] == [case.last, ""]).all(axis=None)
    norm = weight_change(base, tuned, ["encoder.ln" if case.function == "vit" else "norm"], size=SIZE)
    assert norm[["weight_change", "weight_cosine"]].isna().all(axis=None)
    assert (norm["reason"] == "several filters mix into it").all()
    assert frozen_layers(base, tuned, [case.earlier, case.block]) == [case.earlier]


def test_photographs_probe_it(case: Case, base: nn.Module, tuned: nn.Module) -> None:
    pictures = torch.rand(12, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    found = photo_responses(base, tuned, [case.block], [(pictures, [Label("photographs", "")] * 12)], top=3)
    means = [tokens_by_hand(model, case, pictures).double().mean(1).numpy() for model in (base, tuned)]  # (B, K)
    expected = [np.corrcoef(means[0][:, channel], means[1][:, channel])[0, 1] for channel in range(16)]
    np.testing.assert_allclose(found.channels["correlation"], expected, atol=1e-5)
    assert (found.top_images[["left", "top", "right", "bottom"]].to_numpy(int) == [0, 0, 32, 32]).all()
    assert (found.selectivity["reason"].str.contains("one class only")).all()


def test_it_can_embed_pictures(case: Case, base: nn.Module) -> None:
    embedder = Embedder(base)
    pictures = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    embeddings, grams = embedder(pictures)
    assert embeddings.shape == (2, 16)
    if case.function == "swin":
        assert "features.3.1" in embedder.blocks
        tokens = tokens_by_hand(base, case, normalize(pictures))  # (B, places, K)
        expected = gram_matrix(tokens.transpose(1, 2).unflatten(2, (4, 4)))
        torch.testing.assert_close(grams["features.3.1"], expected)


@pytest.mark.parametrize(
    ("count", "size", "left"),
    # no, 1, 2 tokens before; and four registers; 8 × 4 patches; 81 and 9 more: no such tokens are known
    [*((196 + more, (224, 224), 196) for more in (0, 1, 2, 5)), (33, (64, 32), 32), (90, (32, 32), 90)],
)
def test_tokens_before_the_patches_are_left_out(count: int, size: tuple[int, int], left: int) -> None:
    tokens = torch.arange(count).view(1, count, 1)
    assert patch_tokens(tokens, size).flatten().tolist() == list(range(count - left, count))
