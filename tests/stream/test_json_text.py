"""JSON lines for every encoding hold what was to be told, whatever characters it has."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.sinks.json_text import encodable, encodable_line


@given(st.text(st.characters(exclude_categories=())), st.sampled_from(["utf-8", "ascii", "cp1252", "latin-1"]))
def test_what_is_read_back_is_what_was_told(told: str, encoding: str) -> None:
    line = encodable(json.dumps({"text": told}, ensure_ascii=False), encoding).encode(encoding)

    # Two halves of a pair that stood beside each other are one character when they are read.
    assert json.loads(line.decode(encoding))["text"] == json.loads(json.dumps(told))


def test_the_name_of_a_file_comes_back_to_the_byte() -> None:
    name = os.fsdecode(b"k\xfcche.mp4")

    line = encodable(json.dumps(name, ensure_ascii=False)).encode()

    assert os.fsencode(json.loads(line)) == b"k\xfcche.mp4"


@pytest.mark.parametrize("text", ['"küche"', '"кухня 😀"', "{}"])
def test_what_an_encoding_has_stays_readable(text: str) -> None:
    assert encodable(text, "utf-8") == text


def test_a_line_for_a_terminal_holds_neither_what_it_obeys_nor_what_it_lacks():
    line = encodable_line(json.dumps("a\x9b2Jb ü", ensure_ascii=False), "ascii")

    assert line == '"a\\u009b2Jb \\u00fc"'
    assert json.loads(line) == "a\x9b2Jb ü"
