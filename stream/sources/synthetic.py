"""Drawn scenes with a known answer: coloured shapes that stand, move, enter and leave.

One to four shapes on a textured, noisy background under changing light. The truth of every moment
(labels, boxes, motion) comes with the pictures, so that tests, the demo and the training of the
embedded model can judge an answer. Lengths are in units of the picture's shorter side.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import cv2
import numpy as np
from numpy.typing import NDArray

from stream.event import Box
from stream.frame import Clock, Frame, Pixels

Points = NDArray[np.float64]

COLOURS = {
    "red": (214, 40, 40),
    "green": (44, 160, 60),
    "blue": (40, 80, 214),
    "yellow": (236, 210, 40),
    "purple": (150, 50, 190),
    "cyan": (60, 205, 215),
}
SHAPES = ("circle", "square", "triangle", "star", "cross")
SIZES = {"small": (0.09, 0.11), "medium": (0.135, 0.155), "large": (0.185, 0.215)}  # half the side
SPEED = (0.08, 0.24)  # per second
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}

VISIBLE = 0.5  # a thing counts as in the picture when at least this share of its box is
STILL = 0.03  # a thing that moves less than this per second stands still


@dataclass(frozen=True, slots=True)
class Thing:
    """One shape at one moment."""

    colour: str
    shape: str
    size: str
    motion: str  # "still", "left", "right", "up" or "down"
    box: Box  # the part inside the picture, coordinates 0..1; label "colour shape"
    shown: float  # share of the whole box that lies inside the picture

    @property
    def label(self) -> str:
        return f"{self.colour} {self.shape}"


DEFAULTS = {"seed": "0", "size": "448x336", "fps": "25", "seconds": "60", "live": "0"}


class Scene:
    """A deterministic film: the same seed and size give the same pictures."""

    def __init__(self, seed: int, width: float = 1.0, height: float = 1.0, duration: float = 60.0) -> None:
        rng = np.random.default_rng(seed)
        shorter = min(width, height)
        self.width, self.height = width / shorter, height / shorter
        self.duration = duration
        self.actors = _cast(rng, self.width, self.height, duration)
        self._backdrop = _Backdrop(rng)
        self._light = _Light(rng)
        self._grain = _Grain(rng)

    def render(self, t: float, height: int, width: int) -> Pixels:
        """The picture at t seconds, (height, width, 3) RGB."""
        picture = self._backdrop.draw(height, width)
        scale = np.array([width / self.width, height / self.height])
        for actor in self.actors:
            actor.draw(picture, t, scale)
        return self._grain.add(self._light.shine(picture, t))

    def things(self, t: float, span: float = 0.04) -> list[Thing]:
        """What is in the picture at t, left to right; motion is what happened in the `span` seconds before."""
        seen = [actor.thing(t, span, self.width, self.height) for actor in self.actors]
        visible = [thing for thing in seen if thing.shown >= VISIBLE]
        return sorted(visible, key=lambda thing: thing.box.x1 + thing.box.x2)

    def is_clear(self, t: float) -> bool:
        """Whether a careful viewer could not doubt what is in the picture at t: nothing half hidden."""
        shown = [actor.thing(t, 0.04, self.width, self.height) for actor in self.actors]
        if any(0.05 < thing.shown < VISIBLE for thing in shown):
            return False
        pairs = itertools.combinations((thing.box for thing in shown if thing.shown >= VISIBLE), 2)
        return all(_overlap(a, b) < 0.25 for a, b in pairs)


class SyntheticSource:
    """`synthetic:` or `synthetic://?seed=3&size=448x336&fps=25&seconds=60&live=1`: a scene as a source.

    `live=1` keeps time with the clock on the wall; otherwise frames come as fast as they are asked for.
    """

    def __init__(self, address: str = "synthetic:") -> None:
        options = {
            **DEFAULTS,
            **{key: values[-1] for key, values in parse_qs(urlsplit(address).query).items()},
        }
        if unknown := set(options) - set(DEFAULTS):
            raise ValueError(f"{address}: unknown option {min(unknown)!r}; known are {', '.join(DEFAULTS)}.")
        self.name, self.codec = address, ""
        self.live = options["live"] not in ("0", "false", "no")
        try:
            width, height = (int(side) for side in options["size"].split("x"))
            self.size, self.fps = (height, width), float(options["fps"])
            seed, seconds = int(options["seed"]), float(options["seconds"])
        except ValueError as error:
            raise ValueError(f"{address}: {error}. Write it like synthetic://?seed=3&size=448x336&fps=25.") from None
        if min(*self.size, self.fps, seconds) <= 0:
            raise ValueError(f"{address}: size, fps and seconds must be positive.")
        self.scene = Scene(seed, width, height, seconds)
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        clock: Clock = "arrival" if self.live else "synthetic"
        start = time.monotonic()
        for index in range(round(self.scene.duration * self.fps)):
            pts = index / self.fps
            if self.live:
                self._closed.wait(start + pts - time.monotonic())
            if self._closed.is_set():
                return
            yield Frame(self.scene.render(pts, *self.size), pts, time.monotonic(), clock)

    def close(self) -> None:
        self._closed.set()


@dataclass(frozen=True, slots=True)
class Actor:
    """A shape and the path it walks: straight lines between points in time."""

    colour: str
    shape: str
    size: str
    radius: float
    tint: tuple[int, int, int]
    times: NDArray[np.float64]
    path: Points  # (n, 2)

    @property
    def label(self) -> str:
        return f"{self.colour} {self.shape}"

    def at(self, t: float) -> NDArray[np.float64]:
        return np.array([np.interp(t, self.times, self.path[:, axis]) for axis in (0, 1)])

    def draw(self, picture: Pixels, t: float, scale: NDArray[np.float64]) -> None:
        corners = (self.at(t) + self.radius * OUTLINES[self.shape]) * scale - 0.5
        fixed_point = np.round(corners * 16).astype(np.int32)
        cv2.fillPoly(picture, [fixed_point], self.tint, lineType=cv2.LINE_AA, shift=4)

    def thing(self, t: float, span: float, width: float, height: float) -> Thing:
        x, y = self.at(t)
        r = self.radius
        x1, y1 = max(x - r, 0.0), max(y - r, 0.0)
        x2, y2 = min(x + r, width), min(y + r, height)
        shown = max(x2 - x1, 0.0) * max(y2 - y1, 0.0) / (4 * r * r)
        box = Box(self.label, x1 / width, y1 / height, x2 / width, y2 / height)
        return Thing(self.colour, self.shape, self.size, self._motion(t, span), box, shown)

    def _motion(self, t: float, span: float) -> str:
        dx, dy = (self.at(t) - self.at(t - span)) / span
        if max(abs(dx), abs(dy)) < STILL:
            return "still"
        if abs(dx) >= abs(dy):
            return "right" if dx > 0 else "left"
        return "down" if dy > 0 else "up"


def _cast(rng: np.random.Generator, width: float, height: float, duration: float) -> list[Actor]:
    """One to four actors, no two of the same colour and shape, starting apart from each other."""
    count = int(rng.integers(1, 5))
    looks = rng.permutation([(c, s) for c in COLOURS for s in SHAPES])[:count]
    actors: list[Actor] = []
    for colour, shape in looks:
        size = str(rng.choice(list(SIZES)))
        radius = float(rng.uniform(*SIZES[size]))
        tint = np.clip(np.array(COLOURS[str(colour)]) + rng.integers(-14, 15, 3), 0, 255)
        taken = [(actor.path[0], actor.radius) for actor in actors]
        times, path = _walk(rng, radius, width, height, duration, taken)
        red, green, blue = (int(part) for part in tint)
        actors.append(Actor(str(colour), str(shape), size, radius, (red, green, blue), times, path))
    return actors


def _walk(
    rng: np.random.Generator, radius: float, width: float, height: float, duration: float,
    taken: list[tuple[NDArray[np.float64], float]],
) -> tuple[NDArray[np.float64], Points]:  # fmt: skip
    """Times and points of a path that stands, moves along an axis, leaves the picture and comes back."""
    room = np.array([width, height])
    t, inside = 0.0, rng.random() < 0.75
    here = _start(rng, radius, room, taken) if inside else _outside(rng, radius, room)[0]
    times, points = [t], [here]

    def go(to: NDArray[np.float64], seconds: float) -> None:
        nonlocal t, here
        t, here = t + seconds, to
        times.append(t)
        points.append(to)

    while t < duration:
        if not inside:
            go(here, rng.uniform(0.3, 4.0))
            edge, inward = _outside(rng, radius, room)
            go(edge, 1e-6)
            distance = 2 * radius + rng.uniform(0.05, 0.5)
            go(edge + inward * distance, distance / rng.uniform(*SPEED))
            inside = True
        elif rng.random() < 0.45:
            go(here, rng.uniform(1.0, 6.0))
        else:
            direction = np.array(DIRECTIONS[str(rng.choice(list(DIRECTIONS)))])
            free = _free(here, direction, radius, room)
            speed = rng.uniform(*SPEED)
            if rng.random() < 0.25:
                distance = free + 2 * radius + 0.02
                inside = False
            else:
                distance = min(free, speed * rng.uniform(1.5, 5.0))
            if inside and distance < 0.12:
                continue
            go(here + direction * distance, distance / speed)
    return np.array(times), np.array(points)


def _start(
    rng: np.random.Generator, radius: float, room: NDArray[np.float64],
    taken: list[tuple[NDArray[np.float64], float]],
) -> NDArray[np.float64]:  # fmt: skip
    for _ in range(20):
        here = rng.uniform(radius, room - radius)
        if all(np.abs(here - there).max() > radius + other for there, other in taken):
            break
    return here


def _outside(
    rng: np.random.Generator, radius: float, room: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A point just beyond one edge and the direction that leads in."""
    inward = np.array(DIRECTIONS[str(rng.choice(list(DIRECTIONS)))])
    here = rng.uniform(radius, room - radius)
    axis = int(np.argmax(np.abs(inward)))
    here[axis] = -radius - 0.02 if inward[axis] > 0 else room[axis] + radius + 0.02
    return here, inward


def _free(here: NDArray[np.float64], direction: NDArray[np.float64], radius: float, room: NDArray[np.float64]) -> float:
    axis = int(np.argmax(np.abs(direction)))
    ahead = room[axis] - radius - here[axis] if direction[axis] > 0 else here[axis] - radius
    return max(float(ahead), 0.0)


def _overlap(a: Box, b: Box) -> float:
    """Shared area as a share of the smaller box."""
    iou = a.iou(b)
    return iou * (a.area + b.area) / (1 + iou) / min(a.area, b.area)


class _Backdrop:
    """A dull surface: a slow gradient, cloudy texture, sometimes stripes or tiles."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.base = rng.uniform(40, 170) + rng.uniform(-12, 12, 3)
        self.clouds = rng.normal(0, rng.uniform(4, 18), (int(rng.integers(3, 9)), int(rng.integers(3, 9)), 1))
        self.tilt = rng.uniform(-30, 30, 2)
        self.pattern = str(rng.choice(["none", "none", "stripes", "tiles"]))
        self.contrast = rng.uniform(6, 18)
        self.period = rng.uniform(0.08, 0.3)
        self.angle = rng.uniform(0, np.pi)
        self._drawn: dict[tuple[int, int], Pixels] = {}

    def draw(self, height: int, width: int) -> Pixels:
        """A fresh copy to draw upon."""
        if (height, width) not in self._drawn:
            self._drawn = {(height, width): self._paint(height, width)}
        return self._drawn[height, width].copy()

    def _paint(self, height: int, width: int) -> Pixels:
        y, x = np.meshgrid(np.linspace(-0.5, 0.5, height), np.linspace(-0.5, 0.5, width), indexing="ij")
        x *= width / min(height, width)
        clouds = cv2.resize(self.clouds, (width, height), interpolation=cv2.INTER_CUBIC)
        shade = self.tilt[0] * x + self.tilt[1] * y + clouds
        turned = np.cos(self.angle) * x + np.sin(self.angle) * y
        if self.pattern == "stripes":
            shade = shade + self.contrast * np.sign(np.sin(2 * np.pi * turned / self.period))
        if self.pattern == "tiles":
            across = np.cos(self.angle) * y - np.sin(self.angle) * x
            shade = shade + self.contrast * np.sign(
                np.sin(2 * np.pi * turned / self.period) * np.sin(2 * np.pi * across / self.period)
            )
        painted: Pixels = np.clip(self.base + shade[..., None], 0, 255).astype(np.uint8)
        return painted


class _Light:
    """Brightness that swells and fades."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.level = rng.uniform(0.75, 1.1)
        self.swing = rng.uniform(0.0, 0.18)
        self.period = rng.uniform(3.0, 12.0)
        self.phase = rng.uniform(0, 2 * np.pi)

    def shine(self, picture: Pixels, t: float) -> Pixels:
        gain = self.level * (1 + self.swing * np.sin(2 * np.pi * t / self.period + self.phase))
        return np.asarray(cv2.convertScaleAbs(picture, alpha=float(gain)), np.uint8)


class _Grain:
    """Sensor noise, cut at a random place from one noise field so that it costs little."""

    FIELD = np.random.default_rng(0).normal(128, 40, (1024, 1024)).clip(0, 255).astype(np.uint8)

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = np.random.default_rng(rng.integers(2**32))
        self.strength = float(rng.uniform(0.02, 0.22))

    def add(self, picture: Pixels) -> Pixels:
        height, width = picture.shape[:2]
        need_rows, need_columns = -(-height // 1024), -(-width // 1024)
        field = np.tile(self.FIELD, (need_rows + 1, need_columns + 1)) if max(height, width) > 512 else self.FIELD
        top, left = self.rng.integers(field.shape[0] - height), self.rng.integers(field.shape[1] - width)
        grain = cv2.cvtColor(field[top : top + height, left : left + width], cv2.COLOR_GRAY2RGB)
        out = cv2.addWeighted(picture, 1.0, grain, self.strength, -128 * self.strength)
        return np.asarray(out, np.uint8)


def _outline(points: list[tuple[float, float]]) -> Points:
    """Stretch a polygon so that it fills the square from -1 to 1."""
    corners = np.array(points)
    low, high = corners.min(axis=0), corners.max(axis=0)
    stretched: Points = 2 * (corners - low) / (high - low) - 1
    return stretched


def _wheel(count: int, radii: tuple[float, ...], turn: float = 0.0) -> list[tuple[float, float]]:
    angles = 2 * np.pi * np.arange(count) / count + turn
    return [(radii[i % len(radii)] * np.cos(a), radii[i % len(radii)] * np.sin(a)) for i, a in enumerate(angles)]


OUTLINES = {
    "circle": _outline(_wheel(48, (1.0,))),
    "square": _outline([(-1, -1), (1, -1), (1, 1), (-1, 1)]),
    "triangle": _outline([(0, -1), (1, 1), (-1, 1)]),
    "star": _outline(_wheel(10, (1.0, 0.42), -np.pi / 2)),
    "cross": _outline(
        [(-0.36, -1), (0.36, -1), (0.36, -0.36), (1, -0.36), (1, 0.36), (0.36, 0.36),
         (0.36, 1), (-0.36, 1), (-0.36, 0.36), (-1, 0.36), (-1, -0.36), (-0.36, -0.36)]
    ),
}  # fmt: skip
