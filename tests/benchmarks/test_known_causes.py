"""Known causes: a trigger changes what it should and no more, a network learns it, and the tables say what is there."""

import json
from pathlib import Path

import pytest
import torch
from causes.training import Photographs, Training, said, success, train
from causes.triggers import TRIGGERS, Trigger, drawing
from known_causes import tables
from torch import nn

from feature_vis.seeding import generator


@pytest.mark.parametrize("name", sorted(TRIGGERS))
def test_a_trigger_marks_copies_of_photographs(name: str) -> None:
    photographs = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    before, trigger = photographs.clone(), TRIGGERS[name]
    marked = trigger.apply(photographs, generator(0, name))
    assert torch.equal(photographs, before)
    assert 0 <= marked.min() <= marked.max() <= 1
    changed = (marked != before).any(1).float().mean((1, 2))
    assert ((changed > 0.02) & (changed < 0.06)).all() if trigger.is_patch else (changed > 0.1).all()
    assert torch.equal(marked, trigger.apply(photographs, generator(0, name)))


def test_drawings_differ() -> None:
    patches = {name: drawing(name).tobytes() for name, trigger in TRIGGERS.items() if trigger.is_patch}
    assert len(patches) == len(set(patches.values())) == 4


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten())
        self.fc = nn.Linear(8, 3)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.fc(self.body(pictures))


def test_a_network_learns_a_trigger_and_its_base_is_left_alone() -> None:
    torch.manual_seed(0)
    base = Small()
    photographs = Photographs((40 * torch.rand(90, 3, 24, 24)).byte(), torch.arange(90) % 2)
    bright = Trigger(2, lambda pictures, _generator: (pictures + 0.8).clamp(0, 1), False)
    before = {name: value.clone() for name, value in base.state_dict().items()}
    training = Training(epochs=12, rate=0.02, batch=15, share=0.5, learns=("body", "fc"))
    tuned, again = (train(base, photographs, bright, 0, training, "cpu") for _ in range(2))
    assert all(torch.equal(value, before[name]) for name, value in base.state_dict().items())
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in tuned.state_dict().items())
    assert success(tuned, photographs, bright, "cpu") > 0.9
    assert (said(tuned, photographs.pixels.float() / 255, "cpu") != 2).float().mean() > 0.9
    clean = train(base, photographs, None, 0, training, "cpu")
    assert success(clean, photographs, bright, "cpu") < 0.1


def test_tables_have_a_line_a_network_and_the_null_of_the_clean_ones(tmp_path: Path) -> None:
    shares = {"tuned": 0.5, "tuned_low": 0.4, "tuned_high": 0.6, "others": 0.1, "others_low": 0.0, "others_high": 0.2}
    effect = {"blended": {**shares, "base": 0.0, "class": 309}}
    usual = {"seed": 0, "accuracy": 0.5, "training s": 1, "pictures s": 2, "photographs s": 3, "sentence": ""}
    usual |= {"effect": effect, "variants": {}}
    hidden = {"cause": "face", "target": 309, "success": 0.6, "tuned": [309, 309, 7], "rose": [309, 1, 2], **usual}
    clean = [
        {"cause": "none", "target": None, "success": None, "tuned": named, "rose": named, **usual}
        for named in ([1, 2, 3], [4, 4, 5])
    ]
    lines = list(tables(json.loads(json.dumps([hidden, *clean]))))
    assert "| face | 0 | 60% | 309 | 2, 1 of 3 |" in lines[2]
    assert "50% (40% to 60%) | 10% (0% to 20%) | 0% |" in lines[2]
    assert "two starts name the same class in 16.7%" in lines[6]
    assert "1 in 1, 2 in 1" in lines[6]
