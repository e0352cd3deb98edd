"""Statistics of pictures against NumPy, and the pictures that come of them."""

from collections.abc import Callable, Iterator
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
    off_diagonal = matrix.T @ matrix - np.diag(norms**2)
    np.testing.assert_allclose(off_diagonal, 0, atol=1e-5)


def test_pixels_with_lucids_covariance_give_lucids_matrix() -> None:
    # lucid's rounded columns are orthogonal to 1 %, so the matrix comes back that closely
    basis = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 40_000)))
    rgb = (0.5 + 0.08 * IMAGENET_COLORS.double() @ basis).clamp(0, 1).view(3, 200, 200)
    np.testing.assert_allclose(color_matrix([rgb]).numpy(), IMAGENET_COLORS.numpy(), atol=0.02)


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


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (9, 8)])
def test_one_pictures_spectrum_and_phases_are_the_picture(size: tuple[int, int]) -> None:
    (picture,) = pictures(size)
    it = Maco(size, 3, magnitude_spectrum([picture], size, IMAGENET_COLORS))
    phases = it.parameters_of(from_rgb(picture[None], IMAGENET_COLORS)[0])
    shown = to_rgb(it.image(phases[None]), IMAGENET_COLORS)[0]
    torch.testing.assert_close(shown, picture, atol=1e-5, rtol=0)


def test_pictures_are_cropped_around_the_middle() -> None:
    wide = torch.full((1, 6, 14), 0.2)
    wide[..., 4:10] = pictures((6, 6), channels=1)[0]
    middle = wide[..., 4:10]
    torch.testing.assert_close(magnitude_spectrum([wide], (6, 6), None), magnitude_spectrum([middle], (6, 6), None))
    torch.testing.assert_close(
        magnitude_spectrum([wide.mT], (6, 6), None), magnitude_spectrum([middle.mT], (6, 6), None)
    )


@pytest.mark.parametrize(
    ("there", "wanted"), [((20, 30), (5, 9)), ((3, 5), (12, 11)), ((101, 7), (8, 8)), ((1, 1), (4, 4))]
)
def test_pictures_of_any_proportions_fit(there: tuple[int, int], wanted: tuple[int, int]) -> None:
    flat = torch.full((1, *there), 0.6)
    spectrum = magnitude_spectrum([flat], wanted, None)
    mean = np.log(0.6 / 0.4) * np.sqrt(wanted[0] * wanted[1])
    assert spectrum[0, 0, 0].item() == pytest.approx(mean, rel=1e-4)
    spectrum[0, 0, 0] = 0
    assert spectrum.max() < 1e-4


def test_gradients_of_the_pictures_are_not_kept() -> None:
    several = [picture.requires_grad_(True) for picture in pictures((6, 6), (6, 6))]
    assert not color_matrix(several).requires_grad
    assert not magnitude_spectrum(several, (6, 6), None).requires_grad


def test_pictures_are_taken_one_at_a_time_and_once() -> None:
    def stream() -> Iterator[Tensor]:
        yield from pictures((8, 8), (6, 9))

    torch.testing.assert_close(color_matrix(stream()), color_matrix(pictures((8, 8), (6, 9))))
    torch.testing.assert_close(
        magnitude_spectrum(stream(), (8, 8), None), magnitude_spectrum(pictures((8, 8), (6, 9)), (8, 8), None)
    )


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
    torch.testing.assert_close(color_matrix(paths), color_matrix(tensors))
    torch.testing.assert_close(
        magnitude_spectrum(paths, (8, 6), IMAGENET_COLORS), magnitude_spectrum(tensors, (8, 6), IMAGENET_COLORS)
    )


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.zeros(5, 5), "its shape is"),
        (torch.zeros(3, 0, 5), "its shape is"),
        (torch.full((3, 4, 4), 255.0), r"in \[0, 1\]"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), r"in \[0, 1\]"),
        (torch.full((3, 4, 4), float("nan")), r"in \[0, 1\]"),
        (torch.zeros(1, 4, 4), "1 channels, the ones before it have 3"),
    ],
)
def test_a_bad_picture_is_named(bad: Tensor, message: str) -> None:
    for compute in (color_matrix, lambda those: magnitude_spectrum(those, (4, 4), None)):
        with pytest.raises(InputError, match=f"picture 1: .*{message}"):
            compute([*pictures((4, 4)), bad])


@pytest.mark.parametrize("matrix", [None, IMAGENET_COLORS], ids=["no matrix", "imagenet"])
@pytest.mark.parametrize("size", [(6, 8), (6, 9)])
def test_saved_statistics_are_loaded_as_they_were(tmp_path: Path, size: tuple[int, int], matrix: Tensor | None) -> None:
    magnitude = magnitude_spectrum(pictures(size), size, matrix)
    path = tmp_path / "folder" / "statistics.npz"
    save_statistics(path, ImageStatistics(matrix, magnitude, size))
    first = path.read_bytes()
    loaded = load_statistics(path)
    assert loaded.size == size
    assert torch.equal(loaded.magnitude, magnitude)
    assert (loaded.matrix is None) == (matrix is None)
    if matrix is not None:
        assert loaded.matrix is not None
        assert torch.equal(loaded.matrix, matrix)
    save_statistics(path, loaded)
    assert path.read_bytes() == first
    assert [entry.name for entry in path.parent.iterdir()] == ["statistics.npz"]


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


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda: color_matrix([]), "empty"),
        (lambda: magnitude_spectrum([], (8, 8), None), "empty"),
        (lambda: magnitude_spectrum(pictures((4, 4)), (0, 4), None), "size is"),
        (lambda: color_matrix([torch.full((3, 5, 5), 0.3)] * 3), "all the same"),
        (lambda: color_matrix(["missing.png"]), "missing.png"),
        (lambda: save_statistics("a.npz", ImageStatistics(None, torch.ones(1, 6, 5), (6, 6))), "is not one of"),
    ],
)
def test_what_has_no_statistics_is_refused(compute: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        compute()
    assert not Path("a.npz").exists()


def test_white_stays_white_when_it_is_resized() -> None:
    for side in range(2, 40):  # some of these interpolations round to above 1
        assert magnitude_spectrum([torch.ones(1, side, side + 1)], (7, 11), None).isfinite().all()
