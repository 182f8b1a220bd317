"""Frames into an H.264 file, as cameras give it: one keyframe a second, no frame that waits for a later one."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av

from stream.frame import Pixels


def write_clip(path: str | Path, frames: Iterable[Pixels], fps: int, crf: int = 23) -> None:
    """Frames of one size with even sides, (height, width, 3) RGB, into an mp4; `crf` 0 (best) to 51."""
    with av.open(str(path), "w", format="mp4") as container:
        stream: av.VideoStream | None = None
        for index, pixels in enumerate(frames):
            if stream is None:
                stream = container.add_stream("libx264", rate=fps)
                stream.height, stream.width = pixels.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.options = {"crf": str(crf), "preset": "veryfast", "bf": "0", "g": str(fps)}
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode(None))
