"""Which font can write a text: the one that Pillow brings, or one of this machine where that lacks signs.

Knows what such fonts are commonly called (Cyrillic and Greek; Chinese, Japanese and Korean), and looks for them by name
only when they are needed. Where no font has a sign, its empty frame is drawn, as everywhere.
"""

from __future__ import annotations

from functools import cache

from PIL import ImageFont

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont

OTHERS = (
    "DejaVuSans.ttf",
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "DroidSansFallback.ttf",
    "PingFang.ttc",
    "Arial Unicode.ttf",
    "msyh.ttc",
)
NOWHERE = "\U0010fffe"  # no font has this sign: what is drawn for it is drawn for all that are missing
PROBE = 12  # size at which signs are compared


def font_for(text: str, size: int, others: tuple[str, ...] = OTHERS) -> Font:
    """The first that lacks none of the text's signs, or else the one that lacks the fewest."""
    signs = frozenset(text) - frozenset(" \n")
    best, fewest = "", _missing("", signs)
    for name in others:
        if not fewest:
            break
        missing = _missing(name, signs)
        if missing < fewest:
            best, fewest = name, missing
    font = _load(best, size)
    assert font is not None  # it was measured
    return font


def _missing(name: str, signs: frozenset[str]) -> int:
    """How many of these the font lacks; all of them if it is not on this machine."""
    return sum(not _has(name, sign) for sign in signs)


@cache
def _has(name: str, sign: str) -> bool:
    font = _load(name, PROBE)
    return font is not None and bytes(font.getmask(sign)) != _frame(name)


@cache
def _frame(name: str) -> bytes:
    font = _load(name, PROBE)
    return b"" if font is None else bytes(font.getmask(NOWHERE))


@cache
def _load(name: str, size: int) -> Font | None:
    """Pillow's own for ""."""
    if not name:
        return ImageFont.load_default(size)
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None
