"""Statistics of pictures against NumPy, and the pictures that come of them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from feature_vis.errors import InputError
from feature_vis.images.colors import IMAGENET_COLORS, from_rgb, to_rgb
from feature_vis.images.statistics import (
    ImageStatistics,
    color_matrix,
    load_statistics,
    magnitude_spectrum,
    save_statistics,
    shrink_magnitude,
)
from feature_vis.parameterizations import Maco


def pictures(*sizes: tuple[int, int], channels: int = 3) -> list[Tensor]:
    """Random pictures whose channels are correlated, (C, H, W) in [0.1, 0.9]."""
    rng = np.random.default_rng(7)
    mixing = rng.uniform(size=(channels, channels))
    mixing /= mixing.sum(1, keepdims=True)
    return [
        torch.from_numpy(0.1 + 0.8 * np.einsum("ij,jhw->ihw", mixing, rng.uniform(size=(channels, *size)))).float()
        for size in sizes
    ]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_color_matrix_is_the_root_of_the_covariance(channels: int) -> None:
    several = pictures((8, 6), (8, 6), (8, 6), channels=channels)
    pixels = np.concatenate([picture.double().numpy().reshape(channels, -1) for picture in several], axis=1)
    covariance = np.atleast_2d(np.cov(pixels, bias=True))
    matrix = color_matrix(several).double().numpy()
    assert matrix.shape == (channels, channels)
    np.testing.assert_allclose(matrix @ matrix.T, covariance / np.linalg.eigvalsh(covariance)[-1], atol=1e-5)
    norms = np.linalg.norm(matrix, axis=0)
    assert norms[0] == pytest.approx(1)
    assert (np.diff(norms) <= 0).all()
    assert (matrix[0] >= 0).all()
    np.testing.assert_allclose(matrix.T @ matrix, np.diag(norms**2), atol=1e-5)


def test_each_picture_counts_the_same_whatever_its_size() -> None:
    small, large = pictures((4, 4), (9, 7))
    repeated = small.repeat(1, 6, 8)
    torch.testing.assert_close(color_matrix([small, large]), color_matrix([repeated, large]))


def test_grey_pictures_in_rgb_give_a_matrix_with_an_inverse() -> None:
    grey = pictures((8, 8), channels=1)[0].repeat(3, 1, 1)
    matrix = color_matrix([grey])
    norms = matrix.norm(dim=0)
    np.testing.assert_allclose(norms.numpy(), [1, 0.01, 0.01], rtol=1e-4)
    back = to_rgb(from_rgb(grey[None], matrix), matrix)
    torch.testing.assert_close(back[0], grey, atol=1e-4, rtol=0)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(8, 8), (7, 9), (9, 8)])
def test_magnitude_agrees_with_numpy(size: tuple[int, int], channels: int) -> None:
    several = pictures(size, size, size, channels=channels)
    matrix = np.random.default_rng(1).normal(size=(channels, channels)) + 3 * np.eye(channels)
    logits = [np.log(picture.double().numpy() / (1 - picture.double().numpy())) for picture in several]
    images = [np.einsum("ij,jhw->ihw", np.linalg.inv(matrix), logit) for logit in logits]
    expected = np.mean([np.abs(np.fft.rfft2(image, norm="ortho")) for image in images], axis=0)
    actual = magnitude_spectrum(several, size, torch.from_numpy(matrix).float())
    assert actual.shape == (channels, size[0], size[1] // 2 + 1)
    np.testing.assert_allclose(actual.numpy(), expected, atol=1e-5)
    plain = np.mean([np.abs(np.fft.rfft2(logit, norm="ortho")) for logit in logits], axis=0)
    np.testing.assert_allclose(magnitude_spectrum(several, size, None).numpy(), plain, atol=1e-5)


def test_pictures_are_cropped_around_the_middle() -> None:
    wide = torch.full((1, 6, 14), 0.2)
    middle = wide[..., 4:10] = pictures((6, 6), channels=1)[0]
    for whole, part in ((wide, middle), (wide.mT, middle.mT)):
        torch.testing.assert_close(magnitude_spectrum([whole], (6, 6), None), magnitude_spectrum([part], (6, 6), None))


@pytest.mark.parametrize(
    ("there", "wanted"), [((20, 30), (5, 9)), ((3, 5), (12, 11)), ((101, 7), (8, 8)), ((1, 1), (4, 4))]
)
def test_pictures_of_any_proportions_fit(there: tuple[int, int], wanted: tuple[int, int]) -> None:
    spectrum = magnitude_spectrum([torch.full((1, *there), 0.6)], wanted, None)
    expected = torch.zeros_like(spectrum)
    expected[0, 0, 0] = np.log(0.6 / 0.4) * np.sqrt(wanted[0] * wanted[1])
    torch.testing.assert_close(spectrum, expected, atol=1e-4, rtol=1e-4)
    for side in range(2, 40):  # some of these interpolations round white to above 1
        assert magnitude_spectrum([torch.ones(1, side, side + 1)], (7, 11), None).isfinite().all()


def test_pictures_are_taken_once_and_their_gradients_are_not_kept() -> None:
    def stream() -> Iterator[Tensor]:
        yield from (picture.requires_grad_(True) for picture in pictures((8, 8), (6, 9)))

    for compute in (color_matrix, lambda those: magnitude_spectrum(those, (8, 8), None)):
        assert not compute(stream()).requires_grad
        torch.testing.assert_close(compute(stream()), compute(pictures((8, 8), (6, 9))))


def test_files_are_read_as_rgb_and_upright(tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, size=(6, 8, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(pixels[..., 0]).save(tmp_path / "grey.png")
    upright = np.rot90(pixels, -1).copy()  # (8, 6, 3)
    grey = np.repeat(pixels[..., :1], 3, axis=2)
    tensors = [torch.from_numpy(picture).permute(2, 0, 1) / 255 for picture in (upright, grey)]
    paths = [tmp_path / "turned.png", str(tmp_path / "grey.png")]
    for compute in (color_matrix, lambda those: magnitude_spectrum(those, (8, 6), IMAGENET_COLORS)):
        torch.testing.assert_close(compute(paths), compute(tensors))


BAD = [
    ([torch.zeros(5, 5)], "picture 1: .*its shape is"),
    ([torch.zeros(3, 0, 5)], "picture 1: .*its shape is"),
    ([torch.full((3, 4, 4), 255.0)], r"picture 1: .*in \[0, 1\]"),
    ([torch.zeros(3, 4, 4, dtype=torch.uint8)], r"picture 1: .*in \[0, 1\]"),
    ([torch.full((3, 4, 4), float("nan"))], r"picture 1: .*in \[0, 1\]"),
    ([torch.zeros(1, 4, 4)], "picture 1: .*1 channels, the ones before it have 3"),
    (["missing.png"], "missing.png"),
]


@pytest.mark.parametrize(("bad", "message"), BAD)
def test_what_has_no_statistics_is_refused(bad: list[Tensor | str], message: str) -> None:
    for compute in (color_matrix, lambda those: magnitude_spectrum(those, (4, 4), None)):
        with pytest.raises(InputError, match=message):
            compute([*pictures((4, 4)), *bad])
        with pytest.raises(InputError, match="empty"):
            compute([])
    with pytest.raises(InputError, match="all the same"):
        color_matrix([torch.full((3, 5, 5), 0.3)] * 3)
    with pytest.raises(InputError, match="size is"):
        magnitude_spectrum(pictures((4, 4)), (0, 4), None)


@pytest.mark.parametrize("matrix", [None, IMAGENET_COLORS], ids=["no matrix", "imagenet"])
@pytest.mark.parametrize("size", [(6, 8), (6, 9)])
def test_saved_statistics_are_loaded_as_they_were(tmp_path: Path, size: tuple[int, int], matrix: Tensor | None) -> None:
    magnitude = magnitude_spectrum(pictures(size), size, matrix)
    path = tmp_path / "folder" / "statistics.npz"
    save_statistics(path, ImageStatistics(matrix, magnitude, size))
    first, loaded = path.read_bytes(), load_statistics(path)
    assert loaded.size == size
    assert torch.equal(loaded.magnitude, magnitude)
    assert loaded.matrix is matrix is None or torch.equal(loaded.matrix, matrix)
    save_statistics(path, loaded)
    assert path.read_bytes() == first
    assert [entry.name for entry in path.parent.iterdir()] == ["statistics.npz"]
    with pytest.raises(InputError, match="is not one of"):
        save_statistics(path, ImageStatistics(None, torch.ones(1, 6, 5), (6, 6)))
    assert path.read_bytes() == first


def test_a_file_that_is_not_statistics_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_statistics(tmp_path / "missing.npz")
    (tmp_path / "text.npz").write_text("not an archive")
    np.savez(tmp_path / "other.npz", something=np.ones(3))
    for name in ("text.npz", "other.npz"):
        with pytest.raises(InputError, match=f"{name}: this is not"):
            load_statistics(tmp_path / name)


@pytest.mark.parametrize(("old", "factor"), [((7, 9), 3), ((5, 5), 2), ((3, 7), 4)])
def test_a_shrunk_magnitude_is_that_of_the_band_limited_picture(old: tuple[int, int], factor: int) -> None:
    small = np.random.default_rng(5).normal(size=(2, *old))
    new = (old[0] * factor, old[1] * factor)
    spectrum = np.zeros((2, *new), dtype=complex)
    rows, columns = (np.fft.fftfreq(count, 1 / count).round().astype(int) for count in old)
    spectrum[:, rows[:, None], columns[None, :]] = np.fft.fft2(small) * factor**2
    large = np.fft.ifft2(spectrum).real
    np.testing.assert_allclose(large[:, ::factor, ::factor], small, atol=1e-10)
    magnitude = torch.from_numpy(np.abs(np.fft.rfft2(large, norm="ortho")))
    expected = np.abs(np.fft.rfft2(small, norm="ortho"))
    np.testing.assert_allclose(shrink_magnitude(magnitude, new, old).numpy(), expected, atol=1e-10)


def test_a_shrunk_magnitude_fits_every_smaller_size() -> None:
    magnitude = magnitude_spectrum(pictures((12, 13)), (12, 13), None)
    assert torch.equal(shrink_magnitude(magnitude, (12, 13), (12, 13)), magnitude)
    for size in [(1, 1), (2, 2), (6, 7), (7, 6), (12, 12), (11, 13)]:
        assert Maco(size, 3, shrink_magnitude(magnitude, (12, 13), size)).start(0).isfinite().all()
    for size in [(13, 13), (12, 14), (0, 3)]:
        with pytest.raises(InputError, match="can only shrink"):
            shrink_magnitude(magnitude, (12, 13), size)
    with pytest.raises(InputError, match="is not one of"):
        shrink_magnitude(magnitude, (13, 12), (6, 6))
