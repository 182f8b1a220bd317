"""An answer that nobody waits for any more is not made."""

from __future__ import annotations

import asyncio
from typing import Any

import edge
from edge.daemon.reading import read_while_wanted

QUESTION = [{"role": "user", "content": "Describe the video."}]


class Asker:
    """Goes away after so many looks."""

    def __init__(self, stays: int) -> None:
        self.stays = stays

    async def is_disconnected(self) -> bool:
        self.stays -= 1
        return self.stays < 0


def read(model: edge.Model, stays: int) -> tuple[str, Any]:
    reply = model.chat(QUESTION, sampling=edge.Sampling(max_tokens=12))
    return asyncio.run(read_while_wanted(Asker(stays), reply)), reply  # type: ignore[arg-type]


def test_it_is_whole_for_one_who_stays_and_ends_for_one_who_leaves(model: edge.Model) -> None:
    whole, reply = read(model, 1000)
    assert reply.finish in ("stop", "length") and whole
    part, left = read(model, 2)
    assert left.finish == "cancelled"
    assert len(left.tokens) < len(reply.tokens)
    assert whole.startswith(part)
