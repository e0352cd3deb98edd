"""Embeddings in files."""

import numpy as np
import pytest
from written_pictures import write

from feature_vis.errors import InputError
from featurediff.measures.embedder import embed_pictures
from featurediff.measures.embeddings import load_embeddings, save_embeddings, without_failed


def test_embeddings_stand_by_channel_and_seed(embedder, tmp_path) -> None:
    paths = write(tmp_path, np.random.default_rng(0))
    save_embeddings(tmp_path / "a.npz", *embed_pictures(embedder, paths))
    save_embeddings(tmp_path / "b.npz", *embed_pictures(embedder, paths[::-1]))
    channels, embeddings = load_embeddings(tmp_path / "a.npz", failed=[(5, 1), (7, 0), (9, 1)])
    assert channels.tolist() == [2, 5, 10]
    assert embeddings.shape == (3, 3, 512)
    assert np.isnan(embeddings).any(2).tolist() == [[False] * 3, [False, True, False], [False] * 3]
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert np.isnan(without_failed(np.array([3]), np.array([0]), given := np.ones((1, 1, 3)), [(3, 0)])).all()
    assert (given == 1).all()


@pytest.mark.parametrize("left", [0, 0.5, 0.99])
def test_embeddings_that_were_cut_off_are_to_be_deleted(embedder, tmp_path, left: float) -> None:
    save_embeddings(tmp_path / "a.npz", *embed_pictures(embedder, write(tmp_path, np.random.default_rng(0))))
    data = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(data[: int(left * len(data))])
    with pytest.raises(InputError, match=r"a\.npz .*delete it and run again"):
        load_embeddings(tmp_path / "a.npz", set())
