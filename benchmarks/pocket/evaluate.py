"""How good is a model on drawn scenes it has never seen? `python -m benchmarks.pocket.evaluate`.

Every scene goes the way of a real clip: H.264 at 25 fps in a file, decoded, sampled and resized by the
product's own source and sampler, then asked through the engine's context. Answers are judged against
the scene's truth. Writes the figures to benchmarks/results/; the last line of output is the same JSON.
Exits with 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.harness import chip
from edge.engine.context import Context
from edge.engine.engine import Engine
from edge.examples.scenes import film
from edge.loading import load_engine
from edge.machine import machine
from edge.pocket.lessons import Lesson, Truth, lessons, matching
from edge.runners.device_policy import choose_device
from stream.tasks.boxes import parse_boxes

SENTENCE = re.compile(r"A (small|medium|large) (\w+ \w+) (?:has entered and )?(stands still|moves (\w+))\.")

RESULTS = Path(__file__).parents[1] / "results"
TARGETS = {"object_f1": 0.95, "motion": 0.90, "mean_iou": 0.75, "recall_at_half": 0.90, "yesno": 0.95}


@dataclass
class Score:
    """Sums over scenes; the figures are ratios of them."""

    found: int = 0  # objects rightly named
    named: int = 0
    present: int = 0
    sizes_right: int = 0
    motions_right: int = 0
    ious: list[float] = field(default_factory=list)
    invented: int = 0  # boxes that touch nothing of what was asked for
    answers: dict[str, list[bool]] = field(default_factory=dict)

    def figures(self) -> dict[str, float]:
        precision, recall = self.found / max(self.named, 1), self.found / max(self.present, 1)
        shares = {part: sum(right) / len(right) for part, right in sorted(self.answers.items())}
        return {
            "object_f1": 2 * precision * recall / max(precision + recall, 1e-9),
            "motion": self.motions_right / max(self.found, 1),
            "mean_iou": sum(self.ious) / max(len(self.ious), 1),
            "recall_at_half": sum(iou >= 0.5 for iou in self.ious) / max(len(self.ious), 1),
            "boxes_invented": self.invented / max(self.invented + len(self.ious), 1),
            **shares,
            "size": self.sizes_right / max(self.found, 1),
        }

    def describe(self, text: str, truth: Truth) -> None:
        things = {thing.label: thing for thing in truth.things}
        said = {label: (size, motion or "still") for size, label, _, motion in SENTENCE.findall(text)}
        self.named += len(said)
        self.present += len(things)
        for label in said.keys() & things.keys():
            size, motion = said[label]
            self.found += 1
            self.sizes_right += size == things[label].size
            self.motions_right += motion == things[label].motion

    def ground(self, text: str, wanted: str, truth: Truth) -> None:
        boxes, things = parse_boxes(text).boxes, matching(truth.things, wanted)
        self.invented += sum(all(box.iou(thing.box) == 0 for thing in things) for box in boxes)
        for thing in things:
            self.ious.append(max((box.iou(thing.box) for box in boxes if box.label == thing.label), default=0.0))

    def exact(self, part: str, right: bool) -> None:
        self.answers.setdefault(part, []).append(right)


def evaluate(engine: Engine, seeds: Iterator[int] | range, questions: int = 10) -> Score:
    score = Score()
    for seed in track(seeds, description="scenes", console=Console(stderr=True)):
        rng = np.random.default_rng(seed)
        window, truth = film(seed, rng, engine.limits)
        context = engine.open(len(window))
        for group in window:
            context.append(group)
        for lesson in lessons(truth, rng, questions):
            judge(score, lesson, answer(context, lesson.question), truth)
    return score


def judge(score: Score, lesson: Lesson, text: str, truth: Truth) -> None:
    if lesson.part == "describe":
        score.describe(text, truth)
    elif lesson.part == "ground":
        wanted = re.sub(r"^(Find|Detect|Where is) the |[.?]$", "", lesson.question)
        score.ground(text, wanted, truth)
    elif lesson.part == "absent":
        score.exact("absent", not parse_boxes(text).boxes)
    else:
        score.exact(lesson.part, text.removesuffix("<|im_end|>").strip() == lesson.answer)


def answer(context: Context, question: str) -> str:
    reply = context.answer(question, max_tokens=160)
    return "".join(reply)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--name", help="added to the name of the file of results, so that it overwrites no other")
    arguments = parser.parse_args()
    engine = load_engine(arguments.model, device=arguments.device)
    started = time.monotonic()
    score = evaluate(engine, range(arguments.first_seed, arguments.first_seed + arguments.scenes))
    figures = {name: round(value, 4) for name, value in score.figures().items()}
    show(figures, f"{arguments.model}, {arguments.scenes} held-out scenes, through H.264")
    result = {
        "model": arguments.model,
        "variant": engine.variant,
        "scenes": arguments.scenes,
        "first_seed": arguments.first_seed,
        "seconds": round(time.monotonic() - started, 1),
        "figures": figures,
        "targets": TARGETS,
        "machine": machine(),
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    name = "-".join(filter(None, ["quality", Path(arguments.model).name, arguments.name, _card(arguments.device)]))
    (arguments.out / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))
    sys.exit(any(figures[name] < target for name, target in TARGETS.items()))


def _card(device: str) -> str:
    """A GPU's name; empty for the CPU, whose results have the plain names."""
    chosen = choose_device(device)
    return "" if chosen.type == "cpu" else chip(chosen)


def show(figures: dict[str, float], title: str) -> None:
    table = Table("figure", "measured", "target", title=title, title_justify="left")
    for name, value in figures.items():
        target = TARGETS.get(name)
        verdict = "" if target is None else f"{'reached' if value >= target else 'MISSED'}: at least {target}"
        table.add_row(name.replace("_", " "), f"{value:.3f}", verdict)
    Console(stderr=True).print(table)


if __name__ == "__main__":
    main()
