"""One window at one size: our contexts and the re-run take turns on the same groups."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.harness import SEED, Interleaved, interleaved
from benchmarks.known_quality import known_quality
from benchmarks.streaming.meter import PARTS, Meter
from benchmarks.streaming.ours import Ours
from benchmarks.streaming.theirs import Theirs, twin
from edge.engine.engine import Engine
from edge.loading import random_engine
from edge.models.qwen2_vl.model import Qwen2VL
from edge.profiling.background_load import BackgroundLoad
from stream.frame import Group
from stream.sources.scene import Scene

FPS = 2.0
THEIRS = "transformers"
# The relative error of logits that is no more than rounding. bfloat16 makes 0.025 of 28 random layers, and a window
# one group later 0.10.
ROUNDING = {"float32": 1e-4, "bfloat16": 0.05}

Row = dict[str, Any]
Logits = NDArray[np.float32]


class Disagreement(Exception):
    """The two do not see the same thing, so their times cannot be compared."""


@dataclass(frozen=True, slots=True)
class Point:
    """What a row is measured at: windows of at most `window` groups of `size` x `size` pixels."""

    window: int
    size: int
    slides: int  # at least; whole periods are measured

    @property
    def period(self) -> int:
        """Slides from one rebuilding of the window to the next."""
        return self.window - self.window // 2

    @property
    def rounds(self) -> int:
        return self.period * math.ceil(self.slides / self.period)


class Contest:
    """Our variants of one shape, and transformers with the weights of an unquantized one."""

    def __init__(self, shape: str, variants: Sequence[str], device: torch.device) -> None:
        self.shape, self.device = shape, device
        self.engines = {name: self._engine(name) for name in variants}
        self.shared = next((name for name in variants if name in ROUNDING), "bfloat16")  # the variant of both sides
        source = self.engines.get(self.shared) or self._engine(self.shared)
        runner: Any = source.runner
        self.source: Qwen2VL = runner.model
        self.tokenizer = source.tokenizer
        self.twin = twin(self.source, shape)

    def measure(self, point: Point) -> list[Row]:
        """A row for each variant."""
        film = draw(point.size, point.window + point.rounds)
        theirs = Theirs(self.twin, self.source, self.tokenizer, self.device)
        ours = {
            name: Ours(engine, self.source.config, film, point.window, self.device)
            for name, engine in self.engines.items()
        }
        with closing(theirs):
            agreement = self._fill(ours, theirs, film, point)
            with BackgroundLoad() as busy:
                times = self._slide(ours, theirs, film, point)
        return [
            {
                "model": f"random:{self.shape}",
                "variant": self.engines[name].variant,
                "quality": known_quality(self.engines[name].variant),
                **(agreement if name == self.shared else {"error": None, "contrast": None}),
                **about(point),
                **compare(times, name, point),
                **parts(stream.meter, theirs.meter, point),
                **busy.to_dict(),
            }
            for name, stream in ours.items()
        ]

    def _engine(self, variant: str) -> Engine:
        return random_engine(self.shape, variant, device=self.device.type)

    def _fill(self, ours: Mapping[str, Ours], theirs: Theirs, film: Sequence[Group], point: Point) -> Row:
        """Full windows and warm kernels on both sides; what both expect after the question, compared on a window on
        which every version of transformers has the positions that the model was trained with."""
        compared = min(point.window, point.size // theirs.cell)
        for stream in ours.values():
            stream.see(compared)
        after = {name: stream.answer() for name, stream in ours.items()}
        expected, other = theirs.logits(film[:compared]), theirs.logits(film[1 : compared + 1])
        for stream in ours.values():
            stream.see(point.window - compared)
        if self.shared not in ours:
            return {"error": None, "contrast": None}
        return agreed(after[self.shared].logits()[-1], expected, other, self.shared)

    def _slide(self, ours: Mapping[str, Ours], theirs: Theirs, film: Sequence[Group], point: Point) -> Interleaved:
        stream = next(iter(ours.values()))  # all of them hold the same groups
        theirs.meter.reset()
        for each in ours.values():
            each.spans.clear()
        works = {name: stream.slide for name, stream in ours.items()}
        works[THEIRS] = lambda: theirs.answer(stream.window)
        return interleaved(works, point.rounds, self.device, warm_up=0)  # `_fill` did


def draw(size: int, groups: int) -> list[Group]:
    """The first groups of a drawn film."""
    scene = Scene(SEED)
    frames = np.stack([scene.render(index / FPS, size, size) for index in range(2 * groups)])
    pairs = frames.reshape(groups, 2, size, size, 3)
    return [
        Group(index, pair, (2 * index / FPS, (2 * index + 1) / FPS), 0.0, "synthetic", 2, pair[1])
        for index, pair in enumerate(pairs)
    ]


def agreed(ours: Logits, theirs: Logits, other: Logits, dtype: str) -> Row:
    """How far apart two rows of logits are, and how far apart they would be one group later.

    Raises Disagreement.
    """
    error, contrast = _distance(ours, theirs), _distance(other, theirs)
    if not error < ROUNDING[dtype]:
        raise Disagreement(
            f"the logits after the question are {error:.1e} away from those of transformers. Rounding in {dtype} "
            f"explains {ROUNDING[dtype]:.0e}, and the window one group later would be {contrast:.1e} away. The two did "
            "not see the same thing; nothing was timed."
        )
    return {"error": error, "contrast": contrast}


def _distance(logits: Logits, reference: Logits) -> float:
    return float(np.linalg.norm(logits - reference) / np.linalg.norm(reference))


# What a row says


def about(point: Point) -> Row:
    lengths = range(point.window // 2 + 1, point.window + 1)
    return {
        "window": point.window,
        "mean_groups": float(np.mean(lengths)),
        "size": point.size,
        "slides": point.rounds,
        "periods": point.rounds // point.period,
    }


def compare(times: Interleaved, name: str, point: Point) -> Row:
    """Sums of whole periods, because a slide that rebuilds the window costs more than the others."""
    periods = times.by(point.period)
    return {
        "seconds_per_video_second": float(np.mean(times.seconds[name])) * FPS / 2,
        "their_seconds_per_video_second": float(np.mean(times.seconds[THEIRS])) * FPS / 2,
        "ratio": periods.ratio(THEIRS, name).to_dict(),
        "age": times.spread(name).to_dict(),
        "their_age": times.spread(THEIRS).to_dict(),
    }


def parts(ours: Meter, theirs: Meter, point: Point) -> Row:
    """Seconds per slide; and how many times as much vision and prefill the re-run took, measured and on paper."""
    return {
        "parts": {part: ours.seconds[part] / point.rounds for part in PARTS},
        "their_parts": {part: theirs.seconds[part] / point.rounds for part in PARTS},
        "seeing_ratio": theirs.seeing / ours.seeing,
        "seeing_ratio_on_paper": theirs.operations / ours.operations,
        "operations_per_second": ours.operations / ours.seeing,
        "their_operations_per_second": theirs.operations / theirs.seeing,
    }
