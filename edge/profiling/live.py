"""A session with a live camera: the age of its answers, and what it had to drop.

The camera is a drawn scene that keeps time with the clock on the wall; the session is the product's own.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from edge.engine.engine import Engine
from edge.models.costs import Costs
from edge.profiling.pipeline_steps import CAMERA_FPS, HEIGHT, WIDTH, ProfileSettings, padded_question, scripted_answer
from edge.profiling.spans import Spans
from edge.profiling.timed import TimedRunner
from stream.pace import Pace
from stream.session import Session
from stream.sources.synthetic import SyntheticSource
from stream.tasks.describe import Describe


def watch_live(engine: Engine, costs: Costs, settings: ProfileSettings, seconds: float) -> dict[str, Any]:
    """Ages in seconds, None when no answer came in time."""
    runner = TimedRunner(engine.runner, costs, Spans(), scripted_answer(engine.tokenizer, settings.answer_tokens))
    layout = engine.runner.facts.family.layout
    question = padded_question(engine.tokenizer, layout, settings.question_tokens)
    task = Describe(question, max_tokens=settings.answer_tokens)
    address = f"synthetic://?seed={settings.seed}&size={WIDTH}x{HEIGHT}&fps={CAMERA_FPS}&seconds={seconds}&live=1"
    session = Session(
        SyntheticSource(address),
        Engine(runner, engine.tokenizer, engine.name, engine.limits, drafts=False),
        [task],
        fps=settings.fps,
        window=settings.window,
        choose_size=partial(engine.limits.frame_size, max_pixels=settings.max_pixels),
        duration=seconds,
        pace=Pace(settings.fps),
    )
    summary = session.run()
    return {
        "seconds": summary.seconds,
        "answers": summary.events,
        "age_p50": summary.age_p50,
        "age_p99": summary.age_p99,
        "groups": summary.groups,
        "sampled": summary.sampled,
        "dropped": summary.dropped,
        "spacing": summary.spacing,
    }
