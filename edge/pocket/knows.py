"""What pocket can be asked: it was taught drawn shapes, and says of anything else what sounds likely and means nothing.

Knows words and the kind of a source. Knows no model and no picture.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from edge.errors import NotTaught
from edge.pocket.lessons import CHANGED, DESCRIBE
from stream.sources.scene import COLOURS, SHAPES

ADVICE = 'Name a model, for example "Qwen/Qwen2-VL-2B-Instruct", or say "pocket" to have it all the same.'

CAUTION = (
    f"No model was named, so pocket answers. It knows drawn shapes only: about anything else it is wrong. {ADVICE}"
)
"""The one line for whoever named no model."""

DRAWN = "synthetic:"  # the scheme of sources that show what pocket was taught

_WORD = re.compile(r"\w+")
_QUESTIONS = (  # as lessons.py asks them, but for the names of things
    "Find the. Detect the. Where is the? Is there a? Do you see a? Is anything moving? How many are there? "
    "How does the move? Answer yes or no. An all any and are they, shape shapes."
)
TAUGHT = frozenset(
    _WORD.findall(" ".join([*DESCRIBE, *CHANGED, _QUESTIONS, *COLOURS, *SHAPES]).lower())
    + [f"{shape}{'es' if shape.endswith('s') else 's'}" for shape in SHAPES]
)


def strange_words(text: str) -> list[str]:
    """The words of a question or a label that pocket was never taught, as they stand; none where it can know.

    >>> strange_words("Is there a red circle?")
    []
    >>> strange_words("Is a parcel at the door?")
    ['parcel', 'at', 'door']
    """
    return [word for word in _WORD.findall(text) if word.lower() not in TAUGHT]


def check_questions(questions: Iterable[str], source: str) -> None:
    """For a model that nobody named: refuses what pocket cannot know of a source that is not drawn.

    `questions` are those of yes or no, and the labels of boxes; `source` is the address or the name of the source.
    Raises NotTaught.
    """
    if source.strip().lower().startswith(DRAWN):
        return
    for question in questions:
        if strange := strange_words(question):
            raise NotTaught(
                f"{question.strip()!r} cannot be answered: no model was named, and pocket, the embedded one, knows "
                f"drawn shapes only, not {', '.join(map(repr, strange))}. {ADVICE}"
            )
