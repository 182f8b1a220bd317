"""What a camera is like: facts a person would be asked for when something does not work."""

from __future__ import annotations

import statistics
import threading
import time
from dataclasses import dataclass
from typing import Any

from stream.sources import Source
from stream.sources.connection import Progress

LOOK = 3.0  # seconds a live source is looked at
FRAMES = 150  # at most


def source_report(source: Source) -> dict[str, Any]:
    """Looks at a source for a few seconds. Raises what the source raises; addresses are redacted."""
    started = time.monotonic()
    enough = threading.Timer(LOOK, source.close)  # a camera that stops after one picture must not hold us
    enough.daemon = True
    seen: list[_Seen] = []
    try:
        for frame in source:
            if frame.held:  # word that the last picture still stands, and no picture
                continue
            seen.append(_Seen(frame.shape[1], frame.shape[0], frame.pts, frame.captured, frame.clock))
            if len(seen) == 1:
                enough.start()
            if len(seen) == FRAMES:
                break
    finally:
        enough.cancel()
        source.close()
    facts = {"source": source.name, "live": source.live, "codec": source.codec}
    return facts | _connected(source, started) | _measured(seen, started)


def _connected(source: Source, started: float) -> dict[str, Any]:
    """What came before the first picture: a long time between data and picture is a rare keyframe."""
    progress: Progress | None = getattr(source, "progress", None)
    moments = () if progress is None else (("connected", progress.opened), ("first data", progress.first_data))
    return {f"{name} after": f"{moment - started:.2f} s" for name, moment in moments if moment is not None}


@dataclass(frozen=True, slots=True)
class _Seen:
    """What remains of a frame that was looked at: pixels would fill the memory."""

    width: int
    height: int
    pts: float
    captured: float
    clock: str


def _measured(seen: list[_Seen], started: float) -> dict[str, Any]:
    if not seen:
        return {"frames": 0}
    first, last = seen[0], seen[-1]
    measured: dict[str, Any] = {
        "first frame after": f"{first.captured - started:.2f} s",
        "size": f"{first.width}x{first.height}",
        "clock": first.clock,
        "frames": len(seen),
    }
    if len(seen) > 2 and last.pts > first.pts:
        measured["fps"] = round((len(seen) - 1) / (last.pts - first.pts), 2)
        if first.clock == "arrival":
            lags = [frame.captured - frame.pts for frame in seen]
            measured["arrival jitter"] = f"{1000 * statistics.pstdev(lags):.0f} ms"
    return measured
