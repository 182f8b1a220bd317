"""What one stream has in the model's memory: system prompt, video groups, and for a moment a question.

    prefix | group | group | ... | group | question, answer
                                         ^ cropped away before anything else happens

The video only grows, so nothing before its end is computed twice. A full window is rebuilt from its newest
half, out of the embeddings kept since each group arrived (a "sawtooth"): the vision tower never sees a group
again. Every part is one `extend` of its own, in whatever order things happen, so a context that has reused a
lot and a fresh one given the same window make the same calls in the same shapes: they agree to the bit.

The last answer to a question is the draft of the next one (draft.py, tail.py): what it has right is written several
tokens at a time. That is the greedy answer, too, wherever a row of a few gets the numbers that it would get alone: on a
CPU always where weights are quantized, and in bfloat16 on the processors we know. Elsewhere, in float32 and on CUDA,
rounding may decide between two tokens that are as good as equally likely.

Knows no time but what the groups carry and how long passes take, no threads and no torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from edge.arguments import require
from edge.engine.box_grammar import BoxGrammar, BoxWriter
from edge.engine.draft import Drafts
from edge.engine.generation import Prefill, Reply, first_tokens
from edge.engine.pass_costs import PassCosts
from edge.engine.prompt import stream_prefix, stream_suffix
from edge.engine.sampling import Sampling
from edge.engine.sliding import groups_kept, guaranteed_seconds
from edge.engine.tail import Tail, WriteAhead
from edge.engine.tokenizer import Tokenizer
from edge.errors import NothingSeen, PromptTooLong
from edge.models.family import Tokens
from edge.runners import Cache, Embeddings, Runner
from stream.frame import Clock, Group, Pixels, Window

ROOM_FOR_QUESTION = 256  # tokens; a longer question makes the cache grow once
LATEST = 9_999_999.5  # seconds: a time with as many digits as a stream's can have (four months)


@dataclass(frozen=True, slots=True)
class Seen:
    """A group in the model's memory: what the vision tower made of it, and when it was taken."""

    index: int
    spacing: int
    embeddings: Embeddings
    start: float  # seconds
    end: float
    captured: float
    clock: Clock

    @classmethod
    def of(cls, group: Group, embeddings: Embeddings) -> Seen:
        return cls(group.index, group.spacing, embeddings, *group.pts, group.captured, group.clock)


class Context:
    """One stream. Not thread-safe: the thread that appends is the thread that asks.

    Args:
        drafts: whether the last answer to a question is the draft of the next one, where sampling is greedy.
        clock: in seconds; tells how many tokens at a time are worth it.
    """

    def __init__(
        self,
        runner: Runner,
        tokenizer: Tokenizer,
        max_groups: int,
        *,
        sampling: Sampling | None = None,
        system: str | None = None,
        drafts: bool = True,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if max_groups < 1:
            raise ValueError(f"max_groups is {max_groups}: a window holds at least one group.")
        self.max_groups = max_groups
        self.sampling = sampling or Sampling()
        self._runner = runner
        self._tokenizer = tokenizer
        self._system = system
        self._layout = runner.facts.family.layout
        self._boxes = BoxGrammar.of(tokenizer)
        self._prefix = stream_prefix(tokenizer, self._layout, system)
        self._cache: Cache | None = None  # born with the first group, whose size says how much room it needs
        self._grid = (0, 0)  # rows and columns of tokens of every group in the cache
        self._seen: list[Seen] = []  # exactly the groups in the cache
        self._video_end = 0  # tokens of the prefix and the video, in the cache
        self._next = 0  # position of what follows the video
        self._newest: tuple[Pixels, Embeddings] | None = None  # what was last through the vision tower
        self._tail: Tail | None = None  # where the last reply writes, until its turn is over
        self._drafts = Drafts() if drafts else None
        self._costs = PassCosts()
        self._clock = clock

    @property
    def window(self) -> Window | None:
        if not self._seen:
            return None
        oldest, newest = self._seen[0], self._seen[-1]
        return Window(oldest.index, newest.index, oldest.start, newest.end, newest.captured, newest.clock)

    def append(self, group: Group) -> None:
        """Takes the next group. After a gap, at another size or spacing, the window begins anew with it."""
        require("group", group, Group, "Give a stream.frame.Group: stream.sampler.groups makes them of frames.")
        self._end_turn()
        newest = Seen.of(group, self._embed(group.pixels))
        if newest.embeddings.grid != self._grid:
            self._check_fits(newest)
            self._allocate(newest.embeddings.grid, ROOM_FOR_QUESTION + self.sampling.max_tokens)
        elif self._seen and not group.follows(self._seen[-1].index, self._seen[-1].spacing):
            self._replay([])
        elif len(self._seen) == self.max_groups:
            self._replay(self._seen[len(self._seen) - groups_kept(self.max_groups) :])
        self._extend(newest)

    def answer(
        self,
        prompt: str,
        choices: tuple[str, ...] = (),
        max_tokens: int | None = None,
        sampling: Sampling | None = None,
    ) -> Reply:
        """Asks about the window. The reply is computed as it is read, until the next append or answer."""
        sampling = sampling or self.sampling
        if max_tokens is not None:
            sampling = replace(sampling, max_tokens=max_tokens)
        beginnings = first_tokens(self._tokenizer, choices)  # which fails before anything is computed
        prefill, tail = self._ask(prompt, sampling)
        reply = Reply(
            tokenizer=self._tokenizer,
            prefill=prefill,
            write=tail.write,
            stop_tokens=self._runner.facts.stop_tokens,
            sampling=sampling,
            choices=beginnings,
            form=None if self._boxes is None else BoxWriter(self._boxes),
        )
        if self._drafts is not None and sampling.greedy:
            self._draft(reply, prompt, tail, self._drafts)
        return reply

    def close(self) -> None:
        """Gives back what the stream holds on the device. Idempotent; a closed context may begin anew."""
        self._end_reply()
        self._seen, self._grid = [], (0, 0)
        self._cache = self._newest = None
        if self._drafts is not None:
            self._drafts.clear()

    def _draft(self, reply: Reply, question: str, tail: Tail, drafts: Drafts) -> None:
        """The reply is written with the help of the last one, and is the draft of the next."""
        draft = drafts.draft(question)
        ahead = WriteAhead(tail, draft, self._costs, reply.prefill.limit(reply.sampling), self._clock)

        def keep() -> None:
            if reply.finish != "cancelled":  # half an answer is a worse draft than a whole one
                drafts.keep(question, reply.tokens, draft.acceptance)

        reply.write, reply.num_accepted, reply.ended = ahead.write, lambda: ahead.accepted, keep

    def _ask(self, question: str, sampling: Sampling) -> tuple[Prefill, Tail]:
        """The question in memory, and the end of it, where the answer will be written."""
        if not self._seen:
            raise NothingSeen("nothing has been seen yet. Ask again once the stream has given two frames.")
        suffix = stream_suffix(self._tokenizer, self._layout, question, self._system)
        self._make_room(suffix, sampling)
        self._end_turn()
        assert self._cache is not None
        reused = self._cache.length
        at = self._next
        prediction = self._runner.extend(self._cache, suffix, self._layout.text_positions(at, len(suffix)))
        at += len(suffix)
        prefill = Prefill(
            prediction=prediction,
            text=np.concatenate([self._prefix, suffix]),
            visual_tokens=self._video_end - len(self._prefix),
            reused_tokens=reused,
            room=self._room_left(at),
        )
        self._tail = Tail(self._runner, self._cache, self._layout, at)
        return prefill, self._tail

    # What the cache holds

    def _end_turn(self) -> None:
        """Crops away the last question and whatever was answered: read, abandoned, or cut by an error."""
        self._end_reply()
        if self._cache is not None and self._cache.length > self._video_end:
            self._cache.crop(self._video_end)

    def _end_reply(self) -> None:
        tail, self._tail = self._tail, None
        if tail is not None:
            tail.is_over = True

    def _embed(self, pixels: Pixels) -> Embeddings:
        """Pictures equal to the last ones byte for byte look the same to the vision tower."""
        if self._newest is None or not np.array_equal(pixels, self._newest[0]):
            # A copy, because a source may draw its next group into the same array.
            self._newest = (pixels.copy(), self._runner.encode(pixels))
        return self._newest[1]

    def _extend(self, seen: Seen) -> None:
        assert self._cache is not None
        start, index = len(self._prefix), len(self._seen)
        before = self._text_before(seen.end)
        if len(before):  # then each group is a visual of its own
            self._runner.extend(self._cache, before, self._layout.text_positions(self._next, len(before)), rows=0)
            start, index = self._next + len(before), 0
        at = self._layout.group_positions(start, index, *self._grid)
        self._runner.extend(self._cache, seen.embeddings, at, rows=0)
        self._seen.append(seen)
        self._video_end = self._cache.length
        self._next = self._layout.next_position(start, index + 1, *self._grid)

    def _text_before(self, seconds: float) -> Tokens:
        return self._tokenizer.encode(self._layout.text_before_group(seconds))

    def _replay(self, kept: list[Seen]) -> None:
        """The prefix stays; the video is written anew from embeddings."""
        assert self._cache is not None
        self._cache.crop(len(self._prefix))
        self._begin_video()
        for seen in kept:
            self._extend(seen)

    def _begin_video(self) -> None:
        self._seen = []
        self._video_end = self._next = len(self._prefix)

    # How much the cache can hold

    def _check_fits(self, seen: Seen) -> None:
        """A window of groups like this one, and a question, in what the model was made for."""
        grid, limit = seen.embeddings.grid, self._runner.facts.max_positions
        most = (limit - ROOM_FOR_QUESTION - len(self._prefix)) // self._group_tokens(grid)
        if self.max_groups > most:
            between_frames = seen.end - seen.start
            raise PromptTooLong(
                f"a window of {self.max_groups} groups of {grid[0]}x{grid[1]} tokens leaves no room for a question in "
                f"the {limit} tokens the model was made for. The longest has {most} groups, with which answers look "
                f"back {guaranteed_seconds(most, 1) * between_frames:.1f} s. Choose a shorter one, or smaller pictures."
            )

    def _allocate(self, grid: tuple[int, int], room: int) -> None:
        """A new cache for windows of this grid, holding the prefix."""
        longest = len(self._prefix) + self.max_groups * self._group_tokens(grid)  # never fewer than positions
        self._seen, self._grid = [], (0, 0)  # until the new cache is there, as if nothing had been seen
        self._end_reply()
        self._cache = None  # the old one goes first: both may not fit
        cache = self._runner.cache(longest + room)
        self._runner.extend(cache, self._prefix, self._layout.text_positions(0, len(self._prefix)), rows=0)
        self._cache, self._grid = cache, grid
        self._begin_video()

    def _group_tokens(self, grid: tuple[int, int]) -> int:
        """With what is written before it, at most."""
        return max(grid[0] * grid[1], 1) + len(self._text_before(LATEST))

    def _make_room(self, suffix: Tokens, sampling: Sampling) -> None:
        """A question longer than expected: a larger cache, filled again from the embeddings."""
        assert self._cache is not None
        positions_left = self._runner.facts.max_positions - self._next - len(suffix)
        if positions_left < 1:
            raise PromptTooLong(
                f"the question has {len(suffix)} tokens, {1 - positions_left} more than the model's "
                f"{self._runner.facts.max_positions} positions can take after the video. Ask a shorter one."
            )
        wanted = len(suffix) + min(sampling.max_tokens, positions_left)
        # Room for the longest window is kept free, so that growing happens once and not with every group.
        if wanted > self._cache.capacity - len(self._prefix) - self.max_groups * self._group_tokens(self._grid):
            kept = self._seen
            self._allocate(self._grid, wanted + ROOM_FOR_QUESTION)
            self._replay(kept)

    def _room_left(self, at: int) -> int:
        assert self._cache is not None
        return max(1, min(self._cache.capacity - self._cache.length, self._runner.facts.max_positions - at))
