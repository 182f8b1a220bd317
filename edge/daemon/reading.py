"""A reply that is read whole, as long as somebody waits for it."""

from __future__ import annotations

import asyncio

from fastapi import Request

from edge.engine.generation import Reply


async def read_while_wanted(request: Request, reply: Reply) -> str:
    """The whole text; what was said so far where the client has gone away, since nobody would read the rest."""
    pieces = iter(reply)
    try:
        while await asyncio.to_thread(next, pieces, None) is not None:
            if await request.is_disconnected():
                break
    finally:
        await asyncio.to_thread(reply.close)
    return reply.text
