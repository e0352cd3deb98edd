"""A small picture to draw on: unit coordinates, one pose for all that is drawn, antialiased by supersampling.

Coordinates: the picture is [-1, 1] x [-1, 1], x to the right, y down; a `Pose` moves an object's own coordinates
into the picture. Every outline goes through the pose as points, so a rotated ellipse needs no special case.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

__all__ = [
    "Canvas",
    "Color",
    "Points",
    "Pose",
    "arc",
    "ellipse",
    "hsv",
    "jpeg",
    "mix",
    "random_pose",
    "rounded",
    "shade",
    "smooth",
    "star",
]

Color = tuple[int, int, int]
Points = Sequence[tuple[float, float]] | np.ndarray  # (N, 2)

# Pixels drawn for a side of one pixel of the picture: 16 levels of coverage at an edge.
OVERSAMPLING = 4


@dataclass(frozen=True)
class Pose:
    """Where an object's coordinates land: `x`, `y` is its origin in the picture, `scale` its unit.

    `angle` is in degrees, clockwise; `stretch` widens (above 1) or narrows; `shear` leans its upright lines.
    """

    x: float = 0.0
    y: float = 0.0
    scale: float = 1.0
    angle: float = 0.0
    mirror: bool = False
    stretch: float = 1.0
    shear: float = 0.0

    def place(self, points: Points) -> np.ndarray:
        """Points of the object, (N, 2), as points of the picture, (N, 2)."""
        turn = np.deg2rad(self.angle)
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        form = np.array([[self.stretch * (-1 if self.mirror else 1), self.shear], [0.0, 1.0]])
        return np.asarray(points, float) @ (self.scale * rotation @ form).T + (self.x, self.y)


def random_pose(
    rng: np.random.Generator, *, scale: tuple[float, float], angle: float, shift: float, shear: float = 0.0
) -> Pose:
    """A pose within these limits, mirrored in half of the cases."""
    return Pose(
        x=rng.uniform(-shift, shift),
        y=rng.uniform(-shift, shift),
        scale=rng.uniform(*scale),
        angle=rng.uniform(-angle, angle),
        mirror=bool(rng.random() < 0.5),
        stretch=rng.uniform(0.9, 1.12),
        shear=rng.uniform(-shear, shear),
    )


class Canvas:
    """A square RGB picture of `size` pixels; what is drawn goes through `pose`."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.pixels = size * OVERSAMPLING
        self.image = Image.new("RGB", (self.pixels, self.pixels))
        self.pose = Pose()
        self._clips = 0
        self._points: list[np.ndarray] = []

    def paint(self, pixels: np.ndarray) -> None:
        """Lay (H, W, 3) values in 0 to 255 over the whole picture, enlarged to fit."""
        picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        self.image = picture.resize(self.image.size, Image.Resampling.BILINEAR)

    def fill(self, outline: Points, color: Color) -> None:
        """Fill a closed outline."""
        ImageDraw.Draw(self.image).polygon(self._pixels(outline), fill=color)

    def line(self, points: Points, width: float, color: Color) -> None:
        """A line with round ends and joints; `width` in the object's units."""
        draw = ImageDraw.Draw(self.image)
        places = self._pixels(points)
        thick = max(1.0, width * self.pose.scale * self.pixels / 2)
        draw.line(places, fill=color, width=max(1, round(thick)), joint="curve")
        for x, y in (places[0], places[-1]):
            draw.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=color)

    def contour(self, outline: Points, width: float, color: Color) -> None:
        """A line around a closed outline."""
        points = np.asarray(outline, float)
        self.line(np.concatenate([points, points[:2]]), width, color)

    @contextmanager
    def inside(self, outline: Points) -> Iterator[None]:
        """What is drawn in this block shows inside the outline only."""
        before = self.image.copy()
        mask = Image.new("L", self.image.size)
        ImageDraw.Draw(mask).polygon(self._pixels(outline), fill=255)
        self._clips += 1
        try:
            yield
        finally:
            self._clips -= 1
            self.image = Image.composite(self.image, before, mask)

    def start_box(self) -> None:
        """Forget what `box` has to enclose."""
        self._points.clear()

    def box(self) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) of all outlines since `start_box`, in pixels from 1 to `size`, inclusive.

        The whole picture where nothing was drawn since.
        """
        if not self._points:
            return 1, 1, self.size, self.size
        points = np.concatenate(self._points) / OVERSAMPLING  # (N, 2)
        low = np.clip(np.floor(points.min(0)).astype(int) + 1, 1, self.size)
        high = np.clip(np.ceil(points.max(0)).astype(int), 1, self.size)
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])

    def finished(self) -> np.ndarray:
        """The picture at its own size, (size, size, 3) in 0 to 255."""
        return np.asarray(self.image.reduce(OVERSAMPLING), np.float32)

    def _pixels(self, points: Points) -> list[tuple[float, float]]:
        places = (self.pose.place(points) + 1) / 2 * self.pixels
        if not self._clips:
            self._points.append(places)
        return [(x, y) for x, y in places.tolist()]


def jpeg(pixels: np.ndarray) -> bytes:
    """(H, W, 3) values in 0 to 255 as a JPEG file; without colour subsampling, which blurs small pictures."""
    file = io.BytesIO()
    picture = Image.fromarray(np.clip(pixels + 0.5, 0, 255).astype(np.uint8))
    picture.save(file, "JPEG", quality=92, subsampling=0)
    return file.getvalue()


def ellipse(x: float, y: float, rx: float, ry: float | None = None, angle: float = 0.0) -> np.ndarray:
    """Outline of an ellipse (a circle without `ry`), turned by `angle` degrees; (N, 2)."""
    return arc(x, y, rx, rx if ry is None else ry, 0, 360, angle)


def arc(x: float, y: float, rx: float, ry: float, start: float, stop: float, angle: float = 0.0) -> np.ndarray:
    """Points of an ellipse's arc from `start` to `stop` degrees, clockwise from the right; (N, 2)."""
    t = np.deg2rad(np.linspace(start, stop, 40))
    turn = np.deg2rad(angle)
    u, v = rx * np.cos(t), ry * np.sin(t)
    return np.stack([x + u * np.cos(turn) - v * np.sin(turn), y + u * np.sin(turn) + v * np.cos(turn)], 1)


def star(points: int, inner: float, outer: float = 1.0, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """Outline of a star with its first point up; (2 * points, 2)."""
    t = np.pi * np.arange(2 * points) / points - np.pi / 2
    radius = np.where(np.arange(2 * points) % 2 == 0, outer, inner)
    return np.stack([x + radius * np.cos(t), y + radius * np.sin(t)], 1)


def smooth(points: Points, steps: int = 6) -> np.ndarray:
    """A closed Catmull-Rom curve through the points; (N * steps, 2)."""
    p = np.asarray(points, float)  # (N, 2)
    before, after, beyond = np.roll(p, 1, 0), np.roll(p, -1, 0), np.roll(p, -2, 0)
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]  # (1, steps, 1)
    a, b, c, d = (q[:, None] for q in (before, p, after, beyond))  # each (N, 1, 2)
    curve = 2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    return (curve / 2).reshape(-1, 2)


def rounded(points: Points, radius: float = 0.08) -> np.ndarray:
    """The closed outline with its corners rounded from `radius` before to `radius` after each; (6 * N, 2)."""
    p = np.asarray(points, float)  # (N, 2)
    ends = []
    for other in (np.roll(p, 1, 0), np.roll(p, -1, 0)):
        length = np.linalg.norm(other - p, axis=1, keepdims=True)
        ends.append(p + (other - p) * np.minimum(radius / np.maximum(length, 1e-9), 0.5))
    t = np.linspace(0, 1, 6)[None, :, None]
    first, last = ends[0][:, None], ends[1][:, None]
    return ((1 - t) ** 2 * first + 2 * t * (1 - t) * p[:, None] + t**2 * last).reshape(-1, 2)


def hsv(hue: float, saturation: float, value: float) -> Color:
    """A colour from hue (one turn is 1), saturation and value (clipped to [0, 1])."""
    s, v = min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0)
    k = (np.array([5, 3, 1]) + hue * 6) % 6
    red, green, blue = (255 * (v - v * s * np.clip(np.minimum(k, 4 - k), 0, 1))).round().astype(int).tolist()
    return red, green, blue


def shade(color: Color, factor: float) -> Color:
    """Darker (below 1) or lighter (above 1)."""
    red, green, blue = (min(255, max(0, round(channel * factor))) for channel in color)
    return red, green, blue


def mix(first: Color, second: Color, share: float) -> Color:
    """`share` of the second colour in the first, from 0 to 1."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue
