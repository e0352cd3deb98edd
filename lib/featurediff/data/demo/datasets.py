"""The demo's three data sets: they are drawn, so nothing is downloaded, and have the layouts of real ones.

`shapes`: an image folder of textures, shapes and simple objects, for the base network. `dogs`: invented breeds as in
Kaggle's dog-breed-identification. `cars`: invented models as in Stanford Cars, with its devkit.

A picture depends on (seed, data set, class, its number in the class, size) alone: if more pictures of a class are
drawn, the earlier ones and their names stay the same.
"""

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.io

from feature_vis.errors import InputError
from feature_vis.files import naming, write_bytes, write_text
from feature_vis.seeding import derive_seed
from featurediff.data.demo.canvas import Canvas, jpeg
from featurediff.data.demo.cars import MODELS, draw_car
from featurediff.data.demo.dogs import BREEDS, draw_dog
from featurediff.data.demo.scenes import expose
from featurediff.data.demo.shapes import SHAPES, draw_shape

__all__ = ["KINDS", "draw_cars", "draw_data_set", "draw_dogs", "draw_shapes"]

# Lists the files that were drawn below a root, so that another drawing removes these and nothing else.
_MANIFEST = ".drawn"

_Drawer = Callable[[Canvas, np.random.Generator, str], None]


@dataclass(frozen=True)
class _Picture:
    """A JPEG file and the box (left, top, right, bottom; from 1, inclusive) of what it shows."""

    data: bytes
    box: tuple[int, int, int, int]


def draw_data_set(kind: str, root: str | Path, *, seed: int, per_class: int, size: int) -> list[str]:
    """Draw a data set into `root` and return the paths of all its files below `root`, sorted.

    `kind` is one of `KINDS`, `per_class` the pictures a class (at least 1), `size` their height and width in pixels
    (at least 16). The same arguments give the same bytes. Files that an earlier drawing left in `root` and that
    this one does not have are removed; anything else there stays.

    Raises:
        InputError: an unknown kind, a number out of range, or a root with files in the way that were not drawn.
    """
    if kind not in KINDS:
        raise InputError(f"there is no drawn data set {kind!r}: choose one of {', '.join(KINDS)}")
    return KINDS[kind](root, seed=seed, per_class=per_class, size=size)


def draw_shapes(root: str | Path, *, seed: int, per_class: int, size: int) -> list[str]:
    """Draw textures, shapes and simple objects as `<class>/<number>.jpg`; arguments and result as in `draw`."""
    _check(per_class, size)
    places = {f"{name}/{index:05d}.jpg": (name, index) for name in SHAPES for index in range(per_class)}
    root = _begin(root, places)
    for path, (name, index) in places.items():
        _write_picture(root / path, _picture("shapes", draw_shape, name, index, seed, size).data)
    return sorted(places)


def draw_dogs(root: str | Path, *, seed: int, per_class: int, size: int) -> list[str]:
    """Draw dogs as Kaggle's `labels.csv` and `train/<id>.jpg`; arguments and result as in `draw`."""
    _check(per_class, size)
    ids = {_dog_id(seed, name, index): (name, index) for name in BREEDS for index in range(per_class)}
    paths = ["labels.csv", *(f"train/{id}.jpg" for id in ids)]
    root = _begin(root, paths)
    for id, (name, index) in ids.items():
        _write_picture(root / f"train/{id}.jpg", _picture("dogs", draw_dog, name, index, seed, size).data)
    rows = [f"{id},{name}\n" for id, (name, _) in sorted(ids.items())]
    write_text(root / "labels.csv", "id,breed\n" + "".join(rows))
    return sorted(paths)


def draw_cars(root: str | Path, *, seed: int, per_class: int, size: int) -> list[str]:
    """Draw cars as `cars_train/<number>.jpg` and the devkit's files; arguments and result as in `draw`."""
    _check(per_class, size)
    # Numbered across the models first, so that a picture's number does not depend on how many there are.
    samples = [(name, index) for index in range(per_class) for name in MODELS]
    names = [f"{number:05d}.jpg" for number in range(1, len(samples) + 1)]
    annotations, meta = "devkit/cars_train_annos.mat", "devkit/cars_meta.mat"
    paths = [annotations, meta, *(f"cars_train/{name}" for name in names)]
    root = _begin(root, paths)
    classes = {name: number for number, name in enumerate(MODELS, 1)}
    rows: list[tuple[int | str, ...]] = []
    for file, (name, index) in zip(names, samples, strict=True):
        picture = _picture("cars", draw_car, name, index, seed, size)
        _write_picture(root / "cars_train" / file, picture.data)
        rows.append((*picture.box, classes[name], file))
    write_bytes(root / annotations, _matlab("annotations", _annotations(rows)))
    write_bytes(root / meta, _matlab("class_names", _cells(list(MODELS))))
    return sorted(paths)


KINDS: dict[str, Callable[..., list[str]]] = {"shapes": draw_shapes, "dogs": draw_dogs, "cars": draw_cars}


def _check(per_class: int, size: int) -> None:
    if per_class < 1:
        raise InputError(f"per_class must be at least 1, not {per_class}")
    if size < 16:
        raise InputError(f"size must be at least 16 pixels, not {size}")


def _picture(kind: str, drawer: _Drawer, name: str, index: int, seed: int, size: int) -> _Picture:
    rng = np.random.default_rng(derive_seed(seed, kind, name, index))
    canvas = Canvas(size)
    drawer(canvas, rng, name)
    return _Picture(jpeg(expose(rng, canvas.finished())), canvas.box())


def _dog_id(seed: int, name: str, index: int) -> str:
    """32 hex digits, as Kaggle names its pictures."""
    return "".join(f"{derive_seed(seed, 'dogs', name, index, half):016x}" for half in ("id", "id2"))


def _begin(root: str | Path, paths: Iterable[str]) -> Path:
    """Remove what an earlier drawing left and this one does not have, and note what may be there from now on.

    Raises:
        InputError: files that were not drawn have the names of those to be drawn; nothing was touched.
    """
    root, wanted = Path(root), set(paths)
    manifest = root / _MANIFEST
    earlier = set(manifest.read_text().splitlines()) if manifest.is_file() else set()
    if others := sorted(path for path in wanted - earlier if (root / path).exists()):
        raise InputError(
            f"{root} already holds {others[0]}, which was not drawn: set root to a folder of the drawing's own"
        )
    for path in sorted(earlier - wanted):
        file = root / path
        if file.resolve().is_relative_to(root.resolve()):  # the list may have been edited
            file.unlink(missing_ok=True)
            if file.parent.is_dir() and file.parent != root and not any(file.parent.iterdir()):
                file.parent.rmdir()
    for folder in {(root / path).parent for path in wanted}:
        folder.mkdir(parents=True, exist_ok=True)
    write_text(manifest, "".join(f"{path}\n" for path in sorted(wanted)))
    return root


def _write_picture(path: Path, data: bytes) -> None:
    """Write a picture; one cut short by a crash is drawn again with the rest, so no flush to disk for each."""
    with naming(path):
        path.write_bytes(data)


def _number(value: int) -> np.ndarray:
    """A scalar as MATLAB stores whole numbers: 1 x 1, in the smallest unsigned type."""
    return np.array([[value]], dtype=np.min_scalar_type(value))


def _cells(texts: list[str]) -> np.ndarray:
    """A 1 x N cell array of strings."""
    cells = np.empty((1, len(texts)), dtype=object)
    cells[0, :] = texts
    return cells


def _annotations(rows: list[tuple[int | str, ...]]) -> np.ndarray:
    """The devkit's 1 x N struct array from (x1, y1, x2, y2, class, file) rows."""
    fields = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname"]
    table = np.empty((1, len(rows)), dtype=[(field, object) for field in fields])
    for column, row in enumerate(rows):
        table[0, column] = tuple(value if isinstance(value, str) else _number(value) for value in row)
    return table


def _matlab(name: str, value: np.ndarray) -> bytes:
    """A MATLAB 5.0 file with one variable; without the date, which would make equal contents differ."""
    file = io.BytesIO()
    scipy.io.savemat(file, {name: value})  # type: ignore[arg-type]  # it takes files; its stubs know paths alone
    return b"MATLAB 5.0 MAT-file, drawn by featurediff".ljust(116) + file.getvalue()[116:]
