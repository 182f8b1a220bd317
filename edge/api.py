"""A model for Python programs: takes messages as people write them, reads what they name, and has the engine answer.

Knows neither tokens nor pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any

from edge.arguments import require
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
        schema: Mapping[str, Any] | None = None,
        access: Access = TRUSTED,
    ) -> Reply:
        """Answers messages in the form of qwen-vl-utils or of OpenAI's API. Iterate the reply for pieces of text, as
        they are made, or `read()` it whole; then `finish` and `usage` (in tokens) are known.

        With a JSON `schema` the answer is JSON that follows it, whole also where `sampling.max_tokens` cut it short.

        `access` says which files and hosts the messages may name: give `edge.media.access.UNTRUSTED` with messages
        that somebody else wrote. Raises BadArgument, BadMessage, BadSchema, AccessDenied, PromptTooLong, and
        StreamError for a video.

        >>> import edge
        >>> model = edge.load("pocket", device="cpu")
        >>> question = {"role": "user", "content": "Is there a red circle?"}
        >>> reply = model.chat([question], sampling=edge.Sampling(max_tokens=2))
        >>> for piece in reply:
        ...     text = piece
        >>> reply.usage.generated_tokens
        2
        """
        _check_sampling(sampling)
        require("messages", messages, (list, tuple), 'Give a list, such as [{"role": "user", "content": "..."}].')
        require("access", access, Access, "Give edge.media.access.TRUSTED or UNTRUSTED, or one made from these.")
        if schema is not None:
            require("schema", schema, Mapping, 'Give a JSON schema, such as {"type": "object", ...}.')
        conversation = read(messages, self.limits, access)
        return self.engine.chat(conversation, sampling=sampling, choices=choices, schema=schema)

    def open(self, max_groups: int, *, sampling: Sampling | None = None, system: str | None = None) -> Context:
        """A stream's context: a window of at most `max_groups` groups, to be fed and asked by hand. `edge.watch` does
        all of it. Raises BadArgument.

        >>> import edge
        >>> from stream.testing import group
        >>> context = edge.load("pocket", device="cpu").open(max_groups=4)
        >>> context.append(group(0))
        >>> context.window.end
        0.5
        """
        _check_sampling(sampling)
        require("max_groups", max_groups, int, "Give a number of groups, each of two frames.")
        return self.engine.open(max_groups, sampling=sampling, system=system)


def _check_sampling(sampling: object) -> None:
    require("sampling", sampling, (Sampling, NoneType), "Give edge.Sampling(temperature=0.7, max_tokens=64), or None.")
