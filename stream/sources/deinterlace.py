"""From two half pictures, taken one after the other and woven together, to one picture without combs.

Knows FFmpeg's bwdif. It works before the conversion to RGB, because colour is interlaced too.

A deinterlacer likes the pictures before and after. The one after would cost a live camera the age of a picture,
so only the one before is used; what moves is then interpolated, what stands still keeps every line.
"""

from __future__ import annotations

import av
from av.filter import Graph


def deinterlaced(picture: av.VideoFrame, before: av.VideoFrame | None) -> av.VideoFrame:
    """`picture` at the time of its first half; alone, every second row of it. `before` is the one before it."""
    if before is None or not _is_alike(before, picture):
        return _filtered("separatefields", "", [picture], which=0)
    # A picture comes out when its successor goes in: the picture itself stands in for it.
    return _filtered("bwdif", "mode=send_frame:deint=all", [before, picture, picture], which=1)


def _filtered(name: str, options: str, pictures: list[av.VideoFrame], which: int) -> av.VideoFrame:
    """What comes out of a filter of FFmpeg as number `which`, from 0."""
    graph, newest = Graph(), pictures[-1]
    source = graph.add_buffer(
        width=newest.width, height=newest.height, format=newest.format, time_base=newest.time_base
    )
    works, sink = graph.add(name, options), graph.add("buffersink")
    source.link_to(works)
    works.link_to(sink)
    graph.configure()
    for picture in pictures:
        graph.push(picture)
    return [graph.vpull() for _ in range(which + 1)][which]


def _is_alike(one: av.VideoFrame, other: av.VideoFrame) -> bool:
    return (one.width, one.height, one.format.name) == (other.width, other.height, other.format.name)
