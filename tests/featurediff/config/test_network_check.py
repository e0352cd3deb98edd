"""Questions about networks, answered without their weights."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from places import REPOSITORY

from feature_vis.networks.models import build
from featurediff.config.network_check import answer

LIB = REPOSITORY / "lib"
PLAIN = {"shape": [32, 32], "transforms": "small"}


def of_resnet(networks: dict | None = None, **asked) -> dict:
    question = {"source": "", "weights": [], "layers": {}, "trainings": []} | asked
    return answer({"gpu": False, "architectures": {"resnet18": question}}, networks)["architectures"]["resnet18"]


def test_layers_and_their_channels() -> None:
    found = of_resnet(layers={"layer3.1": [PLAIN], "layer4.1": [PLAIN], "layer4.7": [PLAIN]})
    assert found["counts"] == {"layer3.1": 256, "layer4.1": 512}
    assert found["layers"]["layer3.1"] == []
    assert "there is no layer 'layer4.7'; close names: layer4.1" in found["layers"]["layer4.7"][0]
    assert found["unknown"] == ""


def test_pictures_too_small_for_a_layer() -> None:
    question = {
        "source": "",
        "weights": [],
        "layers": {"features.28": [{"shape": [16, 16], "transforms": "none"}]},
        "trainings": [],
    }
    asked = {"vgg11": {**question, "layers": {"classifier.0": [], "features.20": question["layers"]["features.28"]}}}
    found = answer({"gpu": False, "architectures": asked})["architectures"]["vgg11"]
    (problem,) = found["layers"]["features.20"]
    assert "a picture of 16 × 16 px is too small for it, the least is 32 px" in problem


def test_what_the_transforms_leave_must_be_large_enough() -> None:
    trimmed = {"shape": [48, 48], "transforms": {"trim": 24}}
    assert "nothing is left" in of_resnet(layers={"layer4.1": [trimmed]})["layers"]["layer4.1"][0]
    unknown = {"shape": [48, 48], "transforms": {"trimm": 24}}
    assert "transforms have no trimm" in of_resnet(layers={"layer4.1": [PLAIN, unknown]})["layers"]["layer4.1"][0]


def test_trainings_in_the_order_of_the_question() -> None:
    trainings = [{"train_from": "layer9", "size": 32}, {"train_from": None, "size": 64}]
    (module, sizes), sound = of_resnet(trainings=trainings)["trainings"]
    assert "no module 'layer9'; close names: layer4" in module
    assert sizes == []
    assert list(sound) == ["", []]


def test_names_of_weights_and_of_architectures() -> None:
    found = of_resnet(weights=["IMAGENET1K_V1", "IMAGENET1K_V9"])
    assert list(found["weights"]) == ["IMAGENET1K_V9"]
    asked = {"resnt18": {"source": "", "weights": ["IMAGENET1K_V1"], "layers": {"fc": [PLAIN]}, "trainings": []}}
    found = answer({"gpu": False, "architectures": asked})["architectures"]["resnt18"]
    assert "close names: resnet18" in found["unknown"]


def test_networks_that_are_there_are_used_and_new_ones_kept() -> None:
    networks = {"resnet18": build("resnet18", classes=7)}
    assert of_resnet(networks, layers={"fc": [PLAIN]})["counts"] == {"fc": 7}
    answer(
        {"gpu": False, "architectures": {"vgg11": {"source": "", "weights": [], "layers": {}, "trainings": []}}},
        networks,
    )
    assert set(networks) == {"resnet18", "vgg11"}


@pytest.mark.parametrize("there", [True, False])
def test_a_gpu_is_looked_for_where_one_is_asked_for(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert ("sees none" in answer({"gpu": True, "architectures": {}})["no_gpu"]) is not there
    assert answer({"gpu": False, "architectures": {}})["no_gpu"] == ""


def test_without_torch_nobody_answers(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError")
    done = subprocess.run(
        [sys.executable, "-m", "featurediff.config.network_check"],
        input=json.dumps({"gpu": False, "architectures": {}}),
        env={"PYTHONPATH": f"{tmp_path}:{LIB}"},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 4, done.stderr
