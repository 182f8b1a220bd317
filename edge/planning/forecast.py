"""How many cameras a device can watch, how old its answers will be, and what memory that takes.

Puts together what each step costs (edge.models.costs), how long that takes on the device (roofline.py) and how much
memory is needed (memory_budget.py). Measures and loads nothing.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from edge.models.costs import Cost, Costs
from edge.planning.device import DeviceSpec
from edge.planning.memory_budget import OVERHEAD, RETAINED, MemoryBudget, predict_memory
from edge.planning.roofline import RooflineFit, RooflineFits

PREFIX = 20  # tokens before the video: the system prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What is to be watched, and how. Raises ValueError for a rate that means nothing."""

    size: tuple[int, int] = (448, 448)  # height, width for the model
    fps: float = 2.0
    window: int = 8  # groups of two frames
    question_tokens: int = 32
    answer_tokens: int = 64
    every: float = 0.0  # seconds of video between two answers; 0: with every group
    cameras: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.fps < math.inf:
            raise ValueError(f"fps is {self.fps}: it must be above 0.")

    @property
    def group_seconds(self) -> float:
        return 2 / self.fps


@dataclass(frozen=True, slots=True)
class Forecast:
    """Times in seconds, for one stream unless said otherwise."""

    vision: float  # of one group
    append: float  # of one group, to a window of middling length
    first_token: float
    token: float
    answer: float  # question and all tokens
    load: float  # of the device's time, by all cameras; above 1 frames are passed over
    age: float  # of an answer when it is published, in the middle
    worst_age: float  # when a full window has to be rebuilt first, and every other camera comes first
    streams: int  # that the device can watch without dropping, with room for them in memory
    dropped: float  # share of the groups that one camera alone would lose; 0: the device keeps up with it
    sparing: float | None  # seconds between answers from which on it would lose none; None: it always would
    memory: MemoryBudget

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "memory": self.memory.to_dict()}


def make_forecast(
    costs: Costs, device: DeviceSpec, fits: RooflineFits, workload: Workload, is_quantized: bool
) -> Forecast:
    """Predicts; measures nothing."""
    steps = _Steps.predict(costs, device, fits, workload, is_quantized)
    # Every half window the other half is appended again, so that each group is appended twice.
    seeing = (steps.vision + 2 * steps.append) / workload.group_seconds
    busy = seeing + steps.answer / max(workload.every, workload.group_seconds)
    work = steps.vision + steps.append + steps.answer
    memory = _memory(costs, device, workload, workload.cameras)
    return Forecast(
        steps.vision, steps.append, steps.first_token, steps.token, steps.answer,
        load=workload.cameras * busy,
        age=work + (workload.cameras - 1) / 2 * work,
        worst_age=workload.cameras * work + workload.window // 2 * steps.append,
        streams=max(0, min(math.floor(1 / busy), _streams_in_memory(costs, device, workload))),
        dropped=max(0.0, 1 - 1 / busy),
        sparing=steps.answer / (1 - seeing) if seeing < 1 else None,
        memory=memory,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Steps:
    """Seconds of each step for one group and one answer."""

    vision: float
    append: float
    first_token: float
    token: float
    answer: float

    @classmethod
    def predict(
        cls, costs: Costs, device: DeviceSpec, fits: RooflineFits, workload: Workload, is_quantized: bool
    ) -> _Steps:
        def seconds(cost: Cost, fit: RooflineFit) -> float:
            return fit.seconds(cost, device.rate(is_quantized), device.bandwidth)

        tokens = costs.tokens(*workload.size)
        context = PREFIX + round(0.75 * workload.window) * tokens  # windows grow from half to full: three quarters
        first = seconds(costs.extend(workload.question_tokens, context, rows=1), fits.question)
        token = seconds(costs.decode(context + workload.question_tokens), fits.token)
        return cls(
            vision=seconds(costs.vision(*workload.size), fits.vision),
            append=seconds(costs.extend(tokens, context), fits.append),
            first_token=first,
            token=token,
            answer=first + (workload.answer_tokens - 1) * token,
        )


def _memory(costs: Costs, device: DeviceSpec, workload: Workload, streams: int) -> MemoryBudget:
    return predict_memory(
        costs, workload.size, workload.window, OVERHEAD[device.kind], streams, retained=RETAINED[device.kind]
    )


def _streams_in_memory(costs: Costs, device: DeviceSpec, workload: Workload) -> int:
    """How many fit; each has keys, values and embeddings of its own, and all share one set of weights."""
    one, two = _memory(costs, device, workload, 1).total, _memory(costs, device, workload, 2).total
    return math.floor((device.memory - one) / (two - one)) + 1
