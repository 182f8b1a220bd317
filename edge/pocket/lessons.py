"""What can be said of a window of a drawn scene: questions and their true answers.

Knows the truth and English, no pictures and no model. Training asks these questions and evaluation
judges the answers, so both read the same sentences.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stream.event import Box
from stream.sources.scene import COLOURS, SHAPES, Scene, Thing

DESCRIBE = (
    "Describe the video.", "Describe the video.", "Describe what happens.", "What do you see?", "What is happening?",
    "Describe the picture.",
)  # fmt: skip
CHANGED = ("What changed?", "What has changed?")
STRANGERS = (
    "person", "dog", "car", "cat", "bottle", "bicycle", "cup", "chair", "hand", "phone", "truck", "bird",
)  # fmt: skip

NUMBER_WORDS = ("No", "One", "Two", "Three", "Four")
PIECE = re.compile(r".+?(?:\.|<\|box_end\|>)", re.DOTALL)  # a sentence or a box
NAME = re.compile(rf"\b(?:(?:{'|'.join(COLOURS)}) )?(?:{'|'.join(('shape', *SHAPES))})(?=(?:e?s)?\b)")


@dataclass(frozen=True, slots=True)
class Lesson:
    """One question about a window, its true answer, and the part it exercises."""

    part: str  # "describe", "change", "ground", "absent", "yesno", "count" or "motion"
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Truth:
    """What a window shows: its last moment, and what was there at its first."""

    things: tuple[Thing, ...]  # at the newest frame, left to right
    before: frozenset[str]  # labels at the oldest frame

    @property
    def labels(self) -> frozenset[str]:
        return frozenset(thing.label for thing in self.things)

    @property
    def gone(self) -> list[str]:
        return sorted(self.before - self.labels)

    @property
    def entered(self) -> list[Thing]:
        return [thing for thing in self.things if thing.label not in self.before]


def observe(scene: Scene, times: Sequence[float]) -> Truth:
    """The truth of a window whose frames were taken at `times`; motion is that of the newest pair."""
    newest = scene.things(times[-1], span=times[-1] - times[-2])
    return Truth(tuple(newest), frozenset(thing.label for thing in scene.things(times[0])))


def describe(truth: Truth) -> str:
    sentences = [_sentence(thing, thing.label not in truth.before) for thing in truth.things]
    sentences += [f"A {label} has left." for label in truth.gone]
    return " ".join(sentences) or "There is nothing here."


def _sentence(thing: Thing, entered: bool) -> str:
    motion = "stands still" if thing.motion == "still" else f"moves {thing.motion}"
    return f"A {thing.size} {thing.label} {'has entered and ' if entered else ''}{motion}."


def changes(truth: Truth) -> str:
    sentences = [f"A {thing.label} has entered." for thing in truth.entered]
    sentences += [f"A {label} has left." for label in truth.gone]
    return " ".join(sentences) or "Nothing has changed."


def ground(things: Sequence[Thing], wanted: str) -> str:
    """Boxes in Qwen2-VL's own tokens, left to right; coordinates to a hundredth of the picture."""
    if not things:
        return f"There is no {wanted}."
    return "".join(
        f"<|object_ref_start|>{thing.label}<|object_ref_end|><|box_start|>{_corners(thing.box)}<|box_end|>"
        for thing in things
    )


def _corners(box: Box) -> str:
    """Tens of thousandths: a picture of 112 pixels cannot carry more."""
    x1, y1, x2, y2 = (min(round(100 * c) * 10, 999) for c in (box.x1, box.y1, box.x2, box.y2))
    return f"({x1},{y1}),({x2},{y2})"


def matching(things: Sequence[Thing], wanted: str) -> list[Thing]:
    """The things that "red circle", "circle", "red shape" or "shape" speaks of."""
    *colour, shape = wanted.split()
    return [thing for thing in things if shape in ("shape", thing.shape) and (not colour or colour[0] == thing.colour)]


def spoken_of(lesson: Lesson, truth: Truth) -> list[tuple[int, tuple[int, ...]]]:
    """Where each piece of the answer ends, and which of `truth.things` it speaks of: indices, left to right.

    A piece that names nothing ("Yes.", "Two.", "It moves left.") speaks of what the question names.
    """
    asked = NAME.search(lesson.question)
    wanted = matching(truth.things, asked[0]) if asked else []
    out = []
    for piece in PIECE.finditer(lesson.answer):
        named = NAME.search(piece[0])
        things = [thing for thing in truth.things if thing.label == named[0]] if named else wanted
        out.append((piece.end(), tuple(truth.things.index(thing) for thing in things)))
    return out


def lessons(truth: Truth, rng: np.random.Generator, count: int) -> list[Lesson]:
    """A description first, then `count - 1` other questions in even variety."""
    out = [Lesson("describe", _pick(rng, DESCRIBE), describe(truth))]
    kinds = rng.permutation(len(_KINDS))
    for turn in range(count - 1):
        out.append(_KINDS[kinds[turn % len(kinds)]](truth, rng))
    return out


def _change(truth: Truth, rng: np.random.Generator) -> Lesson:
    return Lesson("change", _pick(rng, CHANGED), changes(truth))


def _ground_one(truth: Truth, rng: np.random.Generator) -> Lesson:
    if not truth.things:
        return _ground_absent(truth, rng)
    wanted = _pick(rng, [thing.label for thing in truth.things])
    return _grounding(truth, wanted, rng)


def _ground_kind(truth: Truth, rng: np.random.Generator) -> Lesson:
    if not truth.things:
        return _ground_absent(truth, rng)
    thing = truth.things[rng.integers(len(truth.things))]
    return _grounding(truth, _pick(rng, [thing.shape, f"{thing.colour} shape", "shape"]), rng)


def _ground_absent(truth: Truth, rng: np.random.Generator) -> Lesson:
    return _grounding(truth, _absent(truth, rng), rng)


def _grounding(truth: Truth, wanted: str, rng: np.random.Generator) -> Lesson:
    found = matching(truth.things, wanted)
    question = _pick(rng, ["Find the {}.", "Find the {}.", "Detect the {}.", "Where is the {}?"]).format(wanted)
    return Lesson("ground" if found else "absent", question, ground(found, wanted))


def _is_there(truth: Truth, rng: np.random.Generator) -> Lesson:
    wanted = _either(truth, rng)
    question = _pick(rng, ["Is there a {}?", "Is there a {}?", "Do you see a {}?"]).format(wanted)
    return _yes_or_no(question, bool(matching(truth.things, wanted)), rng)


def _is_moving(truth: Truth, rng: np.random.Generator) -> Lesson:
    if not truth.things or rng.random() < 0.3:
        return _yes_or_no("Is anything moving?", any(t.motion != "still" for t in truth.things), rng)
    thing = truth.things[rng.integers(len(truth.things))]
    return _yes_or_no(f"Is the {thing.label} moving?", thing.motion != "still", rng)


def _yes_or_no(question: str, true: bool, rng: np.random.Generator) -> Lesson:
    """Half of them as `stream.tasks.ask` puts a question."""
    plea = " Answer yes or no." if rng.random() < 0.5 else ""
    return Lesson("yesno", question + plea, "Yes." if true else "No.")


def _count(truth: Truth, rng: np.random.Generator) -> Lesson:
    wanted = _pick(rng, ["shape", _either(truth, rng), _pick(rng, SHAPES), f"{_pick(rng, list(COLOURS))} shape"])
    number = len(matching(truth.things, wanted))
    plural = f"{wanted}es" if wanted.endswith("s") else f"{wanted}s"
    return Lesson("count", f"How many {plural} are there?", f"{NUMBER_WORDS[number]}.")


def _how_moves(truth: Truth, rng: np.random.Generator) -> Lesson:
    if not truth.things:
        return _is_there(truth, rng)
    thing = truth.things[rng.integers(len(truth.things))]
    answer = "It stands still." if thing.motion == "still" else f"It moves {thing.motion}."
    return Lesson("motion", f"How does the {thing.label} move?", answer)


# Yes and no are cheap to ask and teach most: what the whole answer hangs on is one token.
_KINDS = (
    _ground_one,
    _ground_kind,
    _ground_absent,
    _is_there,
    _is_there,
    _is_there,
    _is_there,
    _is_moving,
    _how_moves,
    _how_moves,
    _count,
    _change,
)


def _either(truth: Truth, rng: np.random.Generator) -> str:
    """Half the time something that is there, in one of its names; half the time something that is not."""
    if truth.things and rng.random() < 0.5:
        thing = truth.things[rng.integers(len(truth.things))]
        return _pick(rng, [thing.label, thing.label, thing.shape, f"{thing.colour} shape"])
    return _absent(truth, rng)


def _absent(truth: Truth, rng: np.random.Generator) -> str:
    """A name of nothing in the picture; mostly a near miss, sometimes a stranger."""
    if rng.random() < 0.15:
        return _pick(rng, STRANGERS)
    for _ in range(20):
        colour, shape = _pick(rng, list(COLOURS)), _pick(rng, SHAPES)
        if truth.things and rng.random() < 0.7:
            thing = truth.things[rng.integers(len(truth.things))]
            colour, shape = (thing.colour, shape) if rng.random() < 0.5 else (colour, thing.shape)
        wanted = _pick(rng, [f"{colour} {shape}"] * 4 + [shape, f"{colour} shape"])
        if not matching(truth.things, wanted):
            return wanted
    return _pick(rng, STRANGERS)


def _pick(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]
