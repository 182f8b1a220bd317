"""One conversation in the model's memory, so that its next turn costs only what is new.

Knows what the cache holds, unit by unit: a token, or a group of pixels by its digest. A prompt is
written from where it first differs; what is behind that is forgotten. Text is then extended in other pieces than
at first, so logits agree with a fresh conversation's to rounding, not to the bit: `Context` is the one that
promises bits. Knows no text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge.engine.prompt import Part, Slot
from edge.engine.tokenizer import Tokenizer
from edge.errors import BadMessage, PromptTooLong
from edge.media.visual import FramePair, Visual
from edge.models.family import Positions, PromptLayout, Tokens
from edge.runners import Cache, Embeddings, Prediction, Runner

SLACK = 1024  # tokens of room for the turns to come; a cache that must grow forgets what it holds


@dataclass(frozen=True, slots=True)
class GroupUnit:
    """A group in its visual. Equal units behind equal beginnings have the same keys and values, but for rounding."""

    digest: bytes
    index: int  # in its picture or video
    rows: int
    columns: int

    def __len__(self) -> int:
        return self.rows * self.columns


Unit = int | GroupUnit


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """What one `extend` writes: a run of text, or one group."""

    units: tuple[Unit, ...]
    start: int  # position of the text, or of the visual that the group belongs to
    pixels: FramePair | None = None

    @property
    def num_tokens(self) -> int:
        return sum(map(size_of, self.units))


def size_of(unit: Unit) -> int:
    return 1 if isinstance(unit, int) else len(unit)


def chunks(
    parts: Sequence[Part], visuals: Sequence[Visual], layout: PromptLayout, cell: int, tokenizer: Tokenizer
) -> tuple[list[Chunk], int]:
    """A prompt as the model's memory takes it, and the position that follows it."""
    if sum(isinstance(part, Slot) for part in parts) != len(visuals):
        raise BadMessage("the model's chat template does not show every picture. Is it this model's own?")
    remaining = iter(visuals)
    written: list[Chunk] = []
    at = 0
    for part in parts:
        if isinstance(part, Slot):
            groups, at = _group_chunks(next(remaining), at, layout, cell, tokenizer)
            written += groups
        else:
            written.append(Chunk(tuple(part.tolist()), at))
            at += len(part)
    return written, at


def _group_chunks(
    visual: Visual, at: int, layout: PromptLayout, cell: int, tokenizer: Tokenizer
) -> tuple[list[Chunk], int]:
    """The groups of a picture or a video that begins at a position, with what is written before each."""
    rows, columns = (side // cell for side in visual.groups[0].shape[1:3])
    written: list[Chunk] = []
    start, index = at, 0
    for pixels, seconds in zip(visual.groups, visual.seconds, strict=True):
        before = tokenizer.encode(layout.text_before_group(seconds)) if visual.kind == "video" else ()
        if len(before):  # then each group is a visual of its own
            written.append(Chunk(tuple(map(int, before)), at))
            start, index = at + len(before), 0
        written.append(Chunk((GroupUnit(digest(pixels), index, rows, columns),), start, pixels))
        index += 1
        at = layout.next_position(start, index, rows, columns)
    return written, at


def digest(pixels: FramePair) -> bytes:
    content = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=16)
    content.update(np.ascontiguousarray(pixels).data)
    return content.digest()


class PrefixCache:
    """A cache and what it holds."""

    def __init__(self, runner: Runner) -> None:
        self._runner, self._layout = runner, runner.facts.family.layout
        self._cache: Cache | None = None
        self._units: list[Unit] = []
        self._embeddings: dict[bytes, Embeddings] = {}  # of the last prompt's groups, should the cache be renewed
        self._at = 0  # position of the next token

    def read(self, prompt: Sequence[Chunk], at: int, max_tokens: int) -> tuple[Prediction, int]:
        """Brings the prompt into memory; what comes after it, and how many tokens were there already."""
        num_tokens = sum(chunk.num_tokens for chunk in prompt)
        limit = self._runner.facts.max_positions
        if max(num_tokens, at) >= limit:  # positions of a picture are fewer than its tokens; the cache holds both
            raise PromptTooLong(
                f"the conversation has {num_tokens} tokens, and the model takes fewer than {limit}. "
                "Send fewer or smaller pictures, or fewer messages."
            )
        self._reserve(num_tokens + min(max_tokens, limit - at))
        reused = self._keep_common([unit for chunk in prompt for unit in chunk.units])
        prediction = self._write_from(prompt, len(self._units))
        self._forget_embeddings(prompt)
        self._at = at
        return prediction, reused

    def write(self, token: int) -> Prediction:
        """Appends one token of the answer."""
        return self.write_all(np.array([token]))

    def write_all(self, tokens: Tokens) -> Prediction:
        """Appends an answer that is known; what comes after each of its tokens."""
        at = self._layout.text_positions(self._at, len(tokens))
        prediction = self._extend(tokens, at, tokens.tolist(), rows=len(tokens))
        self._at += len(tokens)
        return prediction

    @property
    def room(self) -> int:
        """Tokens that still fit."""
        assert self._cache is not None
        return max(1, min(self._cache.capacity - self._cache.length, self._runner.facts.max_positions - self._at))

    @property
    def capacity(self) -> int:
        """Tokens that the cache has memory for."""
        return 0 if self._cache is None else self._cache.capacity

    def _reserve(self, num_tokens: int) -> None:
        if self._cache is None or self._cache.capacity < num_tokens:
            self._cache, self._units = None, []  # the old one goes first: both may not fit
            self._cache = self._runner.cache(num_tokens + max(SLACK, num_tokens // 2))

    def _keep_common(self, units: Sequence[Unit]) -> int:
        """Crops to the common beginning with `units`; the last of them always remains, to predict from."""
        common = 0
        for old, new in zip(self._units, units[:-1], strict=False):
            if old != new:
                break
            common += 1
        assert self._cache is not None
        self._units = self._units[:common]
        length = sum(map(size_of, self._units))
        self._cache.crop(length)
        return length

    def _write_from(self, prompt: Sequence[Chunk], num_units: int) -> Prediction:
        """Extends by every chunk, or the end of it, behind the first `num_units` units."""
        prediction: Prediction | None = None
        for chunk in prompt:
            done = min(num_units, len(chunk.units))
            num_units -= done
            if done < len(chunk.units):
                prediction = self._write_chunk(chunk, done, rows=int(chunk is prompt[-1]))
        assert prediction is not None
        return prediction

    def _write_chunk(self, chunk: Chunk, done: int, rows: int) -> Prediction:
        if chunk.pixels is None:
            new = np.array(chunk.units[done:])
            return self._extend(new, self._layout.text_positions(chunk.start + done, len(new)), new.tolist(), rows)
        (unit,) = chunk.units
        assert isinstance(unit, GroupUnit)
        if unit.digest not in self._embeddings:
            self._embeddings[unit.digest] = self._runner.encode(chunk.pixels)
        at = self._layout.group_positions(chunk.start, unit.index, unit.rows, unit.columns)
        return self._extend(self._embeddings[unit.digest], at, [unit], rows)

    def _extend(self, inputs: Tokens | Embeddings, at: Positions, units: Sequence[Unit], rows: int) -> Prediction:
        assert self._cache is not None
        prediction = self._runner.extend(self._cache, inputs, at, rows)
        self._units += units
        return prediction

    def _forget_embeddings(self, prompt: Sequence[Chunk]) -> None:
        used = {unit.digest for chunk in prompt for unit in chunk.units if isinstance(unit, GroupUnit)}
        self._embeddings = {digest: self._embeddings[digest] for digest in used & self._embeddings.keys()}
