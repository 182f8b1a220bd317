"""One picture or clip, one answer: what `edge describe` does with each of its files."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge.engine.engine import Engine
from edge.engine.generation import Reply
from edge.engine.sampling import Sampling
from edge.media.limits import Limits
from edge.media.pictures import load_image
from edge.media.videos import load_video
from edge.media.visual import Conversation, Visual
from stream.printable import Pieces
from stream.sinks.wording import place
from stream.sources.animation import is_animation
from stream.sources.redaction import redact
from stream.tasks.boxes import Parsed, parse_boxes
from stream.tasks.geometry import Picture

SPECIAL = re.compile(r"<\|\w+\|>")
QUESTIONS = {"image": "Describe the picture.", "video": "Describe the video."}


class Answer:
    """What the model says of one file: iterate for pieces of text, then read the rest."""

    def __init__(self, file: str, reply: Reply, picture: Picture) -> None:
        """`picture` is its size as the model saw it."""
        self.file, self._reply, self._picture = redact(file), reply, picture

    def __iter__(self) -> Iterator[str]:
        pieces = Pieces()
        for piece in self._reply:
            yield SPECIAL.sub("", pieces.add(piece))
        yield SPECIAL.sub("", pieces.end())

    def box_lines(self) -> list[str]:
        """Where things are, and in the last line what was amiss with that."""
        parsed = self._parsed()
        return [*(place(box) for box in parsed.boxes), *([f"[{', '.join(parsed.flags)}]"] if parsed.flags else ())]

    def cost(self) -> str:
        usage = self._reply.usage
        return (
            f"{usage.visual_tokens} visual and {usage.text_tokens} text tokens read, "
            f"{usage.generated_tokens} written, finish: {self._reply.finish}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Reads the answer to its end."""
        for _ in self._reply:
            pass
        parsed, usage = self._parsed(), self._reply.usage
        boxes = [{"label": box.label, "x1": box.x1, "y1": box.y1, "x2": box.x2, "y2": box.y2} for box in parsed.boxes]
        tokens = {"visual": usage.visual_tokens, "text": usage.text_tokens, "written": usage.generated_tokens}
        return {
            "file": self.file,
            "text": parsed.text,
            "boxes": boxes,
            "flags": list(parsed.flags),
            "finish": self._reply.finish,
            "tokens": tokens,
        }

    def _parsed(self) -> Parsed:
        return parse_boxes(self._reply.text, picture=self._picture)


def describe_file(
    engine: Engine, file: str, prompt: str | None, *, fps: float, max_pixels: int, max_tokens: int
) -> Answer:
    """Raises StreamError for a file that cannot be read, PromptError for one that does not fit."""
    visual = _look(file, engine.limits, fps, max_pixels)
    question = prompt or QUESTIONS[visual.kind]
    content = [{"type": visual.kind}, {"type": "text", "text": question}]
    conversation = Conversation(({"role": "user", "content": content},), (visual,))
    picture = Picture(*visual.groups[0].shape[1:3])
    return Answer(file, engine.chat(conversation, sampling=Sampling(max_tokens=max_tokens)), picture)


def _look(file: str, limits: Limits, fps: float, max_pixels: int) -> Visual:
    """Raises StreamError, PromptError, which speak of the file."""
    mime, _ = mimetypes.guess_type(file.partition("?")[0])
    if (mime or "").startswith("image") and not is_animation(Path(file)):
        return load_image({"image": file, "max_pixels": min(max_pixels, limits.image.max_pixels)}, limits)
    return load_video({"video": file, "fps": fps, "max_pixels": min(max_pixels, limits.video.max_pixels)}, limits)
