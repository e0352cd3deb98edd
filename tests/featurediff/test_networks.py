"""Networks on disk."""

from pathlib import Path

import pytest
import torch

from feature_vis.errors import InputError
from feature_vis.networks.models import build
from featurediff.networks import Network, load_network, network_of_checkpoint, read_digest, save_network


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
    (tmp_path / "n.sha256").write_text(network.digest() + "\n")
    assert read_digest(tmp_path / "n.sha256") == network.digest()


def test_a_file_that_is_no_network_of_ours_or_is_cut_off_is_named(network: Network, tmp_path: Path) -> None:
    torch.save(network.state, tmp_path / "n.pth")
    with pytest.raises(InputError, match=r"n\.pth"):
        load_network(tmp_path / "n.pth")
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
