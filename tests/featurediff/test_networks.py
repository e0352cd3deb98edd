"""Networks on disk."""

from pathlib import Path

import pytest
import torch

from feature_vis.errors import InputError
from feature_vis.networks.models import build
from featurediff.networks import Network, load_network, load_weights, network_of_checkpoint, read_digest, save_network


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network("resnet18", build("resnet18", classes=3).state_dict(), ["a", "b", "c"], 4)


def test_round_trip(network: Network, tmp_path: Path) -> None:
    save_network(tmp_path / "n.pth", network)
    loaded = load_network(tmp_path / "n.pth")
    assert (loaded.architecture, loaded.class_names, loaded.epoch) == ("resnet18", ["a", "b", "c"], 4)
    assert loaded.digest() == network.digest()
    assert loaded.module().fc.out_features == 3


@pytest.mark.parametrize("wrap", [None, "model", "state_dict"])
def test_weights_from_a_file_plain_or_in_a_checkpoint(wrap: str | None, network: Network, tmp_path: Path) -> None:
    torch.save(network.state if wrap is None else {wrap: network.state, "epoch": 1}, tmp_path / "w.pth")
    assert load_weights("resnet18", str(tmp_path / "w.pth")).digest() == network.digest()


def test_a_file_that_is_no_network_of_ours(network: Network, tmp_path: Path) -> None:
    torch.save(network.state, tmp_path / "n.pth")
    with pytest.raises(InputError, match=r"n\.pth"):
        load_network(tmp_path / "n.pth")


def test_unknown_weights_name_the_known_ones() -> None:
    with pytest.raises(InputError, match="IMAGENET1K_V1"):
        load_weights("resnet18", "IMAGENET1K_V7")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.pth"):
        load_weights("resnet18", str(tmp_path / "nowhere.pth"))


def test_a_network_of_ours_that_is_cut_off_is_to_be_deleted(network: Network, tmp_path: Path) -> None:
    save_network(tmp_path / "n.pth", network)
    data = (tmp_path / "n.pth").read_bytes()
    (tmp_path / "n.pth").write_bytes(data[:-100])
    for read in (load_network, lambda path: network_of_checkpoint(path, "resnet18")):
        with pytest.raises(InputError, match=r"n\.pth.*delete it and run again"):
            read(tmp_path / "n.pth")


@pytest.mark.parametrize("content", [None, b"", b"12ab\n", b"g" * 64, b"\0" * 65])
def test_what_is_no_digest(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "n.sha256").write_bytes(content)
    with pytest.raises(InputError, match=r"n\.sha256.*delete it and run again"):
        read_digest(tmp_path / "n.sha256")


def test_a_digest(network: Network, tmp_path: Path) -> None:
    (tmp_path / "n.sha256").write_text(network.digest() + "\n")
    assert read_digest(tmp_path / "n.sha256") == network.digest()
