"""A model for Python programs: takes messages as people write them, reads what they name, and has the engine answer.

Knows neither tokens nor pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edge.engine.context import Context
from edge.engine.engine import Engine
from edge.engine.generation import Reply
from edge.engine.sampling import Sampling
from edge.media.access import TRUSTED, Access
from edge.media.limits import Limits
from edge.media.messages import read


class Model:
    """What `edge.load` gives. Thread-safe, as its engine is."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def name(self) -> str:
        return self.engine.name

    @property
    def variant(self) -> str:
        return self.engine.variant

    @property
    def limits(self) -> Limits:
        return self.engine.limits

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        sampling: Sampling | None = None,
        choices: tuple[str, ...] = (),
        access: Access = TRUSTED,
    ) -> Reply:
        """Answers messages in the form of qwen-vl-utils or of OpenAI's API.

        `access` says which files and hosts the messages may name: give `edge.media.access.UNTRUSTED` with messages
        that somebody else wrote. Raises BadMessage, AccessDenied, PromptTooLong, and StreamError for a video.
        """
        return self.engine.chat(read(messages, self.limits, access), sampling=sampling, choices=choices)

    def open(self, max_groups: int, *, sampling: Sampling | None = None, system: str | None = None) -> Context:
        """A stream's context: a window of at most `max_groups` groups."""
        return self.engine.open(max_groups, sampling=sampling, system=system)
