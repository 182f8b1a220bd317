"""Two profiles: what became faster, slower, larger or smaller, and what makes them incomparable.

A difference counts when it is larger than the noise of both figures. A median of n times with the spread p90 / p50 - 1
is uncertain by about spread / sqrt(n): twice that, of both together, is noise. No figure is trusted to less than
LEAST_NOISE; where there is no spread because there are too few times, FEW_NOISE. Where the two runs did not have the
same machine or the same work, a difference of times is told and not judged: its verdict is "withheld".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from edge.reports.reading import Report, number, part, stages, tokens_per_second, value

LEAST_NOISE = 0.05  # assumed: how far the same run twice should differ at most
FEW_NOISE = 0.25
FEW = 5  # times, from which on a spread says something
P99_TO_P90 = 0.55  # of normal noise: how much farther p99 lies from the median than p90
CEILING_NOISE = 0.15  # more than this between two measured ceilings: the machine was not the same

Verdict = Literal["same", "faster", "slower", "smaller", "larger", "withheld"]


@dataclass(frozen=True, slots=True)
class Change:
    what: str
    before: float
    after: float
    unit: str  # s, tokens/s, B
    ratio: float  # after / before
    verdict: Verdict
    noise: float  # 0.05: a ratio from 1 / 1.05 to 1.05 is the same

    @property
    def is_worse(self) -> bool:
        return self.verdict in ("slower", "larger")


@dataclass(frozen=True, slots=True)
class _Kind:
    unit: str
    more: Verdict
    less: Verdict


TIME = _Kind("s", more="slower", less="faster")
SPEED = _Kind("tokens/s", more="faster", less="slower")
MEMORY = _Kind("B", more="larger", less="smaller")


def compare(a: Report, b: Report) -> list[Change]:
    """Of what both have, from `a` to `b`; `differences` tells whether that is fair."""
    changes = list(_changes(a, b))
    return [_withheld(change) for change in changes] if any(_unfair(a, b)) else changes


def _unfair(a: Report, b: Report) -> Iterator[str]:
    """Why times do not tell what became faster."""
    yield from _unequal("workload", part(a, "workload"), part(b, "workload"))
    yield from _unequal("", _size(a), _size(b))
    yield from _other_ceilings(a, b)
    yield from _disturbed("the first", a)
    yield from _disturbed("the second", b)


def _withheld(change: Change) -> Change:
    """Memory is what it is on a busy machine too."""
    return replace(change, verdict="withheld") if change.verdict in ("faster", "slower") else change


def _changes(a: Report, b: Report) -> Iterator[Change]:
    before, after = stages(a), stages(b)
    for name in before:
        if name in after:
            noise = _together(_stage_noise(before[name]), _stage_noise(after[name]))
            yield from _change(name, number(before[name], "p50"), number(after[name], "p50"), TIME, noise)
    noise = _together(_stage_noise(before.get("token", {})), _stage_noise(after.get("token", {})))
    yield from _change("tokens per second", tokens_per_second(a), tokens_per_second(b), SPEED, noise)
    for which in ("measured", "predicted"):
        yield from _change(f"memory, {which}", _memory(a, which), _memory(b, which), MEMORY, LEAST_NOISE)
    noise = _together(_age_noise(a), _age_noise(b))
    yield from _change("age of a live answer", _age(a), _age(b), TIME, noise)
    yield from _change("loading", _loading(a), _loading(b), TIME, FEW_NOISE)


def _change(what: str, before: float | None, after: float | None, kind: _Kind, noise: float) -> Iterator[Change]:
    """Nothing where a side lacks it."""
    if before is not None and after is not None:
        ratio = _ratio(before, after)
        yield Change(what, before, after, kind.unit, ratio, _verdict(ratio, kind, noise), noise)


def _ratio(before: float, after: float) -> float:
    """Of nothing to something: infinite."""
    if before == after:
        return 1.0
    return after / before if before else math.inf


def _verdict(ratio: float, kind: _Kind, noise: float) -> Verdict:
    if ratio > 1 + noise:
        return kind.more
    return kind.less if ratio < 1 / (1 + noise) else "same"


def _memory(report: Report, which: str) -> float | None:
    return number(report, "memory", which, "total")


def _age(report: Report) -> float | None:
    return number(report, "live", "age_p50")


def _loading(report: Report) -> float | None:
    return number(report, "model", "load_seconds")


def _stage_noise(stage: Mapping[str, Any]) -> float:
    return _noise(number(stage, "p50"), number(stage, "p90"), number(stage, "n"))


def _age_noise(report: Report) -> float:
    p50, p99 = _age(report), number(report, "live", "age_p99")
    p90 = None if p50 is None or p99 is None else p50 + P99_TO_P90 * (p99 - p50)
    return _noise(p50, p90, number(report, "live", "answers"))


def _noise(p50: float | None, p90: float | None, n: float | None) -> float:
    """Of one median, relative."""
    if not p50 or p90 is None or n is None or n < FEW:
        return FEW_NOISE
    return max(2 * (p90 / p50 - 1) / math.sqrt(n), 0.0)


def _together(one: float, other: float) -> float:
    return max(math.hypot(one, other), LEAST_NOISE)


def differences(a: Report, b: Report) -> list[str]:
    """Why the two should not be compared, or only with care; empty where nothing speaks against it."""
    return [
        *_unequal("machine", part(a, "machine"), part(b, "machine"), but=("commit", "qwen2vl-edge", "cpu clock")),
        *_unequal("", _device(a), _device(b)),
        *_unfair(a, b),
        *_missing(a, b),
    ]


def _device(report: Report) -> dict[str, object]:
    return {"device": value(report, "model", "device")}


def _size(report: Report) -> dict[str, object]:
    return {"size of the frames": value(report, "size")}


def _unequal(where: str, a: Mapping[str, object], b: Mapping[str, object], but: tuple[str, ...] = ()) -> Iterator[str]:
    for name in dict.fromkeys([*a, *b]):
        if name not in but and a.get(name) != b.get(name):
            yield f"{where} {name}: {_said(a.get(name))}, then {_said(b.get(name))}".lstrip()


def _said(fact: object) -> str:
    return "unknown" if fact is None or fact == "" else str(fact)


def _other_ceilings(a: Report, b: Report) -> Iterator[str]:
    """The same machine may be shared with others."""
    for name in part(a, "ceilings"):
        one, other = number(a, "ceilings", name), number(b, "ceilings", name)
        if one and other and max(one, other) > (1 + CEILING_NOISE) * min(one, other):
            yield f"ceiling {name}: the second run found {other / one:.2f} times what the first found"


def _disturbed(which: str, report: Report) -> Iterator[str]:
    if busy := value(report, "busy"):
        yield f"{which} was disturbed: {busy}"
    if failed := value(report, "failed"):
        yield f"{which} failed on the way: {failed}"


def _missing(a: Report, b: Report) -> Iterator[str]:
    for which, names in (("first", stages(a).keys() - stages(b)), ("second", stages(b).keys() - stages(a))):
        if names:
            yield f"only the {which} has: {', '.join(sorted(names))}"
