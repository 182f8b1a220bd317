"""What decides, beside the model, which token an answer may go on with."""

from __future__ import annotations

from typing import Protocol

from edge.runners import Prediction


class Form(Protocol):
    """Of one reply, which asks for each of its tokens in turn."""

    def choose(self, token: int, prediction: Prediction, room: int) -> int | None:
        """The token in the place of the one that was chosen; None: the answer had better end here.

        Args:
            room: tokens that the answer may still have, this one included.
        """
        ...

    def close(self) -> bool:
        """Says that the answer should end soon, for it repeats itself. False: it may end anywhere."""
        ...
