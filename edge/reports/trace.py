"""A profile as a trace to look into: opens in ui.perfetto.dev and in chrome://tracing.

The format is Chrome's trace events as JSON. A viewer shows spans of one thread only where each lies within another or
beside it, so spans that overlap otherwise get a lane of their own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from edge.profiling.profile import Profile
from edge.profiling.spans import Span
from edge.reports.reading import part, value

PROCESS = 1
MEMORY = "memory"

Event = dict[str, Any]


def write_trace(profile: Profile, path: Path) -> None:
    path.write_text(json.dumps(trace(profile)), encoding="utf-8")


def trace(profile: Profile) -> dict[str, Any]:
    spans, timeline = list(profile.spans), profile.timeline
    # Not the first span: memory is looked at before, and viewers leave out what is before zero.
    origin = min([span.start for span in spans] + [at for at, _ in timeline], default=0.0)
    events = [*_threads(spans, origin), *_memory(timeline, origin)]
    return {
        "displayTimeUnit": "ms",
        "otherData": _about(profile),
        "traceEvents": [_metadata("process_name", 0, name=_title(profile)), *events],
    }


def _title(profile: Profile) -> str:
    return f"edge profile: {value(profile.report, 'model', 'name') or 'a model'}"


def _about(profile: Profile) -> dict[str, str]:
    facts = {"date": value(profile.report, "date"), **part(profile.report, "model")}
    return {name: str(fact) for name, fact in facts.items() if fact is not None}


def _threads(spans: Sequence[Span], origin: float) -> Iterator[Event]:
    number = 0
    for thread in dict.fromkeys(span.thread for span in spans):
        for lane, members in enumerate(lanes(span for span in spans if span.thread == thread)):
            number += 1
            yield _metadata("thread_name", number, name=f"{thread} ({lane + 1})" if lane else thread)
            yield _metadata("thread_sort_index", number, sort_index=number)
            yield from (_complete(span, number, origin) for span in members)


def lanes(spans: Iterable[Span]) -> list[list[Span]]:
    """As few as the first fit gives; in each, every two spans lie one within the other or one beside the other.

    A span comes after the one that it lies in.
    """
    found: list[list[Span]] = []
    open_: list[list[Span]] = []  # of each lane: what has not ended, the innermost last
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        number = next((number for number, within in enumerate(open_) if _takes(within, span)), len(found))
        if number == len(found):
            found.append([])
            open_.append([])
        found[number].append(span)
        open_[number].append(span)
    return found


def _takes(within: list[Span], span: Span) -> bool:
    """Whether a lane whose open spans these are can show it next; what has ended before is no longer open."""
    while within and within[-1].end <= span.start:
        within.pop()
    return not within or span.end <= within[-1].end


def _complete(span: Span, thread: int, origin: float) -> Event:
    start, end = _microseconds(span.start, origin), _microseconds(span.end, origin)
    return {
        "ph": "X", "name": span.name, "cat": "edge", "pid": PROCESS, "tid": thread, "ts": start, "dur": end - start,
        "args": _costs(span),
    }  # fmt: skip


def _costs(span: Span) -> dict[str, int]:
    args = {} if span.cost is None else {"operations": round(span.cost.operations), "bytes": round(span.cost.nbytes)}
    return args if span.context is None else {**args, "context tokens": span.context}


def _memory(timeline: Iterable[tuple[float, int]], origin: float) -> Iterator[Event]:
    for at, nbytes in timeline:
        yield {
            "ph": "C", "name": MEMORY, "pid": PROCESS, "tid": 0, "ts": _microseconds(at, origin),
            "args": {"bytes": nbytes},
        }  # fmt: skip


def _metadata(kind: str, thread: int, **args: str | int) -> Event:
    return {"ph": "M", "name": kind, "pid": PROCESS, "tid": thread, "args": args}


def _microseconds(at: float, origin: float) -> int:
    """Whole ones: what touches or lies within still does so once it is rounded."""
    return round(1e6 * (at - origin))
