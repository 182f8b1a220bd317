"""An answer that is JSON as one schema wants it, and whole also where the answer's room ends.

Which tokens may follow is `llguidance`'s knowledge. A token that does not fit gives way to the likeliest that does. At
every token it is known how the answer could be ended from there, in few tokens; one after which that would not fit any
more is not written, and the ending is. Knows tokens and their bytes; no model and no picture.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.engine.tokenizer import Tokenizer
from edge.errors import BadSchema
from edge.runners import Prediction

SPACING: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
ENDING = '}]",:0[{'  # in this order they end what was begun, or begin what ends soonest
QUOTE = '"'
LONGEST_ENDING = 512  # tokens; a schema that needs more is refused


class JsonForm:
    """One reply's. Raises BadSchema for what is no schema, and for one that the reply has too little room for.

    Args:
        room: tokens that the reply has at most.
    """

    def __init__(
        self, tokenizer: Tokenizer, stop_tokens: tuple[int, ...], schema: Mapping[str, Any], room: int
    ) -> None:
        self._vocabulary = _vocabulary(tokenizer, stop_tokens)
        self._matcher = self._vocabulary.matcher(schema)
        ending = self._vocabulary.ending(self._matcher)
        if ending is None:
            raise BadSchema(
                f"no answer of at most {LONGEST_ENDING} tokens was found that the schema allows. Ask for less in it."
            )
        if len(ending) > room:
            raise BadSchema(
                f"the shortest answer that the schema allows takes some {len(ending)} tokens, and there is room for "
                f"{room}. Ask for fewer properties, allow more with max_tokens, or send a shorter conversation."
            )
        self._ending, self._is_ending = ending, False

    def choose(self, token: int, prediction: Prediction, room: int) -> int | None:
        vocabulary = self._vocabulary
        if not self._is_ending:
            token = self._fitting(token, prediction)
            if token in vocabulary.stop_tokens:
                return token
            after = self._matcher.deep_copy()
            after.consume_token(token)
            ending = self._ending_after(token, after)
            if ending is not None and len(ending) < room:
                self._matcher, self._ending = after, ending
                return token
            self._is_ending = True
        if not self._ending:
            return None
        token, *self._ending = self._ending
        return token

    def _ending_after(self, token: int, after: Any) -> list[int] | None:
        """Mostly what was known before, less the token where it began with that: in the middle of a string, say."""
        known = self._ending[1:] if self._ending[:1] == [token] else self._ending
        there = after.deep_copy()
        if there.try_consume_tokens(known) == len(known) and there.is_accepting():
            return known
        return self._vocabulary.ending(after)

    def close(self) -> bool:
        self._is_ending = True
        return True

    def _fitting(self, token: int, prediction: Prediction) -> int:
        allowed = self._vocabulary.allowed(self._matcher)
        if token < len(allowed) and allowed[token]:
            return token
        logits = prediction.logits()[-1][: len(allowed)]
        return int(np.where(allowed[: len(logits)], logits, -np.inf).argmax())


class _Vocabulary:
    """A model's tokens as `llguidance` wants them: a second's work for 150,000 of them."""

    def __init__(self, tokenizer: Tokenizer, stop_tokens: tuple[int, ...]) -> None:
        from llguidance import LLTokenizer

        self.stop_tokens = stop_tokens
        self._tokens = LLTokenizer(tokenizer.to_json(), eos_token=list(stop_tokens))
        spelled = tokenizer.spelled_with(ENDING)
        self._closers = {end: token for end in ENDING for token, text in spelled.items() if text == end}

    def matcher(self, schema: Mapping[str, Any]) -> Any:
        from llguidance import LLMatcher

        try:
            grammar = LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=SPACING)
        except (TypeError, ValueError) as error:
            raise BadSchema(f"this is no JSON schema: {error}.") from None
        matcher = LLMatcher(self._tokens, grammar, log_level=0)
        if matcher.is_error():
            raise BadSchema(f"the JSON schema cannot be followed: {matcher.get_error().splitlines()[0]}")
        return matcher

    def allowed(self, matcher: Any) -> NDArray[np.bool_]:
        """Of each token, whether it may come next."""
        bits = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
        return np.unpackbits(bits, bitorder="little")[: self._tokens.vocab_size].astype(bool)

    def ending(self, matcher: Any) -> list[int] | None:
        """Some short way to a whole answer; None where none is found, or the matcher gave up."""
        matcher, found = matcher.deep_copy(), []
        while not matcher.is_accepting():
            tokens = matcher.compute_ff_tokens()
            if not tokens:
                tokens = [self._closer(self.allowed(matcher))]
            found += tokens
            if len(found) > LONGEST_ENDING or not matcher.consume_tokens(tokens):
                return None
        return found

    def _closer(self, allowed: NDArray[np.bool_]) -> int:
        fitting = {text: token for text, token in self._closers.items() if allowed[token]}
        if {"}", "]"} <= set(fitting) and QUOTE in fitting:  # both at once, so they are letters of a string
            return fitting[QUOTE]
        return next(iter(fitting.values()), int(allowed.argmax()))


@lru_cache(maxsize=2)
def _vocabulary(tokenizer: Tokenizer, stop_tokens: tuple[int, ...]) -> _Vocabulary:
    return _Vocabulary(tokenizer, stop_tokens)
