"""A session with a live camera: the age of its answers, and what it had to drop.

The camera is a drawn scene that keeps time with the clock on the wall; the session is the product's own.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from edge.engine.engine import Engine
from edge.models.costs import Costs
from edge.profiling.life import CAMERA_FPS, HEIGHT, WIDTH, ProfileSettings, dictation, question
from edge.profiling.spans import Spans
from edge.profiling.timed import TimedRunner
from stream.session import Session
from stream.sources.synthetic import SyntheticSource
from stream.tasks.describe import Describe


def watch_live(engine: Engine, costs: Costs, workload: ProfileSettings, seconds: float) -> dict[str, Any]:
    """Ages in seconds, None when no answer came in time."""
    runner = TimedRunner(engine.runner, costs, Spans(), dictation(engine.tokenizer, workload.answer_tokens))
    task = Describe(
        question(engine.tokenizer, engine.runner.facts.layout, workload.question_tokens),
        max_tokens=workload.answer_tokens,
    )
    address = f"synthetic://?seed={workload.seed}&size={WIDTH}x{HEIGHT}&fps={CAMERA_FPS}&seconds={seconds}&live=1"
    session = Session(
        SyntheticSource(address),
        Engine(runner, engine.tokenizer, engine.name, engine.limits),
        [task],
        fps=workload.fps,
        window=workload.window,
        choose_size=partial(engine.limits.frame_size, max_pixels=workload.max_pixels),
        duration=seconds,
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
    }
