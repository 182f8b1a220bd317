"""Which model answers, said aloud where its answers may mean nothing.

Whoever names no model has pocket, which knows drawn shapes; of a drawn scene that needs no word. Whoever named a
model, pocket too, knows what it is; but of random weights nobody should believe a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edge.cli.terminal import notes
from edge.errors import NotTaught
from edge.loading import RANDOM
from edge.pocket.knows import ADVICE, DRAWN, check_questions

EMBEDDED = "pocket"
HOW = "Give --model, for example --model Qwen/Qwen2-VL-2B-Instruct, or --model pocket to have it all the same."
CAUTION = (
    "No --model was given, so pocket answers. It knows drawn shapes only: what it says of anything else means nothing. "
    f"{HOW}"
)
NOISE = "has random weights: what it says means nothing. It is for measuring speed and memory."


def chosen(model: str | None, sources: Iterable[str], questions: Sequence[str] = ()) -> str:
    """The model's name; a line beside the answers where they may mean nothing.

    `sources` are addresses, `questions` those of yes or no and labels of boxes. Raises NotTaught.
    """
    if model is not None:
        if model.startswith(RANDOM):
            _say(f"{model} {NOISE}")
        return model
    strangers = [source for source in sources if not source.strip().lower().startswith(DRAWN)]
    for source in strangers:
        _check(questions, source)
    if strangers:
        _say(CAUTION)
    return EMBEDDED


def _check(questions: Sequence[str], source: str) -> None:
    try:
        check_questions(questions, source)
    except NotTaught as error:
        raise NotTaught(str(error).replace(ADVICE, HOW)) from None


def _say(caution: str) -> None:
    notes.print(caution, style="bold yellow", markup=False, soft_wrap=True)
