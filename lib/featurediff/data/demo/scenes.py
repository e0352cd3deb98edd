"""What lies behind an object, and the light and noise that lie over the whole picture."""

import numpy as np
from PIL import Image

from featurediff.data.demo.canvas import Canvas, Color, Pose, ellipse, hsv, mix, random_pose, shade, smooth, star

__all__ = ["any_color", "backdrop", "cloud", "contrasting", "expose", "garden", "street"]

Range = tuple[float, float]


def any_color(rng: np.random.Generator, saturation: Range = (0.0, 1.0), value: Range = (0.25, 1.0)) -> Color:
    """A colour of any hue."""
    return hsv(rng.random(), rng.uniform(*saturation), rng.uniform(*value))


def contrasting(rng: np.random.Generator, color: Color, distance: float = 110) -> Color:
    """A colour at least `distance` from the given one in RGB (0 to 441), or the farthest of twelve."""
    drawn = [any_color(rng) for _ in range(12)]
    apart = [float(np.linalg.norm(np.subtract(other, color))) for other in drawn]
    far = [other for other, gap in zip(drawn, apart, strict=True) if gap >= distance]
    return far[0] if far else drawn[int(np.argmax(apart))]


def cloud(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Smooth noise, (size, size) in [0, 1]: `cells` random values a side, interpolated."""
    values = Image.fromarray(rng.random((cells + 1, cells + 1)).astype(np.float32))
    return np.clip(np.asarray(values.resize((size, size), Image.Resampling.BICUBIC)), 0, 1)


def backdrop(canvas: Canvas, rng: np.random.Generator, color: Color) -> None:
    """A background about the given colour: plain, a gradient, mottled, or with clutter."""
    kind = rng.integers(4)
    other = mix(color, any_color(rng), rng.uniform(0.15, 0.45))
    first, second = np.array(color, np.float32), np.array(other, np.float32)
    if kind == 1:
        share = _gradient(rng, canvas.size) * 0.5 + 0.5  # (S, S)
    elif kind == 2:
        share = cloud(rng, canvas.size, int(rng.integers(2, 12)))
    else:
        share = np.zeros((canvas.size, canvas.size), np.float32)
    canvas.paint(first + (second - first) * share[..., None])
    if kind == 3:
        _clutter(canvas, rng, color)


def _clutter(canvas: Canvas, rng: np.random.Generator, color: Color) -> None:
    """Bits of other things in colours near the background's."""
    for _ in range(rng.integers(4, 12)):
        canvas.pose = random_pose(rng, scale=(0.08, 0.35), angle=180, shift=1.0)
        tone = mix(color, any_color(rng), rng.uniform(0.1, 0.35))
        kind = rng.integers(3)
        if kind == 0:
            canvas.fill(ellipse(0, 0, 1, rng.uniform(0.4, 1)), tone)
        elif kind == 1:
            canvas.fill(star(int(rng.integers(3, 5)), 0.7), tone)
        else:
            canvas.line([(-1, 0), (1, rng.uniform(-0.5, 0.5))], 0.25, tone)
    canvas.pose = Pose()


def garden(canvas: Canvas, rng: np.random.Generator, color: Color) -> None:
    """A room, a backdrop near the given colour, or a meadow under the sky with bushes, out of focus."""
    if rng.random() < 0.5:
        backdrop(canvas, rng, color)
        return
    sky = hsv(rng.uniform(0.5, 0.62), rng.uniform(0.1, 0.5), rng.uniform(0.7, 1))
    grass = hsv(rng.uniform(0.2, 0.38), rng.uniform(0.3, 0.7), rng.uniform(0.35, 0.75))
    horizon = rng.uniform(-0.3, 0.6)
    canvas.pose = Pose()
    canvas.fill([(-1, -1), (1, -1), (1, 1), (-1, 1)], sky)
    for _ in range(rng.integers(2, 7)):
        bush = shade(grass, rng.uniform(0.5, 0.95))
        canvas.fill(ellipse(rng.uniform(-1, 1), horizon, rng.uniform(0.2, 0.6), rng.uniform(0.1, 0.5)), bush)
    canvas.fill([(-1, horizon), (1, horizon + rng.uniform(-0.1, 0.1)), (1, 1), (-1, 1)], grass)
    for _ in range(rng.integers(0, 30)):
        x, y = rng.uniform(-1, 1), rng.uniform(horizon, 1)
        canvas.line([(x, y), (x + rng.uniform(-0.05, 0.05), y - 0.12)], 0.03, shade(grass, rng.uniform(0.7, 1.3)))


def street(canvas: Canvas, rng: np.random.Generator, ground: float) -> None:
    """A road whose far edge lies near `ground` (y in the picture), before houses, hills or a plain wall."""
    kind = rng.integers(3)
    horizon = ground + rng.uniform(-0.3, -0.05)
    canvas.pose = Pose()
    backdrop(canvas, rng, hsv(rng.uniform(0.05, 0.65), rng.uniform(0.03, 0.4), rng.uniform(0.55, 1)))
    if kind == 0:
        _houses(canvas, rng, horizon)
    elif kind == 1:
        points = [(x, horizon - rng.uniform(0, 0.5)) for x in np.linspace(-1.3, 1.3, 6)]
        hill = hsv(rng.uniform(0.2, 0.4), rng.uniform(0.2, 0.6), rng.uniform(0.35, 0.7))
        canvas.fill(smooth([*points, (1.5, 1.5), (-1.5, 1.5)]), hill)
    tar = hsv(rng.uniform(0.05, 0.7), rng.uniform(0, 0.15), rng.uniform(0.3, 0.65))
    canvas.fill([(-1, horizon), (1, horizon), (1, 1), (-1, 1)], tar)
    canvas.line([(-1.1, horizon), (1.1, horizon)], 0.05, shade(tar, rng.uniform(0.7, 1.4)))
    if rng.random() < 0.5:
        start = rng.uniform(-1.2, -0.8)
        for x in np.arange(start, 1.2, 0.6):
            canvas.line([(x, ground + 0.3), (x + 0.3, ground + 0.3)], 0.05, shade(tar, 1.7))


def _houses(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    x = -1.1
    while x < 1:
        width, top = rng.uniform(0.3, 0.6), horizon - rng.uniform(0.3, 1.2)
        wall = any_color(rng, (0.05, 0.4), (0.4, 0.85))
        canvas.fill([(x, top), (x + width, top), (x + width, horizon), (x, horizon)], wall)
        pane = shade(wall, rng.choice([0.6, 1.3]))
        for y in np.arange(top + 0.12, horizon - 0.1, 0.25):
            for left in np.arange(x + 0.07, x + width - 0.1, 0.16):
                canvas.fill([(left, y), (left + 0.08, y), (left + 0.08, y + 0.12), (left, y + 0.12)], pane)
        x += width


def expose(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """Light and a sensor: brightness, a gradient, tint, contrast, and noise over (S, S, 3) in 0 to 255."""
    light = rng.uniform(0.75, 1.15) * (1 + rng.uniform(0, 0.3) * _gradient(rng, len(pixels)))  # (S, S)
    tint = rng.uniform(0.9, 1.1, 3).astype(np.float32)  # (3,)
    grey = rng.uniform(90, 150)
    lit = (pixels - grey) * rng.uniform(0.8, 1.1) + grey
    noise = rng.normal(0, rng.uniform(1, 9), pixels.shape).astype(np.float32)
    return np.clip(lit * light[..., None] * tint + noise, 0, 255)


def _gradient(rng: np.random.Generator, size: int) -> np.ndarray:
    """A ramp from about -1 to 1 in a drawn direction, (size, size)."""
    turn = rng.uniform(0, 2 * np.pi)
    line = np.linspace(-1, 1, size, dtype=np.float32)
    return np.float32(np.cos(turn)) * line[None, :] + np.float32(np.sin(turn)) * line[:, None]
