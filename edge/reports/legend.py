"""What each stage of a profile means, in one sentence for who sees it for the first time."""

from __future__ import annotations

from dataclasses import dataclass

from edge.profiling.pipeline_steps import AGE, DECODE, FIRST_TOKEN, PARSE, PUBLISH, SAMPLE
from edge.profiling.timed import APPEND, PATCHIFY, PREFIX, QUESTION, TOKEN, VISION


@dataclass(frozen=True, slots=True)
class Meaning:
    family: str  # video, vision, language or answer; "whole": it holds others in it
    sentence: str


MEANINGS = {
    DECODE: Meaning("video", "One frame of the video is decompressed."),
    SAMPLE: Meaning(
        "video", "A frame is taken or passed over; a taken one becomes RGB at the size the model looks at."
    ),
    PATCHIFY: Meaning("vision", "The pixels of two frames become patches, the vision tower's input."),
    VISION: Meaning("vision", "The patches of a group (two frames) become visual tokens."),
    PREFIX: Meaning("language", "The tokens that come before the video enter the context, once for each window."),
    APPEND: Meaning("language", "The visual tokens of a group join the context: their keys and values are kept."),
    QUESTION: Meaning("language", "The question follows the video, and the answer's first token is predicted."),
    TOKEN: Meaning("language", "One more token of the answer: the step that is repeated most."),
    PARSE: Meaning("answer", "The answer's text is read: words, boxes, yes or no."),
    PUBLISH: Meaning("answer", "The event is written to where it is wanted."),
    FIRST_TOKEN: Meaning("whole", "From asking to the answer's first token."),
    AGE: Meaning("whole", "From having the two frames to the published event: vision, context, question and answer."),
}
FAMILIES = {
    "video": "video",
    "vision": "vision tower",
    "language": "language model",
    "answer": "what becomes of the answer",
    "whole": "holds others in it",
}
UNKNOWN = Meaning("other", "")


def meaning(stage: str) -> Meaning:
    return MEANINGS.get(stage, UNKNOWN)


def is_whole(stage: str) -> bool:
    """It holds others in it: never to be added to them."""
    return meaning(stage).family == "whole"
