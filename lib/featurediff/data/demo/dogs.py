"""Ten invented breeds of dog, drawn as portraits: coat, ears, muzzle and markings tell them apart, colour hardly."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from featurediff.data.demo.canvas import Canvas, Color, arc, ellipse, hsv, mix, random_pose, rounded, shade, smooth
from featurediff.data.demo.scenes import contrasting, garden

__all__ = ["BREEDS", "Breed", "draw_dog"]

INK: Color = (32, 27, 30)
CREAM: Color = (240, 229, 208)
WHITE: Color = (244, 242, 237)

# The tones of real coats, from pale to dark: hue, saturation and value of each.
_TONES = {
    "white": (0.10, 0.08, 0.95),
    "gold": (0.10, 0.50, 0.85),
    "tan": (0.08, 0.50, 0.72),
    "red": (0.05, 0.65, 0.65),
    "grey": (0.60, 0.10, 0.60),
    "brown": (0.06, 0.55, 0.40),
    "black": (0.65, 0.12, 0.20),
}


@dataclass(frozen=True)
class Breed:
    """What makes a breed: the coat's usual tones, what is drawn on it, its ears and its muzzle.

    `markings` are drawn in order; `snout` is the muzzle's half width, `shaggy` the length of hair at the outline,
    both as a share of the head's half height.
    """

    tones: tuple[str, ...]
    ears: Literal["pointed", "floppy", "round", "long", "button"]
    markings: tuple[str, ...] = ()
    second: tuple[str, ...] = ("black",)
    snout: float = 0.27
    shaggy: float = 0.0


BREEDS: dict[str, Breed] = {
    "amber_longear": Breed(("gold", "red", "brown"), "long"),
    "brindle_boxhound": Breed(("tan", "gold", "red"), "button", ("brindle", "dark_muzzle"), ("brown", "black"), 0.33),
    "cloud_merle": Breed(("grey", "tan"), "floppy", ("merle", "pale_muzzle"), ("black", "brown")),
    "copper_foxhound": Breed(("red", "tan", "brown"), "pointed", ("blaze", "bib"), ("white",), 0.22),
    "fell_greybeard": Breed(("grey", "black", "tan"), "button", ("beard",), ("white",), 0.34, 0.06),
    "harbour_spotter": Breed(("white",), "floppy", ("spots",), ("black", "brown")),
    "hollow_panda_pug": Breed(("gold", "tan", "white"), "round", ("mask",), ("black",), 0.36),
    "moor_saddleback": Breed(("tan", "gold", "red"), "pointed", ("saddle",), ("black",), 0.25),
    "patchwork_terrier": Breed(("white",), "button", ("patch",), ("brown", "red", "black"), 0.25, 0.03),
    "snow_bearling": Breed(("white", "gold", "grey"), "round", ("pale_muzzle",), ("white",), 0.3, 0.07),
}


@dataclass(frozen=True)
class _Dog:
    """One dog: its breed, its two colours, and how far its face is turned (x, y)."""

    breed: Breed
    coat: Color
    second: Color
    face: tuple[float, float]


def draw_dog(canvas: Canvas, rng: np.random.Generator, name: str) -> None:
    """Draw one picture of a dog of the breed `name`, one of `BREEDS`."""
    breed = BREEDS[name]
    coat = _tone(rng, breed.tones)
    dog = _Dog(breed, coat, _tone(rng, breed.second), (rng.uniform(-0.11, 0.11), rng.uniform(-0.05, 0.07)))
    garden(canvas, rng, contrasting(rng, coat, 120))
    pose = random_pose(rng, scale=(0.75, 1.15), angle=22, shift=0.22, shear=0.08)
    canvas.pose = replace(pose, y=pose.y + 0.1)
    _body(canvas, rng, dog)
    hanging = breed.ears in ("floppy", "long")
    if not hanging:
        _ears(canvas, rng, dog)
    _head(canvas, rng, dog)
    _muzzle(canvas, rng, dog)
    if hanging:
        _ears(canvas, rng, dog)
    _face(canvas, rng, dog)


def _tone(rng: np.random.Generator, names: tuple[str, ...]) -> Color:
    hue, saturation, value = _TONES[names[rng.integers(len(names))]]
    return hsv(hue + rng.uniform(-0.02, 0.02), saturation * rng.uniform(0.8, 1.2), value * rng.uniform(0.85, 1.05))


def _fur(rng: np.random.Generator, outline: np.ndarray, length: float) -> np.ndarray:
    """The outline with tufts of hair of about this length; (N, 2)."""
    if not length:
        return outline
    dense = outline[::2]
    out = dense - dense.mean(0)
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    tufts = np.where(np.arange(len(dense)) % 2 == 0, length, -0.2 * length) * rng.uniform(0.5, 1.3, len(dense))
    return dense + out * tufts[:, None]


def _body(canvas: Canvas, rng: np.random.Generator, dog: _Dog) -> None:
    """Neck, chest and shoulders, which leave the picture below."""
    width = rng.uniform(0.55, 0.7)
    sides = [(0.3, 0.1), (0.4, 0.45), (width, 0.75), (width + 0.2, 2.0)]
    outline = _fur(rng, smooth(sides + [(-x, y) for x, y in sides[::-1]]), dog.breed.shaggy)
    canvas.fill(outline, shade(dog.coat, 0.85))
    with canvas.inside(outline):
        if "saddle" in dog.breed.markings:
            for side in (-1, 1):
                canvas.fill(ellipse(side * 0.72, 0.95, 0.42, 0.6, side * 15), dog.second)
        elif "bib" in dog.breed.markings:
            canvas.fill(ellipse(0, 0.85, 0.28, 0.5), shade(dog.second, 0.95))
        _coat(canvas, rng, dog, (0.0, 0.9))
    if rng.random() < 0.5:
        canvas.line(arc(0, 0.28, 0.37, 0.24, 20, 160), 0.1, hsv(rng.random(), 0.75, rng.uniform(0.4, 0.95)))


def _head(canvas: Canvas, rng: np.random.Generator, dog: _Dog) -> None:
    cheek = 0.3 + 0.35 * (dog.breed.snout - 0.2)
    sides = [(0.2, -0.6), (0.4, -0.4), (0.45, -0.12), (cheek + 0.07, 0.14), (0.2, 0.36)]
    outline = smooth(sides + [(-x, y) for x, y in sides[::-1]])
    outline = _fur(rng, outline, dog.breed.shaggy)
    canvas.contour(outline, 0.03, shade(dog.coat, 0.7))
    canvas.fill(outline, dog.coat)
    x, y = dog.face
    with canvas.inside(outline):
        _coat(canvas, rng, dog, (0.0, -0.15))
        if "patch" in dog.breed.markings:
            canvas.fill(smooth([(0.1, -0.7), (0.55, -0.7), (0.6, 0.1), (0.3, 0.12), (0.06 + x, -0.1)]), dog.second)
        if "saddle" in dog.breed.markings:
            cap = [(-0.6, -0.8), (0.6, -0.8), (0.46, -0.2), (0.2 + x, -0.3), (x, -0.12), (x - 0.2, -0.3), (-0.46, -0.2)]
            canvas.fill(smooth(cap), dog.second)
            for side in (-1, 1):
                canvas.fill(ellipse(x + side * 0.18, y - 0.29, 0.07, 0.05), mix(dog.coat, CREAM, 0.3))
        if "mask" in dog.breed.markings:
            for side in (-1, 1):
                canvas.fill(ellipse(x + side * 0.19, y - 0.13, 0.19, 0.16, side * 25), dog.second)
            for fold in (-0.36, -0.44):
                canvas.line(arc(x, y + fold + 0.12, 0.17, 0.12, 215, 325), 0.035, shade(dog.coat, 0.65))
        if "blaze" in dog.breed.markings:
            sides = [(0.05, -0.65), (0.06, -0.2), (0.2, 0.1), (0.25, 0.5)]
            canvas.fill(smooth([(px + x, py) for px, py in sides + [(-a, b) for a, b in sides[::-1]]]), dog.second)


def _coat(canvas: Canvas, rng: np.random.Generator, dog: _Dog, centre: tuple[float, float]) -> None:
    """The pattern of the hair about a point: spots, brindle or merle."""
    x, y = centre
    if "spots" in dog.breed.markings:
        for _ in range(rng.integers(14, 22)):
            spot = ellipse(x + rng.uniform(-0.6, 0.6), y + rng.uniform(-0.5, 0.5), *rng.uniform(0.035, 0.085, 2))
            canvas.fill(spot, dog.second)
    if "brindle" in dog.breed.markings:
        for start in np.arange(-0.75, 0.75, 0.15) + rng.uniform(-0.05, 0.05):
            t = np.linspace(-0.6, 0.6, 7)
            wave = x + start + 0.35 * np.sign(start) * t**2 + rng.uniform(-0.03, 0.03, 7)
            canvas.line(np.stack([wave, y + t], 1), rng.uniform(0.035, 0.07), mix(dog.coat, dog.second, 0.8))
    if "merle" in dog.breed.markings:
        for _ in range(rng.integers(7, 11)):
            bumps = np.linspace(0, 2 * np.pi, 7, endpoint=False)
            radius = rng.uniform(0.05, 0.2, 7)
            px, py = x + rng.uniform(-0.55, 0.55), y + rng.uniform(-0.5, 0.5)
            blot = smooth(np.stack([px + radius * np.cos(bumps), py + radius * np.sin(bumps)], 1))
            canvas.fill(blot, mix(dog.coat, dog.second, rng.uniform(0.55, 1)))


def _ears(canvas: Canvas, rng: np.random.Generator, dog: _Dog) -> None:
    """Both ears; upright ones are drawn behind the head, hanging ones before it."""
    lift = rng.uniform(-0.04, 0.06)
    for side in (-1, 1):
        dark = "spots" in dog.breed.markings and rng.random() < 0.7
        marked = dark or ("patch" in dog.breed.markings and side == 1) or "saddle" in dog.breed.markings
        color = shade(dog.second if marked or "mask" in dog.breed.markings else dog.coat, 0.8)
        outline, lining = _ear(dog.breed.ears, lift)
        outline, lining = outline * (side, 1), lining * (side, 1)
        outline = _fur(rng, outline, dog.breed.shaggy * 0.7)
        canvas.fill(outline, color)
        canvas.contour(outline, 0.03, shade(color, 0.65))
        if len(lining):
            inner = shade(color, 0.62) if dog.breed.ears == "button" else mix(color, (225, 150, 150), 0.55)
            canvas.fill(lining, inner)


def _ear(kind: str, lift: float) -> tuple[np.ndarray, np.ndarray]:
    """Outline of a right ear, and of what shows on it (its inside, or the fold); each (N, 2)."""
    if kind == "pointed":
        outer = rounded([(0.06, -0.5), (0.42, -0.96 - lift), (0.5, -0.2)], 0.06)
        return outer, rounded([(0.19, -0.55), (0.4, -0.84 - lift), (0.43, -0.4)], 0.05)
    if kind == "round":
        return ellipse(0.4, -0.52 - lift, 0.21), ellipse(0.4, -0.52 - lift, 0.12)
    if kind == "button":
        outer = rounded([(0.08, -0.5), (0.22, -0.8 - lift), (0.48, -0.76 - lift), (0.5, -0.3)], 0.08)
        return outer, rounded([(0.2, -0.8 - lift), (0.5, -0.77 - lift), (0.62, -0.42 + lift)], 0.05)
    if kind == "floppy":
        drop = [(0.26, -0.56), (0.44, -0.6), (0.64, -0.3 - lift), (0.66, 0.02 - lift), (0.53, 0.1), (0.42, -0.15)]
    else:
        drop = [(0.28, -0.52), (0.45, -0.5), (0.62, -0.05), (0.68, 0.45 - lift), (0.52, 0.6 - lift), (0.36, 0.3)]
    return smooth(drop), np.empty((0, 2))


def _muzzle(canvas: Canvas, rng: np.random.Generator, dog: _Dog) -> None:
    """The muzzle, in its own colour where the breed has one; a beard below it."""
    x, y = dog.face
    marks, width = set(dog.breed.markings), dog.breed.snout
    color = mix(dog.coat, CREAM, 0.25)
    if marks & {"pale_muzzle", "blaze", "beard"}:
        color = mix(dog.coat, WHITE, 0.8)
    elif marks & {"dark_muzzle", "mask"}:
        color = mix(dog.coat, INK, 0.85)
    if "beard" in marks:
        tips = np.linspace(-1, 1, 9)
        low = [
            (x + 0.36 * tip, y + rng.uniform(0.5, 0.6) - 0.2 * abs(tip) - 0.1 * (k % 2)) for k, tip in enumerate(tips)
        ]
        canvas.fill([(x - 0.34, y + 0.1), *low, (x + 0.34, y + 0.1)], color)
        for side in (-1, 1):
            brow = [(0.04, -0.2), (0.3, -0.34), (0.38, -0.18), (0.22, -0.2)]
            canvas.fill([(x + side * px, y + py) for px, py in brow], color)
    shape = [(0, -0.12), (0.13, -0.1), (width, 0.12), (width * 0.8, 0.3), (0, 0.36)]
    outline = smooth([(x * 1.5 + px, y + py) for px, py in shape + [(-a, b) for a, b in shape[-2:0:-1]]])
    canvas.fill(outline, color)
    if "spots" in marks:
        with canvas.inside(outline):
            for _ in range(8):
                canvas.fill(ellipse(x + rng.uniform(-0.25, 0.25), y + rng.uniform(0, 0.35), 0.025), dog.second)


def _face(canvas: Canvas, rng: np.random.Generator, dog: _Dog) -> None:
    """Eyes, nose, mouth, and sometimes the tongue."""
    x, y = dog.face
    iris = hsv(rng.uniform(0.04, 0.1), 0.7, rng.uniform(0.25, 0.55))
    size = rng.uniform(0.075, 0.095)
    for side in (-1, 1):
        eye = (x + side * 0.19, y - 0.13)
        canvas.fill(ellipse(*eye, size * 1.25, size * 1.1), shade(dog.coat, 0.45))
        canvas.fill(ellipse(*eye, size), iris)
        canvas.fill(ellipse(*eye, size * 0.65), INK)
        canvas.fill(ellipse(eye[0] + 0.03, eye[1] - 0.035, 0.03), WHITE)
    nose_x, nose_y = x * 1.9, y * 1.3 + 0.07
    if rng.random() < 0.45:
        canvas.fill(
            rounded([(x - 0.07, y + 0.26), (x + 0.1, y + 0.26), (x + 0.08, y + 0.5), (x - 0.05, y + 0.5)], 0.07),
            (226, 112, 120),
        )
    mouth = shade(dog.coat, 0.35)
    canvas.line([(nose_x, nose_y), (nose_x, nose_y + 0.14)], 0.03, mouth)
    for side in (-1, 1):
        canvas.line(arc(nose_x + side * 0.09, nose_y + 0.13, 0.09, 0.08, 0, 180), 0.03, mouth)
    nose = [(-0.12, -0.06), (0.12, -0.06), (0.07, 0.06), (0, 0.1), (-0.07, 0.06)]
    canvas.fill(rounded([(nose_x + px, nose_y + py) for px, py in nose], 0.06), INK)
    canvas.fill(ellipse(nose_x - 0.03, nose_y - 0.03, 0.035, 0.018), (120, 110, 115))
