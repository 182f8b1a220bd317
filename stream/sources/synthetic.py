"""A drawn scene as a source, at the speed of the clock on the wall or as fast as it is asked for.

Knows the address and the time. What is drawn, and its truth, is in scene.py.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

from stream.frame import Clock, Frame
from stream.sources.scene import Scene

DEFAULTS = {"seed": "0", "size": "448x336", "fps": "25", "seconds": "60", "live": "0"}


class SyntheticSource:
    """`synthetic:` or `synthetic://?seed=3&size=448x336&fps=25&seconds=60&live=1`: a scene as a source.

    `live=1` keeps time with the clock on the wall; otherwise frames come as fast as they are asked for.
    """

    def __init__(self, address: str = "synthetic:") -> None:
        options = {
            **DEFAULTS,
            **{key: values[-1] for key, values in parse_qs(urlsplit(address).query).items()},
        }
        if unknown := set(options) - set(DEFAULTS):
            raise ValueError(f"{address}: unknown option {min(unknown)!r}; known are {', '.join(DEFAULTS)}.")
        self.name, self.codec = address, ""
        self.live = options["live"] not in ("0", "false", "no")
        try:
            width, height = (int(side) for side in options["size"].split("x"))
            self.size, self.fps = (height, width), float(options["fps"])
            seed, seconds = int(options["seed"]), float(options["seconds"])
        except ValueError as error:
            raise ValueError(f"{address}: {error}. Write it like synthetic://?seed=3&size=448x336&fps=25.") from None
        if min(*self.size, self.fps, seconds) <= 0:
            raise ValueError(f"{address}: size, fps and seconds must be positive.")
        self.scene = Scene(seed, width, height, seconds)
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        clock: Clock = "arrival" if self.live else "synthetic"
        start = time.monotonic()
        for index in range(round(self.scene.duration * self.fps)):
            pts = index / self.fps
            if self.live:
                self._closed.wait(start + pts - time.monotonic())
            if self._closed.is_set():
                return
            yield Frame(self.scene.render(pts, *self.size), pts, time.monotonic(), clock)

    def close(self) -> None:
        self._closed.set()
