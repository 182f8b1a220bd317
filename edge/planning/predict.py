"""How many cameras a device can watch, how old its answers will be, and what memory that takes.

A step takes a time that its weights fix and a time in proportion to its operations: with few tokens the first counts,
with many the second. How much of each is known from a profile that met a step at two sizes, of this device or one
like it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from edge.models.costs import Cost, Costs
from edge.planning.device import DeviceSpec
from edge.planning.memory_budget import KEPT, OVERHEAD, MemoryBudget, predict_memory

PREFIX = 20  # tokens before the video: the system prompt


@dataclass(frozen=True, slots=True)
class RooflineFit:
    """What a kind of step takes, beside what the device can do at best."""

    passes: float  # as long as to read so many times what it must read once
    times: float  # and so many times as long as its operations must take

    def seconds(self, cost: Cost, rate: float, bandwidth: float) -> float:
        """At so many operations and bytes a second at best."""
        return self.passes * cost.nbytes / bandwidth + self.times * cost.operations / rate

    @classmethod
    def through(cls, small: Measurement, large: Measurement, rate: float, bandwidth: float) -> Self:
        """A step that was met at two sizes; the larger one is always met. A part that noise would make negative is
        nothing. Where sizes are too much alike to tell parts apart, both are stretched alike."""
        (a, b), (c, d) = small.ideal(rate, bandwidth), large.ideal(rate, bandwidth)
        across = a * d - b * c
        if d <= LEAST_APART * b or across <= 0:
            return cls(large.seconds / (c + d), large.seconds / (c + d))
        # a * passes + b * times = small.seconds, c * passes + d * times = large.seconds
        passes = (small.seconds * d - large.seconds * b) / across
        times = (large.seconds * a - small.seconds * c) / across
        if passes <= 0:
            return cls(0, large.seconds / d)
        return cls(passes, times) if times > 0 else cls(large.seconds / c, 0)


LEAST_APART = 1.5  # times as many operations, from which on two sizes tell a slope


@dataclass(frozen=True, slots=True)
class Measurement:
    """A step as a profile met it."""

    seconds: float
    cost: Cost

    @classmethod
    def stage(cls, row: Mapping[str, Any]) -> Self:
        """Raises KeyError for one whose cost is not known."""
        mean = row["total"] / row["n"]
        return cls(row["p50"], Cost(row["operations_per_second"] * mean, row["bytes_per_second"] * mean))

    def ideal(self, rate: float, bandwidth: float) -> tuple[float, float]:
        """Seconds to read, seconds to compute."""
        return self.cost.nbytes / bandwidth, self.cost.operations / rate


@dataclass(frozen=True, slots=True)
class RooflineFits:
    """Of the steps that watching consists of."""

    vision: RooflineFit
    append: RooflineFit
    question: RooflineFit
    token: RooflineFit

    @classmethod
    def measured(cls, report: Mapping[str, Any], card: DeviceSpec) -> Self:
        """Of a profile, with the device's best as it was measured there. Raises KeyError naming a missing stage."""
        stages = {row["name"]: Measurement.stage(row) for row in report["stages"] if "operations_per_second" in row}
        other = {row["name"]: Measurement.stage(row) for row in report["other_size"]["stages"]}
        rate, bandwidth = card.rate(report["model"]["variant"]), card.bandwidth

        def through(*met: Measurement) -> RooflineFit:
            small, large = sorted(met, key=lambda one: one.cost.operations)
            return RooflineFit.through(small, large, rate, bandwidth)

        return cls(
            vision=through(other["vision tower"], stages["vision tower"]),
            append=through(other["append"], stages["append"]),
            question=through(stages["token"], stages["question"]),  # a token is a question of one
            token=through(stages["token"], stages["token"]),
        )


# Where no profile is given, by kind of device and whether weights are quantized. On the CPU: of the 2B shape on two
# cores of a Xeon with AMX, int4 as in benchmarks/results/latency-short-cpu.json, bfloat16 as in peers-cpu.json. For
# CUDA nothing has been measured yet: these are assumed.
USUAL = {
    ("cpu", True): RooflineFits(
        RooflineFit(6.5, 2.2), RooflineFit(43, 0.8), RooflineFit(1.7, 13), RooflineFit(2.2, 2.2)
    ),
    ("cpu", False): RooflineFits(
        RooflineFit(1.6, 1.6), RooflineFit(1.8, 1.8), RooflineFit(1.8, 1.8), RooflineFit(1.6, 1.6)
    ),
    ("cuda", True): RooflineFits(*[RooflineFit(3.0, 3.0)] * 4),
    ("cuda", False): RooflineFits(*[RooflineFit(3.0, 3.0)] * 4),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What is to be watched, and how."""

    size: tuple[int, int] = (448, 448)  # height, width for the model
    fps: float = 2.0
    window: int = 8  # groups of two frames
    question_tokens: int = 32
    answer_tokens: int = 64
    every: float = 0.0  # seconds of video between two answers; 0: with every group
    cameras: int = 1

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
    load: float  # of the device's time, by all cameras; above 1 groups are dropped
    age: float  # of an answer when it is published, in the middle
    worst_age: float  # when a full window has to be rebuilt first, and every other camera comes first
    streams: int  # that the device can watch without dropping, with room for them in memory
    memory: MemoryBudget

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "memory": self.memory.to_dict()}


def make_forecast(costs: Costs, card: DeviceSpec, efforts: RooflineFits, wish: Workload, variant: str) -> Forecast:
    """Predicts; measures nothing."""

    def seconds(cost: Cost, effort: RooflineFit) -> float:
        return effort.seconds(cost, card.rate(variant), card.bandwidth)

    tokens = costs.tokens(*wish.size)
    full = PREFIX + wish.window * tokens
    middle = PREFIX + round(0.75 * wish.window) * tokens  # windows grow from half to full
    vision = seconds(costs.vision(*wish.size), efforts.vision)
    append = seconds(costs.extend(tokens, middle), efforts.append)
    first = seconds(costs.extend(wish.question_tokens, middle, rows=1), efforts.question)
    token = seconds(costs.decode(middle + wish.question_tokens), efforts.token)
    answer = first + (wish.answer_tokens - 1) * token
    rebuilt = wish.window // 2 * append
    # Every half window the other half is appended again, so that each group is appended twice.
    busy = (vision + 2 * append) / wish.group_seconds + answer / max(wish.every, wish.group_seconds)
    work = vision + append + answer
    memory = predict_memory(costs, wish.size, wish.window, OVERHEAD[card.kind], wish.cameras, kept=KEPT[card.kind])
    per_stream = (full + wish.question_tokens + wish.answer_tokens) * costs.kv_bytes_per_token
    room = math.floor((card.memory - memory.total) / per_stream) + wish.cameras
    return Forecast(
        vision, append, first, token, answer,
        load=wish.cameras * busy,
        age=work + (wish.cameras - 1) / 2 * work,
        worst_age=wish.cameras * work + rebuilt,
        streams=max(0, min(math.floor(1 / busy), room)),
        memory=memory,
    )  # fmt: skip
