"""An MP4 whose index is missing: the most common video that nobody can open, and the least explained."""

from __future__ import annotations

UNFINISHED = (
    "it begins as an MP4, but its index (moov) is missing or damaged: "
    "the recording was never finished, or not copied to its end. Finish it, or copy it again."
)


def begins_like_mp4(beginning: bytes) -> bool:
    """By its first 12 bytes."""
    return beginning[4:8] == b"ftyp"
