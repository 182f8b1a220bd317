"""Pictures and videos of chat messages, in the forms qwen-vl-utils takes, as groups for the vision tower.

A picture is one group of two identical frames. A video is sampled on its own clock, `fps` times a second, or
evenly in `nframes` frames. An odd number of frames is completed by repeating the last.

Where this differs from qwen-vl-utils 0.0.14: an odd `nframes` is rounded down, not to the nearest even
number; frames given as a list are resized once, and must agree in size; `fps` sampling follows the clock
instead of counting frames, and has no minimum of 4 frames; pictures are turned upright as their EXIF says.
Knows no messages and no model.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge.errors import BadMessage
from edge.media import addresses
from edge.media.limits import MOST_PIXELS, Limits, PixelLimits
from edge.media.pictures import checked_array, read_picture
from stream.frame import Frame, Pixels
from stream.resize import resize, smart_resize
from stream.sampler import ChooseSize, groups
from stream.sources.address import open_source

__all__ = ["FramePair", "Limits", "PixelLimits", "Visual", "load_image", "load_video"]

FPS = 2.0
MAX_FPS = 240
MAX_FRAMES = 768  # also qwen-vl-utils' limit; a small machine is busy for minutes with that many
FOR_PIXELS = {"min_pixels", "max_pixels", "resized_height", "resized_width"}
FOR_FILES = {"video_start", "video_end", "nframes"}
PARAMETERS = {"image": FOR_PIXELS, "video": FOR_PIXELS | FOR_FILES | {"fps", "total_pixels"}}
UNSUPPORTED = {"min_frames", "max_frames"}

FramePair = NDArray[np.uint8]
"""One group as the vision tower takes it, shape (2, height, width, 3)."""

Part = Mapping[str, Any]
"""One part of a message's content."""


@dataclass(frozen=True, slots=True, eq=False)
class Visual:
    """A picture or a video, ready for the vision tower."""

    kind: Literal["image", "video"]
    groups: tuple[FramePair, ...]  # at least one, all of one size


def load_image(part: Part, limits: Limits) -> Visual:
    """The picture of a part {"image": ...} or {"image_url": ...}. Raises BadMessage, BadPicture."""
    _check_parameters(part, "image")
    value = part["image_url"] if "image_url" in part else part.get("image")
    pixels = read_picture(value.get("url") if isinstance(value, Mapping) else value)
    pixels = resize(pixels, _choose_size(part, limits.image, limits.cell)(*pixels.shape[:2]))
    return Visual("image", (np.stack([pixels, pixels]),))


def load_video(part: Part, limits: Limits) -> Visual:
    """The video of a part {"video": ...}. Raises BadMessage, BadPicture and what its source raises."""
    _check_parameters(part, "video")
    video = part.get("video")
    if isinstance(video, str | Path):
        with addresses.local(str(video)) as address:
            return Visual("video", tuple(_sampled(address, part, limits)))
    if isinstance(video, list | tuple | np.ndarray):
        return Visual("video", tuple(_listed(video, part, limits)))
    raise BadMessage(f"a video is a path, an address, a list of frames or an array, not a {type(video).__name__}.")


# Frames that are there already


def _listed(video: Sequence[Any] | NDArray[Any], part: Part, limits: Limits) -> Iterator[FramePair]:
    if len(video) == 0:
        raise BadMessage("the list of frames is empty. Send at least one.")
    if unusable := FOR_FILES & part.keys():
        raise BadMessage(f"{min(unusable)!r} chooses frames of a file; of a list of frames all are used.")
    _check_count(len(video))
    frames = list(checked_array(video, ndim=4)) if isinstance(video, np.ndarray) else _read_all(video)
    size = _choose_size(part, limits.video, limits.cell, len(frames))(*frames[0].shape[:2])
    return _paired(resize(frame, size) for frame in frames)


def _read_all(values: Sequence[Any]) -> list[Pixels]:
    frames = [read_picture(value) for value in values]
    for number, frame in enumerate(frames):
        if frame.shape != frames[0].shape:
            raise BadMessage(
                f"frame {number} is {frame.shape[1]}x{frame.shape[0]} and frame 0 is "
                f"{frames[0].shape[1]}x{frames[0].shape[0]}. Send the frames of a video at one size."
            )
    return frames


# Frames of a file


def _sampled(address: str, part: Part, limits: Limits) -> Iterator[FramePair]:
    start, end = _number(part, "video_start", 0.0), _number(part, "video_end", math.inf)
    if "nframes" in part:
        return _evenly(lambda: _frames(address, start, end), part, limits)
    return _by_the_clock(_frames(address, start, end), part, limits)


def _by_the_clock(frames: Generator[Frame], part: Part, limits: Limits) -> Iterator[FramePair]:
    if "total_pixels" in part:
        raise BadMessage(
            "'total_pixels' needs the number of frames beforehand. Give 'nframes' as well, or 'max_pixels' instead."
        )
    fps = _number(part, "fps", FPS)
    if not 0 < fps <= MAX_FPS:
        raise BadMessage(f"'fps' is {fps:g}; it must be above 0 and at most {MAX_FPS}.")
    num_frames = 0
    hold = MAX_FRAMES / fps  # a recording of a still screen may have one frame in a minute
    with closing(frames):
        for group in groups(frames, fps, choose_size=_choose_size(part, limits.video, limits.cell), hold=hold):
            num_frames += 2
            _check_count(num_frames)
            yield group.pixels
    if not num_frames:
        raise BadMessage("no frame of the video lies between 'video_start' and 'video_end'.")


def _evenly(frames: Callable[[], Generator[Frame]], part: Part, limits: Limits) -> Iterator[FramePair]:
    """`nframes` frames at even distances, first and last included. Reads twice: to count, then to pick."""
    if "fps" in part:
        raise BadMessage("'fps' and 'nframes' contradict each other. Give one of them.")
    num_frames = int(part["nframes"]) // 2 * 2
    _check_count(num_frames)
    total = sum(1 for _ in frames())
    if not 2 <= num_frames <= total:
        raise BadMessage(f"'nframes' is {part['nframes']:g}; of this video's {total} frames choose 2 or more.")
    picked = set(np.linspace(0, total - 1, num_frames).round().astype(int).tolist())
    chosen = (frame.pixels for number, frame in enumerate(frames()) if number in picked)
    return _paired(_at_one_size(chosen, _choose_size(part, limits.video, limits.cell, num_frames)))


def _frames(address: str, start: float, end: float) -> Generator[Frame]:
    with closing(open_source(address)) as source:
        if source.live:
            raise BadMessage("a message takes a recorded video, and this is a live one. Watch it as a stream.")
        for frame in source:
            if frame.pts > end:
                return
            if frame.pts >= start and not frame.damaged:
                yield frame


def _at_one_size(frames: Iterable[Pixels], choose_size: ChooseSize) -> Iterator[Pixels]:
    size: tuple[int, int] | None = None
    for frame in frames:
        size = size or choose_size(*frame.shape[:2])
        yield resize(frame, size)


def _paired(frames: Iterable[Pixels]) -> Iterator[FramePair]:
    """Two frames a group; an odd last one is repeated."""
    iterator = iter(frames)
    while pair := list(islice(iterator, 2)):
        yield np.stack([pair[0], pair[-1]])


def _check_count(num_frames: int) -> None:
    if num_frames > MAX_FRAMES:
        raise BadMessage(
            f"the video gives more than {MAX_FRAMES} frames. "
            "Lower 'fps', or choose a part with 'video_start' and 'video_end'."
        )


# Parameters


def _check_parameters(part: Part, kind: Literal["image", "video"]) -> None:
    if refused := UNSUPPORTED & part.keys():
        raise BadMessage(f"{min(refused)!r} is not supported; say how many frames with 'fps' or 'nframes'.")
    for name in PARAMETERS[kind] & part.keys():
        _number(part, name, 0)


def _number(part: Part, name: str, default: float) -> float:
    if name not in part:
        return default
    value = part[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise BadMessage(f"{name!r} is {reprlib.repr(value)}; it must be a number, zero or more.")
    return value


def _choose_size(part: Part, limits: PixelLimits, cell: int, num_frames: int | None = None) -> ChooseSize:
    """At which size the model sees a frame, by the part's parameters and the model's limits."""
    limits = _limits_of(part, limits, num_frames)
    explicit = {"resized_height", "resized_width"} & part.keys()
    if len(explicit) == 1:
        raise BadMessage("'resized_height' and 'resized_width' go together. Give both.")

    def choose_size(height: int, width: int) -> tuple[int, int]:
        if explicit:
            height, width = int(part["resized_height"]), int(part["resized_width"])
        return smart_resize(height, width, factor=cell, min_pixels=limits.min_pixels, max_pixels=limits.max_pixels)

    return choose_size


def _limits_of(part: Part, limits: PixelLimits, num_frames: int | None) -> PixelLimits:
    low = int(_number(part, "min_pixels", min(limits.min_pixels, _number(part, "max_pixels", math.inf))))
    high = int(_number(part, "max_pixels", max(limits.max_pixels, low)))
    if low > MOST_PIXELS:
        raise BadMessage(f"'min_pixels' is {low}; a picture of {MOST_PIXELS} pixels is the largest possible.")
    if num_frames is not None and "total_pixels" in part:
        # qwen-vl-utils' rule. Two frames make one group, hence the 2; never below the minimum, plus a margin.
        high = max(min(high, int(part["total_pixels"] / num_frames * 2)), int(low * 1.05))
    return PixelLimits(low, high)
