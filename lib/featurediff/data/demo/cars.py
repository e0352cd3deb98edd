"""Ten invented models of car seen from the side: body, windows, wheels and trim tell them apart, paint hardly."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from featurediff.data.demo.canvas import Canvas, Color, arc, ellipse, hsv, mix, random_pose, rounded, shade
from featurediff.data.demo.scenes import street

__all__ = ["MODELS", "Model", "draw_car"]

INK: Color = (30, 30, 34)
TYRE: Color = (38, 37, 40)
STEEL: Color = (196, 200, 205)
WHITE: Color = (244, 243, 240)
GROUND = 0.42  # y of the road under the wheels, in a car's coordinates

Outline = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Model:
    """A model from the side, its front to the right: outlines in units of half the longest model's length.

    `cabin` is what carries the windows (empty in an open car), `pillars` the x at which they are divided,
    `hubs` the x of the wheels; `corner` rounds body and cabin; `paint` lists the usual colours.
    """

    body: Outline
    cabin: Outline
    hubs: tuple[float, ...]
    radius: float
    rim: Literal["disc", "five", "wire", "cross", "holes"]
    paint: tuple[str, ...]
    pillars: tuple[float, ...] = ()
    trim: tuple[str, ...] = ()
    corner: float = 0.08


# Hue, saturation and value of paints.
_PAINTS = {
    "red": (0.99, 0.80, 0.75),
    "orange": (0.07, 0.80, 0.90),
    "yellow": (0.13, 0.75, 0.93),
    "green": (0.38, 0.55, 0.50),
    "blue": (0.60, 0.65, 0.70),
    "sky": (0.55, 0.40, 0.85),
    "white": (0.10, 0.03, 0.95),
    "silver": (0.60, 0.05, 0.72),
    "black": (0.65, 0.15, 0.22),
}

MODELS: dict[str, Model] = {
    "Aldermoor Consul Saloon 2011": Model(
        body=((-0.97, 0.26), (-0.97, 0.0), (-0.62, -0.06), (0.42, -0.05), (0.92, 0.02), (0.97, 0.26)),
        cabin=((-0.7, -0.02), (-0.42, -0.34), (0.1, -0.34), (0.46, -0.02)),
        hubs=(-0.58, 0.58), radius=0.175, rim="disc", paint=("black", "silver", "blue"), pillars=(-0.16,),
        trim=("chrome",),
    ),
    "Aldermoor Consul Estate 2012": Model(
        body=((-0.97, 0.26), (-0.98, -0.05), (0.42, -0.05), (0.92, 0.02), (0.97, 0.26)),
        cabin=((-0.96, -0.02), (-0.86, -0.36), (0.1, -0.36), (0.46, -0.02)),
        hubs=(-0.58, 0.58), radius=0.175, rim="disc", paint=("green", "silver", "red"), pillars=(-0.55, -0.16),
        trim=("rack",),
    ),
    "Bramble Pip Hatchback 2012": Model(
        body=((-0.6, 0.27), (-0.64, -0.06), (0.34, -0.1), (0.58, -0.02), (0.63, 0.27)),
        cabin=((-0.63, -0.02), (-0.52, -0.52), (0.04, -0.52), (0.42, -0.06)),
        hubs=(-0.4, 0.4), radius=0.17, rim="five", paint=("yellow", "sky", "red"), pillars=(-0.14,),
        trim=("roof",), corner=0.12,
    ),
    "Corvane Arrow Coupe 2010": Model(
        body=((-0.95, 0.27), (-0.98, 0.0), (-0.8, -0.05), (0.35, -0.02), (0.98, 0.13), (0.98, 0.27)),
        cabin=((-0.88, -0.01), (-0.3, -0.27), (-0.02, -0.27), (0.4, 0.02)),
        hubs=(-0.58, 0.6), radius=0.2, rim="five", paint=("red", "orange", "blue"), pillars=(-0.2,),
        trim=("stripe", "spoiler"),
    ),
    "Corvane Zephyr Roadster 2009": Model(
        body=((-0.88, 0.27), (-0.92, 0.08), (-0.6, -0.06), (0.1, -0.03), (0.7, -0.02), (0.92, 0.12), (0.9, 0.27)),
        cabin=(), hubs=(-0.55, 0.56), radius=0.2, rim="wire", paint=("green", "red", "silver"), trim=("open",),
    ),
    "Fennick Rover Off-Road 2010": Model(
        body=((-0.8, 0.18), (-0.82, -0.16), (0.3, -0.16), (0.78, -0.12), (0.8, 0.18)),
        cabin=((-0.82, -0.12), (-0.8, -0.6), (0.18, -0.6), (0.34, -0.12)),
        hubs=(-0.5, 0.5), radius=0.24, rim="holes", paint=("green", "orange", "white"), pillars=(-0.42, -0.06),
        trim=("spare", "guard"), corner=0.04,
    ),
    "Fennick Mule Pickup 2011": Model(
        body=((-0.97, 0.22), (-0.97, -0.08), (0.42, -0.09), (0.92, -0.03), (0.96, 0.22)),
        cabin=((-0.22, -0.04), (-0.17, -0.54), (0.2, -0.54), (0.46, -0.04)),
        hubs=(-0.6, 0.6), radius=0.21, rim="holes", paint=("blue", "red", "white"), pillars=(0.12,),
        trim=("bed",), corner=0.05,
    ),
    "Hartwell Parcel Van 2008": Model(
        body=((-0.92, 0.27), (-0.93, -0.52), (0.4, -0.52), (0.74, -0.12), (0.93, -0.02), (0.95, 0.27)),
        cabin=((0.12, -0.1), (0.12, -0.46), (0.38, -0.46), (0.68, -0.1)),
        hubs=(-0.55, 0.6), radius=0.17, rim="disc", paint=("white", "yellow", "sky"), pillars=(0.34,),
        trim=("parcel",),
    ),
    "Hartwell Omnia Bus 2007": Model(
        body=((-0.98, 0.28), (-0.98, -0.58), (0.94, -0.58), (0.99, -0.1), (0.98, 0.28)),
        cabin=((-0.93, -0.12), (-0.93, -0.5), (0.9, -0.5), (0.94, -0.12)),
        hubs=(-0.56, 0.6), radius=0.16, rim="cross", paint=("red", "orange", "sky"),
        pillars=(-0.6, -0.28, 0.04, 0.36, 0.64), trim=("two_tone", "door"),
    ),
    "Luna Bug Classic 1968": Model(
        body=((-0.82, 0.26), (-0.84, 0.04), (-0.6, -0.14), (0.4, -0.1), (0.68, -0.08), (0.84, 0.08), (0.84, 0.26)),
        cabin=((-0.74, -0.02), (-0.5, -0.4), (-0.1, -0.52), (0.2, -0.44), (0.42, -0.04)),
        hubs=(-0.52, 0.52), radius=0.19, rim="cross", paint=("sky", "yellow", "orange"), pillars=(-0.22,),
        trim=("wings",), corner=0.22,
    ),
}  # fmt: skip


def draw_car(canvas: Canvas, rng: np.random.Generator, name: str) -> None:
    """Draw one picture of a car of the model `name`, one of `MODELS`; the canvas' box then encloses the car."""
    model = MODELS[name]
    pose = random_pose(rng, scale=(0.88, 1.06), angle=7, shift=0.1, shear=0.12)
    street(canvas, rng, pose.y + GROUND * pose.scale)
    canvas.pose = pose
    paint = _paint(rng, model)
    canvas.fill(ellipse(0, GROUND, 1.0, 0.07), (52, 52, 58))
    canvas.start_box()
    _behind(canvas, model, paint)
    _bodywork(canvas, rng, model, paint)
    _before(canvas, rng, model, paint)
    turn = rng.uniform(0, 360)
    for hub in model.hubs:
        canvas.fill(ellipse(hub, GROUND - model.radius, model.radius * 1.18), shade(paint, 0.4))
        _wheel(canvas, hub, GROUND - model.radius, model.radius, model.rim, turn)
    if "wings" in model.trim:
        for hub in model.hubs:
            canvas.line(arc(hub, 0.25, 0.25, 0.27, 180, 360), 0.08, shade(paint, 0.8))


def _paint(rng: np.random.Generator, model: Model) -> Color:
    """One of the model's usual paints in two of three cases, else any."""
    names = model.paint if rng.random() < 0.6 else tuple(_PAINTS)
    hue, saturation, value = _PAINTS[names[rng.integers(len(names))]]
    return hsv(hue + rng.uniform(-0.03, 0.03), saturation * rng.uniform(0.8, 1.2), value * rng.uniform(0.85, 1.08))


def _bodywork(canvas: Canvas, rng: np.random.Generator, model: Model, paint: Color) -> None:
    """Cabin and body with their light and shade, windows, doors and lamps."""
    body = rounded(model.body, model.corner)
    upper = WHITE if "two_tone" in model.trim else shade(paint, 0.92)
    if model.cabin:
        cabin = rounded(model.cabin, model.corner)
        canvas.fill(cabin, upper)
        if "roof" in model.trim:
            top = min(y for _, y in model.cabin)
            with canvas.inside(cabin):
                canvas.line([(-1, top + 0.03), (1, top + 0.03)], 0.16, WHITE if sum(paint) < 480 else INK)
    canvas.fill(body, paint)
    with canvas.inside(body):
        canvas.fill([(-1.1, 0.12), (1.1, 0.12), (1.1, 0.5), (-1.1, 0.5)], shade(paint, 0.78))
        if "two_tone" in model.trim:
            canvas.fill([(-1.1, -0.7), (1.1, -0.7), (1.1, -0.06), (-1.1, -0.06)], upper)
        if "stripe" in model.trim:
            stripe = WHITE if sum(paint) < 450 else INK
            canvas.line([(-1.1, 0.0), (1.1, 0.07)], 0.075, stripe)
        if "parcel" in model.trim:
            _parcel(canvas, rng, paint)
        right, left = max(x for x, _ in model.body), min(x for x, _ in model.body)
        canvas.fill(ellipse(right - 0.04, 0.1, 0.08, 0.055), (255, 244, 190))
        canvas.fill(ellipse(left + 0.02, 0.06, 0.06, 0.07), (200, 40, 45))
    if model.cabin:
        _windows(canvas, rng, model, upper)
    sill = 0.22
    for x in (0.0,) if len(model.pillars) < 3 else ():
        canvas.line([(x + 0.16, -0.02), (x + 0.13, sill)], 0.022, shade(paint, 0.6))
        canvas.line([(x - 0.02, 0.03), (x + 0.06, 0.03)], 0.03, shade(paint, 0.5))


def _windows(canvas: Canvas, rng: np.random.Generator, model: Model, frame: Color) -> None:
    points = np.array(model.cabin)  # (N, 2)
    middle = (points.min(0) + points.max(0)) / 2
    span = points.max(0) - points.min(0)
    # The frame is equally wide on all sides, whatever the cabin's proportions.
    inner = middle + (points - middle) * (1 - 0.11 / span)
    glass = rounded(inner, model.corner * 0.7)
    tint = hsv(0.56, rng.uniform(0.15, 0.4), rng.uniform(0.3, 0.75))
    canvas.fill(glass, tint)
    with canvas.inside(glass):
        canvas.fill([(-0.3, -1), (-0.1, -1), (-0.4, 0.2), (-0.6, 0.2)], mix(tint, WHITE, 0.35))
        for x in model.pillars:
            canvas.line([(x, -0.8), (x + 0.02, 0.1)], 0.05, frame)


def _parcel(canvas: Canvas, rng: np.random.Generator, paint: Color) -> None:
    """The badge on the van's side: a parcel with its ribbon."""
    card = hsv(rng.uniform(0, 1), 0.5, 0.8 if sum(paint) < 450 else 0.5)
    canvas.fill([(-0.65, -0.38), (-0.2, -0.38), (-0.2, 0.0), (-0.65, 0.0)], card)
    canvas.line([(-0.425, -0.38), (-0.425, 0.0)], 0.06, WHITE)
    canvas.line([(-0.65, -0.19), (-0.2, -0.19)], 0.06, WHITE)


def _behind(canvas: Canvas, model: Model, paint: Color) -> None:
    """What the body hides in part: seats, spare wheel, spoiler."""
    if "open" in model.trim:
        for x in (-0.38, -0.12):
            canvas.line([(x, 0.0), (x - 0.05, -0.2)], 0.13, shade((120, 70, 45), 0.9))
        canvas.line([(0.22, -0.02), (0.06, -0.26)], 0.05, STEEL)
        canvas.line([(0.02, -0.12), (-0.02, -0.02)], 0.04, INK)
    if "spare" in model.trim:
        canvas.fill(rounded([(-0.95, -0.36), (-0.82, -0.36), (-0.82, 0.08), (-0.95, 0.08)], 0.05), TYRE)
    if "spoiler" in model.trim:
        canvas.line([(-0.9, 0.0), (-0.88, -0.16)], 0.04, shade(paint, 0.6))
        canvas.line([(-1.0, -0.17), (-0.76, -0.15)], 0.06, shade(paint, 0.6))


def _before(canvas: Canvas, rng: np.random.Generator, model: Model, paint: Color) -> None:
    """What stands before the body or on it: bumpers, rack, door, the pickup's open bed."""
    for side in (min(x for x, _ in model.body), max(x for x, _ in model.body)):
        low = model.body[0][1] - 0.03
        canvas.line([(side * 0.94, low), (side * 1.01, low)], 0.06, STEEL if "wings" in model.trim else INK)
    if "chrome" in model.trim:
        canvas.line([(-0.9, 0.06), (0.9, 0.08)], 0.03, STEEL)
    if "rack" in model.trim:
        canvas.line([(-0.8, -0.43), (0.05, -0.43)], 0.035, INK)
        for x in (-0.7, -0.35, -0.02):
            canvas.line([(x, -0.43), (x, -0.36)], 0.035, INK)
        if rng.random() < 0.35:
            canvas.fill([(-0.65, -0.6), (-0.15, -0.6), (-0.15, -0.45), (-0.65, -0.45)], (150, 100, 60))
    if "door" in model.trim:
        canvas.fill([(0.68, -0.5), (0.85, -0.5), (0.85, 0.24), (0.68, 0.24)], (70, 84, 96))
        canvas.line([(0.765, -0.5), (0.765, 0.24)], 0.03, WHITE)
    if "guard" in model.trim:
        canvas.line([(-0.8, -0.66), (0.16, -0.66)], 0.04, INK)
        canvas.line([(0.86, -0.1), (0.86, 0.16)], 0.05, INK)
    if "bed" in model.trim:
        canvas.line([(-0.97, -0.11), (-0.27, -0.11)], 0.09, shade(paint, 0.5))
        if rng.random() < 0.4:
            for x in (-0.75, -0.5):
                canvas.fill(
                    rounded([(x - 0.13, -0.3), (x + 0.1, -0.3), (x + 0.1, -0.13), (x - 0.13, -0.13)], 0.05),
                    (160, 120, 75),
                )


def _wheel(canvas: Canvas, x: float, y: float, radius: float, rim: str, turn: float) -> None:
    """A tyre and its rim, turned by `turn` degrees."""
    canvas.fill(ellipse(x, y, radius), TYRE)
    inner = radius * 0.68
    canvas.fill(ellipse(x, y, inner), STEEL if rim in ("disc", "holes") else (84, 86, 92))
    if rim == "disc":
        canvas.fill(ellipse(x, y, inner * 0.45), (120, 124, 130))
        return
    if rim == "holes":
        for angle in np.deg2rad(turn + np.arange(6) * 60):
            canvas.fill(ellipse(x + inner * 0.6 * np.cos(angle), y + inner * 0.6 * np.sin(angle), inner * 0.2), INK)
        return
    spokes, width = {"five": (5, 0.3), "wire": (9, 0.12), "cross": (4, 0.4)}[rim]
    for angle in np.deg2rad(turn + np.arange(spokes) * 360 / spokes):
        end = (x + inner * 0.9 * np.cos(angle), y + inner * 0.9 * np.sin(angle))
        canvas.line([(x, y), end], inner * width, STEEL)
    canvas.fill(ellipse(x, y, inner * 0.3), WHITE if rim == "cross" else STEEL)
