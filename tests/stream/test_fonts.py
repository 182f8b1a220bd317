"""Which font writes what; matplotlib's copy of DejaVu Sans stands for a font of this machine."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import pytest

from stream.sinks.fonts import font_for

DEJAVU = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
ENGLISH, RUSSIAN, CHINESE = "A dog runs to the left.", "\u0421\u043e\u0431\u0430\u043a\u0430", "\u72d7\u5728\u8dd1"


def name(text: str, others: tuple[str, ...]) -> str | None:
    return font_for(text, 20, others).getname()[0]


def test_english_is_written_in_pillows_own_font() -> None:
    assert name(ENGLISH, (DEJAVU,)) == name(ENGLISH, ()) != "DejaVu Sans"


@pytest.mark.parametrize("text", [RUSSIAN, f"{ENGLISH} {RUSSIAN}"])
def test_signs_that_it_lacks_are_written_in_one_that_has_them(text: str) -> None:
    assert name(text, ("not on this machine.ttf", DEJAVU)) == "DejaVu Sans"


def test_signs_that_no_font_has_stay_in_pillows_own() -> None:
    assert name(CHINESE, (DEJAVU,)) == name(ENGLISH, ())
    assert name("", (DEJAVU,)) == name(ENGLISH, ())


def test_the_font_that_lacks_the_fewest_signs_is_taken() -> None:
    assert name(RUSSIAN + CHINESE, (DEJAVU,)) == "DejaVu Sans"


def test_it_has_the_size_that_was_asked_for() -> None:
    small, large = (font_for(RUSSIAN, size, (DEJAVU,)) for size in (10, 20))

    assert large.getlength(RUSSIAN) == pytest.approx(2 * small.getlength(RUSSIAN), rel=0.1)
