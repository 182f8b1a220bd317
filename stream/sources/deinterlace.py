"""From two half pictures, taken one after the other and woven together, to one picture without combs.

Knows FFmpeg's bwdif. It works before the conversion to RGB, because colour is interlaced too.

A deinterlacer likes the pictures before and after. The one after would cost a live camera the age of a picture,
so only the one before is used; what moves is then interpolated, what stands still keeps every line.
"""

from __future__ import annotations

import av
from av.filter import Graph


def deinterlaced(picture: av.VideoFrame, before: av.VideoFrame | None) -> av.VideoFrame:
    """`picture` at the time of its first half; `before` is the one decoded before it."""
    graph = Graph()
    source = graph.add_buffer(
        width=picture.width,
        height=picture.height,
        format=picture.format,
        time_base=picture.time_base,
    )
    bwdif, sink = graph.add("bwdif", "mode=send_frame:deint=all"), graph.add("buffersink")
    source.link_to(bwdif)
    bwdif.link_to(sink)
    graph.configure()
    # A picture comes out when its successor goes in: the picture itself stands in for it.
    neighbours = before if before is not None and _is_alike(before, picture) else picture
    for each in (neighbours, picture, picture):
        graph.push(each)
    graph.vpull()  # the one before
    return graph.vpull()


def _is_alike(one: av.VideoFrame, other: av.VideoFrame) -> bool:
    return (one.width, one.height, one.format.name) == (other.width, other.height, other.format.name)
