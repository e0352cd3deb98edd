"""The base network's task: textures, plain shapes and simple objects, one drawer a class."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np

from featurediff.data.demo.canvas import (
    Canvas,
    Color,
    Points,
    arc,
    ellipse,
    hsv,
    mix,
    random_pose,
    rounded,
    shade,
    smooth,
    star,
)
from featurediff.data.demo.scenes import backdrop, contrasting
from featurediff.data.demo.textures import TEXTURES

__all__ = ["SHAPES", "draw_shape"]

WHITE: Color = (245, 243, 238)
INK: Color = (38, 34, 40)

# Draws one object of about [-1, 1] x [-1, 1] in the canvas' pose, mostly in the given colour.
Object = Callable[[Canvas, np.random.Generator, Color], None]


def draw_shape(canvas: Canvas, rng: np.random.Generator, name: str) -> None:
    """Draw one picture of the class `name`, one of `SHAPES`."""
    if name in TEXTURES:
        TEXTURES[name](canvas, rng)
        return
    drawer, hues, angle = _OBJECTS[name]
    hue = rng.uniform(*hues) if rng.random() < 0.7 else rng.random()
    color = hsv(hue, rng.uniform(0.35, 1), rng.uniform(0.45, 1))
    backdrop(canvas, rng, contrasting(rng, color))
    canvas.pose = random_pose(rng, scale=(0.5, 0.85), angle=angle, shift=0.18, shear=0.12)
    drawer(canvas, rng, color)


def _filled(canvas: Canvas, rng: np.random.Generator, outline: Points, color: Color) -> None:
    """Fill an outline: flat, or with a darker side; with or without a contour."""
    canvas.fill(outline, color)
    if rng.random() < 0.5:
        with canvas.inside(outline):
            canvas.fill([(0.1, -2), (2, -2), (2, 2), (0.4, 2)], shade(color, 0.82))
    if rng.random() < 0.5:
        canvas.contour(outline, 0.09, shade(color, 0.5))


def _plain(outline: Points, canvas: Canvas, rng: np.random.Generator, color: Color) -> None:
    _filled(canvas, rng, outline, color)


def _star(canvas: Canvas, rng: np.random.Generator, color: Color) -> None:
    _filled(canvas, rng, star(int(rng.integers(5, 7)), rng.uniform(0.38, 0.5)), color)


def _cross(canvas: Canvas, rng: np.random.Generator, color: Color) -> None:
    a = rng.uniform(0.22, 0.36)
    corner = [(a, -a), (1, -a), (1, a), (a, a)]
    turns = [np.array([[c, -s], [s, c]]) for c, s in ((1, 0), (0, 1), (-1, 0), (0, -1))]
    _filled(canvas, rng, np.concatenate([np.array(corner) @ turn.T for turn in turns]), color)


def _crescent(canvas: Canvas, rng: np.random.Generator, color: Color) -> None:
    outer = arc(0, 0, 1, 1, 50, 310)
    inner = arc(0.28, 0, 0.84, 0.84, 292, 68)
    _filled(canvas, rng, np.concatenate([outer, inner]), color)


def _heart(canvas: Canvas, rng: np.random.Generator, color: Color) -> None:
    t = np.linspace(0, 2 * np.pi, 60)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    _filled(canvas, rng, np.stack([16 * np.sin(t) ** 3, -y - 2], 1) / 16, color)


def _arrow(canvas: Canvas, rng: np.random.Generator, color: Color) -> None:
    w, neck = rng.uniform(0.18, 0.3), rng.uniform(0, 0.25)
    half = [(-1, -w), (neck, -w), (neck, -0.65), (1, 0)]
    _filled(canvas, rng, half + [(x, -y) for x, y in half[2::-1]], color)


def _gear(canvas: Canvas, rng: np.random.Generator, color: Color) -> None:
    teeth = int(rng.integers(7, 11))
    t = np.linspace(0, 2 * np.pi, teeth * 4, endpoint=False) + np.pi / teeth / 4
    radius = np.where(np.arange(teeth * 4) % 4 < 2, 1.0, 0.74)
    _filled(canvas, rng, np.stack([radius * np.cos(t), radius * np.sin(t)], 1), color)
    canvas.fill(ellipse(0, 0, rng.uniform(0.25, 0.4)), INK if rng.random() < 0.5 else WHITE)


def _house(canvas: Canvas, rng: np.random.Generator, color: Color) -> None:
    wall = mix(color, WHITE, rng.uniform(0.3, 0.75))
    canvas.fill([(-0.75, -0.1), (0.75, -0.1), (0.75, 0.9), (-0.75, 0.9)], wall)
    canvas.fill([(0.35, -0.95), (0.6, -0.95), (0.6, -0.3), (0.35, -0.3)], shade(wall, 0.7))
    canvas.fill([(-1, 0), (0, -0.95), (1, 0)], shade(color, 0.75))
    canvas.fill([(-0.18, 0.9), (-0.18, 0.35), (0.18, 0.35), (0.18, 0.9)], shade(color, 0.45))
    pane = hsv(0.14, rng.uniform(0, 0.6), 1) if rng.random() < 0.5 else hsv(0.57, 0.5, 0.8)
    for x in (-0.47, 0.47):
        canvas.fill([(x - 0.15, 0.2), (x + 0.15, 0.2), (x + 0.15, 0.5), (x - 0.15, 0.5)], pane)
        canvas.line([(x, 0.2), (x, 0.5)], 0.04, INK)


def _tree(canvas: Canvas, rng: np.random.Generator, color: Color) -> None:
    bark = hsv(rng.uniform(0.04, 0.1), 0.55, rng.uniform(0.25, 0.5))
    canvas.fill([(-0.1, 0), (0.1, 0), (0.17, 1), (-0.17, 1)], bark)
    if rng.random() < 0.5:
        for top, low, width in ((-1, -0.25, 0.42), (-0.65, 0.2, 0.58), (-0.25, 0.65, 0.74)):
            canvas.fill([(0, top), (width, low), (-width, low)], shade(color, 1.05 + 0.35 * top))
        return
    spots = ((-0.38, -0.1), (0.38, -0.12), (0, 0.05), (-0.22, -0.5), (0.26, -0.5), (0, -0.3))
    for number, (x, y) in enumerate(spots):
        canvas.fill(ellipse(x, y, rng.uniform(0.36, 0.46)), shade(color, 0.75 + 0.07 * number))


def _flower(canvas: Canvas, rng: np.random.Generator, color: Color) -> None:
    leaf = hsv(rng.uniform(0.25, 0.4), 0.6, rng.uniform(0.35, 0.65))
    canvas.line([(0, -0.1), (0.08, 1)], 0.1, leaf)
    canvas.fill(ellipse(0.3, 0.68, 0.3, 0.12, -35), leaf)
    petals = int(rng.integers(5, 9))
    for turn in np.linspace(0, 360, petals, endpoint=False):
        x, y = 0.42 * np.cos(np.deg2rad(turn)), 0.42 * np.sin(np.deg2rad(turn)) - 0.3
        petal = ellipse(x, y, 0.36, 1.35 / petals, turn)
        canvas.fill(petal, color)
        canvas.contour(petal, 0.035, shade(color, 0.65))
    canvas.fill(ellipse(0, -0.3, 0.2), hsv(rng.uniform(0.08, 0.16), 0.8, rng.uniform(0.4, 1)))


def _fish(canvas: Canvas, rng: np.random.Generator, color: Color) -> None:
    fin = shade(color, 0.7)
    canvas.fill(smooth([(-0.45, 0), (-1, -0.5), (-0.85, 0), (-1, 0.5)]), fin)
    canvas.fill([(-0.2, -0.3), (0.1, -0.72), (0.35, -0.3)], fin)
    canvas.fill([(-0.1, 0.3), (0, 0.62), (0.25, 0.3)], fin)
    body = smooth([(-0.6, 0), (-0.1, -0.42), (0.5, -0.36), (0.95, 0), (0.5, 0.36), (-0.1, 0.42)])
    canvas.fill(body, color)
    if rng.random() < 0.6:
        band = contrasting(rng, color, 90)
        with canvas.inside(body):
            for x in (-0.25, 0.15):
                canvas.line(arc(x - 0.3, 0, 0.3, 0.7, -60, 60), 0.14, band)
    canvas.line(arc(0.3, 0, 0.2, 0.3, -70, 70), 0.05, fin)
    canvas.fill(ellipse(0.67, -0.1, 0.12), WHITE)
    canvas.fill(ellipse(0.69, -0.1, 0.06), INK)


def _cup(canvas: Canvas, rng: np.random.Generator, color: Color) -> None:
    canvas.line(arc(0.5, 0.1, 0.42, 0.36, -110, 110), 0.15, shade(color, 0.85))
    body = rounded([(-0.75, -0.55), (0.6, -0.55), (0.5, 0.75), (-0.65, 0.75)], 0.2)
    canvas.fill(body, color)
    with canvas.inside(body):
        band = contrasting(rng, color, 90)
        if rng.random() < 0.5:
            canvas.line([(-1, 0.15), (1, 0.15)], rng.uniform(0.1, 0.3), band)
    canvas.fill(ellipse(-0.075, -0.55, 0.68, 0.16), shade(color, 1.2))
    canvas.fill(ellipse(-0.075, -0.53, 0.57, 0.11), hsv(0.07, 0.6, 0.3))
    if rng.random() < 0.6:
        for x in (-0.3, 0.15):
            canvas.line([(x, -0.75), (x + 0.08, -0.85), (x, -0.95), (x + 0.06, -1.05)], 0.06, WHITE)


def _key(canvas: Canvas, rng: np.random.Generator, color: Color) -> None:
    canvas.line([(-0.3, 0), (0.95, 0)], 0.18, color)
    for x in (0.6, 0.85):
        canvas.line([(x, 0), (x, rng.uniform(0.28, 0.45))], 0.16, color)
    hole = ellipse(-0.6, 0, 0.3) if rng.random() < 0.5 else rounded(star(4, 0.22, 0.34, -0.6), 0.1)
    canvas.contour(hole, 0.2, color)
    canvas.contour(ellipse(-0.6, 0, 0.42), 0.05, shade(color, 0.6))


def _umbrella(canvas: Canvas, rng: np.random.Generator, color: Color) -> None:
    stick = shade(color, 0.4) if rng.random() < 0.5 else INK
    canvas.line(np.concatenate([[(0, -0.9), (0, 0.75)], arc(0.17, 0.75, 0.17, 0.17, 180, 0)]), 0.08, stick)
    other = contrasting(rng, color, 90) if rng.random() < 0.5 else shade(color, 0.75)
    edges = np.linspace(-1, 1, 5)
    dome = arc(0, 0.1, 1, 0.9, 180, 360)
    scallops = [arc((a + b) / 2, 0.1, (b - a) / 2, 0.13, 0, -180) for a, b in pairwise(edges)]
    canvas.fill(np.concatenate([dome, *scallops[::-1]]), color)
    with canvas.inside(np.concatenate([dome, *scallops[::-1]])):
        canvas.fill(np.concatenate([arc(0, 0.1, 0.5, 0.9, 180, 270), [(0, 0.1)]]), other)
        canvas.fill(np.concatenate([arc(0, 0.1, 1, 0.9, 270, 360), arc(0, 0.1, 0.5, 0.9, 360, 270)]), other)


def _eye(canvas: Canvas, rng: np.random.Generator, color: Color) -> None:
    height = rng.uniform(0.45, 0.7)
    upper = arc(0, 0.0, 1, height, 180, 360)
    almond = np.concatenate([upper, arc(0, 0, 1, height * 0.85, 0, 180)])
    almond[:, 1] *= 1 - 0.35 * almond[:, 0] ** 2
    canvas.fill(almond, WHITE)
    with canvas.inside(almond):
        x = rng.uniform(-0.2, 0.2)
        canvas.fill(ellipse(x, -0.03, 0.45), shade(color, 0.6))
        canvas.fill(ellipse(x, -0.03, 0.38), color)
        canvas.fill(ellipse(x, -0.03, 0.19), INK)
        canvas.fill(ellipse(x + 0.14, -0.17, 0.09), WHITE)
    canvas.contour(almond, 0.09, INK)
    for turn in np.linspace(-130, -50, int(rng.integers(4, 7))):
        x, y = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn)) * height
        canvas.line([(x, y), (x * 1.25, y * 1.45)], 0.07, INK)


_ANY, _RED, _GREEN, _GOLD = (0.0, 1.0), (-0.06, 0.05), (0.22, 0.42), (0.08, 0.17)
# The drawer of each object, the hues that most of its pictures have, and the angles (degrees) it is seen at.
_OBJECTS: dict[str, tuple[Object, tuple[float, float], float]] = {
    "disc": (partial(_plain, ellipse(0, 0, 0.95)), _ANY, 180),
    "triangle": (partial(_plain, star(3, 0.5, 1.1)), _ANY, 180),
    "star": (_star, _GOLD, 180),
    "cross": (_cross, _ANY, 180),
    "crescent": (_crescent, _GOLD, 180),
    "heart": (_heart, _RED, 30),
    "arrow": (_arrow, _ANY, 180),
    "gear": (_gear, _ANY, 180),
    "house": (_house, _RED, 12),
    "tree": (_tree, _GREEN, 12),
    "flower": (_flower, (0.75, 1.17), 20),
    "fish": (_fish, (0.5, 1.12), 25),
    "cup": (_cup, _ANY, 15),
    "key": (_key, _GOLD, 180),
    "umbrella": (_umbrella, _ANY, 25),
    "eye": (_eye, (0.05, 0.65), 20),
}

SHAPES: tuple[str, ...] = (*TEXTURES, *_OBJECTS)
