"""A folder of clips and pictures as examples: windows of each in turn, answered by a caption where there is one.

The caption of `clip.mp4` is the text of `clip.txt` beside it.
"""

from __future__ import annotations

import itertools
import mimetypes
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

from edge.errors import NoExamples, PromptError
from edge.examples.example import FPS, Example
from edge.media.limits import Limits
from edge.media.pictures import load_image
from edge.media.visual import FramePair
from stream.errors import StreamError
from stream.sampler import groups
from stream.sources.file import FileSource

LONGEST = 4  # groups in a window; every group costs as much as two pictures
QUESTIONS = ("Describe the video.", "What is happening?", "Describe what changes.")


def folder_examples(folder: Path, count: int, limits: Limits, max_pixels: int) -> Iterator[Example]:
    """Windows of the folder's clips and its pictures, in turn, until there are `count` or nothing is left.

    Raises NoExamples when no file of the folder can be read as a clip or a picture.
    """
    files = sorted(path for path in folder.iterdir() if _kind(path))
    is_empty = True
    with ExitStack() as stack:  # closing a reader closes its clip, which is rarely read to its end
        readers = [stack.enter_context(closing(_windows(path, limits, max_pixels))) for path in files]
        for example in itertools.islice(_in_turn(readers), count):
            is_empty = False
            yield example
    if is_empty:
        named = ", ".join(path.name for path in files[:5]) or "no file that looks like one"
        raise NoExamples(
            f"{folder} holds no readable clip or picture (found {named}). "
            "Put some videos (.mp4, .mkv, .avi) or pictures (.jpg, .png) there."
        )


def _kind(path: Path) -> str | None:
    kind = (mimetypes.guess_type(path.name)[0] or "").partition("/")[0]
    return kind if kind in ("video", "image") and path.is_file() else None


def _in_turn(readers: Sequence[Iterator[Example]]) -> Iterator[Example]:
    """One window of each file, then the second of each, and so on."""
    while readers:
        alive = []
        for reader in readers:
            window = next(reader, None)
            if window is not None:
                alive.append(reader)
                yield window
        readers = alive


def _windows(path: Path, limits: Limits, max_pixels: int) -> Generator[Example]:
    """A file's windows of 1 to LONGEST groups, one after the other; a file that cannot be read has none."""
    caption_file = path.with_suffix(".txt")
    caption = caption_file.read_text().strip() if caption_file.is_file() else ""
    try:
        if _kind(path) == "image":
            visual = load_image({"image": str(path), "max_pixels": max_pixels}, limits)
            yield Example.of("image", visual.groups, "Describe the picture.", caption, path.name)
        else:
            yield from _windows_of_clip(path, caption, partial(limits.frame_size, max_pixels=max_pixels))
    except (StreamError, PromptError):
        return


def _windows_of_clip(
    path: Path, caption: str, choose_size: Callable[[int, int], tuple[int, int]]
) -> Generator[Example]:
    """Raises StreamError where the clip cannot be read any further."""
    window: list[FramePair] = []
    lengths = itertools.cycle((LONGEST, 1, 2, LONGEST - 1))
    length, number = next(lengths), 0
    with closing(FileSource(str(path))) as source:
        for group in groups(source, fps=FPS, choose_size=choose_size):
            window.append(group.pixels)
            if len(window) == length:
                yield Example.of("video", window, QUESTIONS[number % len(QUESTIONS)], caption, path.name)
                window, length, number = [], next(lengths), number + 1
