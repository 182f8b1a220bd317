"""How many cameras a device can watch, how old its answers will be, and what memory that takes.

A step takes the time that the device needs at best, divided by the share of that which the engine is known to reach.
Shares are those of a profile, of this device or one like it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from edge.planning.costs import Cost, Costs
from edge.planning.device import Card
from edge.planning.memory import OVERHEAD, Memory, predict_memory

PREFIX = 20  # tokens before the video: the system prompt


@dataclass(frozen=True, slots=True)
class Shares:
    """Of the time that a step takes, what the device would need at best; 0 to 1."""

    vision: float
    append: float
    question: float
    token: float

    @classmethod
    def measured(cls, report: Mapping[str, Any]) -> Self:
        """Of a profile."""
        share = {stage["name"]: stage["share_of_ceiling"] for stage in report["stages"] if "share_of_ceiling" in stage}
        return cls(share["vision tower"], share["append"], share["question"], share["token"])


# Where no profile is given. On the CPU: as in benchmarks/results/latency-cpu.json, int4 weights of the 2B shape on two
# cores of a Xeon with AMX. For CUDA nothing has been measured yet: these are assumed.
USUAL = {"cpu": Shares(0.22, 0.10, 0.06, 0.40), "cuda": Shares(0.3, 0.3, 0.3, 0.3)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
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
class Plan:
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
    memory: Memory

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "memory": self.memory.to_dict()}


def make_plan(costs: Costs, card: Card, shares: Shares, wish: Wish, variant: str) -> Plan:
    """Predicts; measures nothing."""

    def seconds(cost: Cost, share: float) -> float:
        return cost.floor(card.rate(variant), card.bandwidth) / share

    tokens = costs.tokens(*wish.size)
    full = PREFIX + wish.window * tokens
    middle = PREFIX + round(0.75 * wish.window) * tokens  # windows grow from half to full
    vision = seconds(costs.vision(*wish.size), shares.vision)
    append = seconds(costs.extend(tokens, middle), shares.append)
    first = seconds(costs.extend(wish.question_tokens, middle, rows=1), shares.question)
    token = seconds(costs.decode(middle + wish.question_tokens), shares.token)
    answer = first + (wish.answer_tokens - 1) * token
    rebuilt = wish.window // 2 * append
    # Every half window the other half is appended again, so that each group is appended twice.
    busy = (vision + 2 * append) / wish.group_seconds + answer / max(wish.every, wish.group_seconds)
    work = vision + append + answer
    memory = predict_memory(costs, wish.size, wish.window, OVERHEAD[card.kind], wish.cameras)
    per_stream = (full + wish.question_tokens + wish.answer_tokens) * costs.kv_bytes_per_token
    room = math.floor((card.memory - memory.total) / per_stream) + wish.cameras
    return Plan(
        vision, append, first, token, answer,
        load=wish.cameras * busy,
        age=work + (wish.cameras - 1) / 2 * work,
        worst_age=wish.cameras * work + rebuilt,
        streams=max(0, min(math.floor(1 / busy), room)),
        memory=memory,
    )  # fmt: skip
