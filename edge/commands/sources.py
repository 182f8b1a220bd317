"""From the words for a source to the source: an address, or a class of the user's own by its import path."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from stream.registry import make
from stream.sources import SOURCES, Source
from stream.sources.address import open_source, parse

IMPORTED = "import"  # in the place of a scheme: a source of the user's own
SOURCE_NEEDS = ("live", "name", "codec", "__iter__", "close")
IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def scheme_of(source: str) -> str:
    """A class of the user's own may stand for an address here, where whoever types it may run any program anyway.

    Raises ValueError for what is no address.
    """
    is_import_path = IMPORT_PATH.fullmatch(source) and source.partition(":")[0].lower() not in SOURCES
    return IMPORTED if is_import_path and not Path(source).exists() else parse(source).scheme


def open_word(source: str, **options: Any) -> Source:
    """`options` are `open_source`'s; a class of the user's own is made without arguments.

    Raises ValueError for what is no address, for a class that is not to be had, and for options that mean nothing.
    """
    if scheme_of(source) == IMPORTED:
        own: Source = make(source, SOURCES, SOURCE_NEEDS)
        return own
    return open_source(source, **options)
