"""Drawn scenes with a known answer: coloured shapes that stand, move, enter and leave.

One to four shapes on a textured, noisy background under changing light. The truth of every moment
(labels, boxes, motion) comes with the pictures, so that tests, the demo and the training of the
embedded model can judge an answer. Lengths are in units of the picture's shorter side.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from stream.event import Box
from stream.frame import Pixels
from stream.sources.surfaces import Backdrop, Grain, Light

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


class Scene:
    """A deterministic film: the same seed and size give the same pictures."""

    def __init__(self, seed: int, width: float = 1.0, height: float = 1.0, duration: float = 60.0) -> None:
        rng = np.random.default_rng(seed)
        shorter = min(width, height)
        self.width, self.height = width / shorter, height / shorter
        self.duration = duration
        self.actors = _cast(rng, self.width, self.height, duration)
        self._backdrop = Backdrop(rng)
        self._light = Light(rng)
        self._grain = Grain(rng)

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
