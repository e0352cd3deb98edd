"""Textures that fill the whole picture: regular ones with drawn period, direction and colours, and grain."""

from collections.abc import Callable

import numpy as np

from featurediff.data.demo.canvas import Canvas
from featurediff.data.demo.scenes import any_color, cloud, contrasting

__all__ = ["TEXTURES"]

# (rng, u, v) -> the share of the second colour, in [0, 1]; u and v, each (P, P), count periods.
Pattern = Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]


def _fraction(values: np.ndarray) -> np.ndarray:
    return values - np.floor(values)


def _periodic(pattern: Pattern, periods: tuple[float, float], turn: float = 180) -> Callable:
    """A drawer of the pattern with a number of periods a picture and a direction within `turn` degrees."""

    def draw(canvas: Canvas, rng: np.random.Generator) -> None:
        line = np.linspace(-0.5, 0.5, canvas.pixels, dtype=np.float32)
        angle, count = np.deg2rad(rng.uniform(-turn, turn)), rng.uniform(*periods)
        cos, sin = np.float32(np.cos(angle) * count), np.float32(np.sin(angle) * count)
        u = cos * line[None, :] - sin * line[:, None] + np.float32(rng.random())  # (P, P)
        v = sin * line[None, :] + cos * line[:, None] + np.float32(rng.random())
        _two_colors(canvas, rng, pattern(rng, u, v))

    return draw


def _two_colors(canvas: Canvas, rng: np.random.Generator, share: np.ndarray) -> None:
    """Mix two colours by `share`, (P, P), each uneven by a little."""
    first = any_color(rng)
    second = np.array(contrasting(rng, first, 150), np.float32)
    uneven = 1 + rng.uniform(0, 0.35) * (cloud(rng, canvas.pixels, int(rng.integers(2, 6))) - 0.5)
    share = share.astype(np.float32)[..., None]
    canvas.paint((np.array(first, np.float32) * (1 - share) + second * share) * uneven[..., None])


def _stripes(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    share = _fraction(u) < rng.uniform(0.3, 0.7)
    return np.where(_fraction(u / 2) < 0.5, share, share * rng.choice([0.5, 1.0]))


def _checks(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return (np.floor(u) + np.floor(v)) % 2


def _dots(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    u = u + 0.5 * (np.floor(v) % 2) * rng.integers(2)
    return np.hypot(_fraction(u) - 0.5, _fraction(v) - 0.5) < rng.uniform(0.25, 0.4)


def _waves(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    bent = u + rng.uniform(0.35, 0.6) * np.sin(2 * np.pi * v * rng.uniform(0.3, 0.45))
    return _fraction(bent) < rng.uniform(0.35, 0.65)


def _zigzag(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    bent = u + rng.uniform(0.8, 1.2) * np.abs(2 * _fraction(v * rng.uniform(0.7, 1.0)) - 1)
    return _fraction(bent) < rng.uniform(0.35, 0.65)


def _rings(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    x, y = rng.uniform(-1.5, 1.5, 2)
    return _fraction(np.hypot(u - x, v - y)) < rng.uniform(0.35, 0.65)


def _bricks(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    row = np.floor(v)
    u = u / rng.uniform(1.7, 2.4) + 0.5 * (row % 2)
    joint = rng.uniform(0.1, 0.2)
    each = _fraction(np.sin(np.floor(u) * 12.9898 + row * 78.233) * 43.7) * rng.uniform(0.1, 0.4)
    return np.where((_fraction(u) < joint / 2) | (_fraction(v) < joint), 1.0, each)


def _grain(canvas: Canvas, rng: np.random.Generator) -> None:
    """Speckles without a direction, of one drawn size."""
    noise = cloud(rng, canvas.pixels, int(canvas.size / rng.uniform(1.0, 2.5)))
    _two_colors(canvas, rng, np.clip((noise - rng.uniform(0.4, 0.6)) * rng.uniform(2, 6) + 0.5, 0, 1))


TEXTURES: dict[str, Callable[[Canvas, np.random.Generator], None]] = {
    "stripes": _periodic(_stripes, (3, 10)),
    "checks": _periodic(_checks, (4, 9), turn=30),
    "dots": _periodic(_dots, (3, 6)),
    "waves": _periodic(_waves, (3, 5.5)),
    "zigzag": _periodic(_zigzag, (2, 4.5), turn=40),
    "rings": _periodic(_rings, (4, 9)),
    "bricks": _periodic(_bricks, (5, 11), turn=25),
    "grain": _grain,
}
