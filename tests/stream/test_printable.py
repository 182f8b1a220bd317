from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.printable import Pieces, printable, printable_json

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

SHOWN = {
    "plain": ("Ein Hund, 一只狗, dog\n\tand a cat.", "Ein Hund, 一只狗, dog\n\tand a cat."),
    "colour": ("a \x1b[1;31mred\x1b[0m dog", "a red dog"),
    "clear and move": ("a\x1b[2J\x1b[H\x1b[10;20Hb", "ab"),
    "title": ("a\x1b]0;owned\x07b", "ab"),
    "title, ended by ST": ("a\x1b]2;owned\x1b\\b", "ab"),
    "clipboard": ("a\x1b]52;c;cm0gLXJm\x07b", "ab"),
    "device string": ("a\x1bP$q\x1b\\b", "ab"),
    "one character": ("a\x1bcb\x1b7c\x1b(B", "abc"),
    "C1 colour": ("a\x9b31mb", "ab"),
    "C1 title": ("a\x9d0;owned\x9cb", "ab"),
    "bell": ("a\x07b", "a b"),
    "backspace and return": ("a\x08\rb\x7f", "a  b "),
    "C1 alone": ("a\x85b", "a b"),
    "a sequence in a sequence": ("a\x1b\x1b[0m[2Jb", "a [2Jb"),
    "never ended": ("a\x1b]0;title\nb", "a0;title\nb"),
    "endless": ("a\x1b]0;" + "x" * 600, "a0;" + "x" * 600),
    "cut off": ("a\x1b[3", "a3"),
}


@pytest.mark.parametrize("name", SHOWN)
def test_text_is_shown_and_commands_are_not(name: str) -> None:
    text, expected = SHOWN[name]

    assert printable(text) == expected


@pytest.mark.parametrize("name", SHOWN)
def test_it_makes_no_difference_in_which_pieces_it_comes(name: str) -> None:
    text, expected = SHOWN[name]
    for size in (1, 2, 3, 7):
        pieces = Pieces()
        shown = [pieces.add(text[begin : begin + size]) for begin in range(0, len(text), size)]
        assert "".join([*shown, pieces.end()]) == expected


@given(st.lists(st.text(st.sampled_from("\x1b[]0;m\x07\x9b\x9d\x9c\\ P\nab\r")), max_size=12))
def test_no_command_is_ever_shown_and_no_text_is_kept_back(parts: list[str]) -> None:
    pieces = Pieces()
    shown = "".join([*map(pieces.add, parts), pieces.end()])

    assert not CONTROL.search(shown)
    assert not CONTROL.search(printable("".join(parts)))
    assert pieces.end() == ""


def test_text_is_not_held_back_without_need() -> None:
    pieces = Pieces()

    assert [pieces.add(piece) for piece in ("A dog", " [1,", "2] \x1b", "[0m.")] == ["A dog", " [1,", "2] ", "."]


def test_json_stays_the_same_data() -> None:
    assert printable_json('{"text": "a\x9b31mb ü"}') == '{"text": "a\\u009b31mb ü"}'
