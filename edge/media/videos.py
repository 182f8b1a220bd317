"""Videos of chat messages, in the forms qwen-vl-utils takes, as groups for the vision tower.

A video is sampled on its own clock, `fps` times a second, or evenly in `nframes` frames; `min_frames` and
`max_frames` bound the first, evenly too. An odd number of frames is completed by repeating the last.

Where this differs from qwen-vl-utils 0.0.14, on purpose: an odd `nframes` is rounded down, not to the nearest
even number; frames given as a list are resized once, and must agree in size; what chooses frames of a file is
an error beside a list, not ignored; `fps` sampling follows the clock instead of counting frames, and has no
minimum of 4 frames; more than 768 frames are refused, not thinned out, unless `max_frames` says so;
`total_pixels` has no default; `max_pixels` may exceed 768 tokens a frame, and `resized_height` and
`resized_width` stay within the limits; a file:// address has three slashes; pictures are turned upright as their
EXIF says. Knows no messages and no model.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import BadMessage
from edge.media import addresses, parameters
from edge.media.access import TRUSTED, Access
from edge.media.frames import Pair, Request, at_one_size, paired, rate
from edge.media.limits import Limits
from edge.media.parameters import FOR_FILES, Part
from edge.media.pictures import checked_array, read_picture, unwrapped
from edge.media.recordings import sampled
from edge.media.visual import Visual
from stream.frame import Pixels


def load_video(part: Part, limits: Limits, access: Access = TRUSTED) -> Visual:
    """The video of a part {"video": ...} or {"video_url": ...}.

    Raises BadMessage, AccessDenied, BadPicture and what its source raises.
    """
    part = parameters.given(part)
    parameters.check(part, "video")
    video = unwrapped(part["video"] if "video" in part else part.get("video_url"))
    # A playlist that came over a wire was written elsewhere, whoever gave its address: it names no file here.
    is_carried = isinstance(video, str | Path) and addresses.scheme(str(video)) in addresses.CARRIED
    follow = access.files_are_trusted and not is_carried
    request = Request(part, limits, access, time.monotonic() + access.decode_seconds, follow)
    if isinstance(video, str | Path):
        with addresses.local(str(video), access) as address:
            return _visual(sampled(address, request))
    if isinstance(video, list | tuple | np.ndarray):
        return _visual(_listed(video, request))
    raise BadMessage(f"a video is a path, an address, a list of frames or an array, not a {type(video).__name__}.")


def _visual(pairs: Iterable[Pair]) -> Visual:
    frames, seconds = zip(*pairs, strict=True)
    return Visual("video", frames, seconds)


def _listed(video: Sequence[Any] | NDArray[Any], request: Request) -> Iterator[Pair]:
    if len(video) == 0:
        raise BadMessage("the list of frames is empty. Send at least one.")
    if unusable := FOR_FILES & request.part.keys():
        raise BadMessage(f"{min(unusable)!r} chooses frames of a file; of a list of frames all are used.")
    fps = rate(request.part, "sample_fps")
    request.check_count(len(video))
    frames = iter(checked_array(video, ndim=4)) if isinstance(video, np.ndarray) else _read_all(video, request)
    timed = ((frame, index / fps) for index, frame in enumerate(frames))
    return paired(at_one_size(timed, request.choose_size(len(video))))


def _read_all(values: Sequence[Any], request: Request) -> Iterator[Pixels]:
    """One after the other: hundreds of photos at their own size are more than the memory."""
    first: tuple[int, ...] | None = None
    for index, value in enumerate(values):
        request.access.check_time(request.deadline)
        frame = read_picture(value, request.access)
        first = first or frame.shape
        if frame.shape != first:
            raise BadMessage(
                f"frame {index} is {frame.shape[1]}x{frame.shape[0]} and frame 0 is {first[1]}x{first[0]}. "
                "Send the frames of a video at one size."
            )
        yield frame
