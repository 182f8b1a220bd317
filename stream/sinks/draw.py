"""Draw answers on a picture: boxes with their labels, the words in a bar below.

Knows pixels, fonts and colours. Knows no file and no stream.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from stream.event import Box, Event
from stream.frame import Pixels
from stream.resize import resize
from stream.sinks.fonts import Font, font_for
from stream.sinks.wording import said, when

Colour = tuple[int, int, int]

PALETTE: tuple[Colour, ...] = (
    (255, 107, 107),
    (77, 208, 225),
    (255, 202, 87),
    (129, 199, 132),
    (186, 147, 255),
    (255, 158, 94),
    (100, 160, 255),
    (240, 128, 190),
    (190, 214, 90),
    (160, 220, 200),
)
BAR: Colour = (22, 24, 29)
INK: Colour = (236, 238, 242)
FAINT: Colour = (150, 156, 168)
DARK: Colour = (16, 18, 22)  # on coloured ground

MIN_WIDTH, MAX_WIDTH = 448, 1280  # of the video; small pictures are enlarged to be readable
MAX_LINES = 10
MOST_A_LINE = 400  # signs; no more fit in the widest
MOST = MAX_LINES * MOST_A_LINE

Draw = ImageDraw.ImageDraw


class Sheet:
    """The layout of one video, fixed by its first picture: the picture above, the bar below."""

    def __init__(self, first: Pixels, num_answers: int) -> None:
        height, width = first.shape[:2]
        self.width = _even(min(max(width, MIN_WIDTH), MAX_WIDTH))
        self.height = _even(max(2, round(height * self.width / width)))
        self.font_size = max(15, self.width // 44)
        self.margin = self.font_size * 3 // 4
        self.line_height = round(self.font_size * 1.4)
        self.num_lines = min(MAX_LINES, 1 + 2 * num_answers) + 1
        self.bar = _even(2 * self.margin + self.num_lines * self.line_height)
        self._colours: dict[str, Colour] = {}  # by label, in the order of their appearance

    def draw(self, picture: Pixels, events: Sequence[Event]) -> Pixels:
        """All answers about one window, (height + bar, width, 3)."""
        fitted, left, top = self._fit(picture)
        boxes = [box for event in events for box in event.boxes]
        for box in boxes:
            _frame(fitted, box, self._colour(box.label), max(2, self.width // 320))
        sheet = np.full((self.height + self.bar, self.width, 3), BAR, np.uint8)
        sheet[: self.height] = 0
        sheet[top : top + fitted.shape[0], left : left + fitted.shape[1]] = fitted
        image = Image.fromarray(sheet)
        draw = ImageDraw.Draw(image)
        for box in boxes:
            self._label(draw, box, (left, top, fitted.shape[1], fitted.shape[0]))
        self._caption(draw, events)
        return np.array(image)

    def _fit(self, picture: Pixels) -> tuple[Pixels, int, int]:
        """The picture as large as it fits, and where it goes; black bars take the rest."""
        height, width = picture.shape[:2]
        scale = min(self.width / width, self.height / height)
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        if abs(size[0] - self.height) <= 2 and abs(size[1] - self.width) <= 2:
            size = (self.height, self.width)  # rounding to even sides is no reason for a black line
        fitted = np.array(resize(picture, size))  # a copy: it is drawn on
        return fitted, (self.width - size[1]) // 2, (self.height - size[0]) // 2

    def _colour(self, label: str) -> Colour:
        return self._colours.setdefault(label, PALETTE[len(self._colours) % len(PALETTE)])

    def _label(self, draw: Draw, box: Box, area: tuple[int, int, int, int]) -> None:
        """A tag on the box's upper edge, inside the picture."""
        if not box.label:
            return
        left, top, width, height = area
        font, pad = font_for(box.label, round(self.font_size * 0.9)), max(3, self.font_size // 4)
        text = _cut(box.label, font, width - 2 * pad)
        wide, tall = round(font.getlength(text)) + 2 * pad, round(self.font_size * 1.25)
        x = min(left + round(box.x1 * width), left + width - wide)
        y = top + round(box.y1 * height)
        y = y - tall if y - tall >= top else min(y, top + height - tall)
        draw.rounded_rectangle((x, y, x + wide, y + tall), radius=pad, fill=self._colour(box.label))
        draw.text((x + pad, y + tall / 2), text, fill=DARK, font=font, anchor="lm")

    def _caption(self, draw: Draw, events: Sequence[Event]) -> None:
        """When and how old first, then each answer after its task's name, cut where the bar is full."""
        y = self.height + self.margin
        draw.line((0, self.height, self.width, self.height), fill=(52, 56, 66))
        heading = _heading(events)
        draw.text((self.margin, y), heading, fill=FAINT, font=font_for(heading, round(self.font_size * 0.85)))
        y += self.line_height
        lines_left = self.num_lines - 1
        for number, event in enumerate(events):
            for_others = len(events) - number - 1
            used = self._answer(draw, event, y, max(1, lines_left - for_others))
            lines_left, y = lines_left - used, y + used * self.line_height
            if lines_left <= 0:
                return

    def _answer(self, draw: Draw, event: Event, y: int, max_lines: int) -> int:
        """One answer from `y` down; the number of lines it took."""
        font = font_for(event.task + said(event), self.font_size)
        task = _cut(event.task, font, self.width / 3)
        draw.text((self.margin, y), task, fill=self._task_colour(event), font=font)
        indent = self.margin + font.getlength(task) + self.font_size * 0.6
        lines = _wrap(said(event), font, self.width - self.margin - indent, max_lines)
        for number, text in enumerate(lines):
            draw.text((indent, y + number * self.line_height), text, fill=INK, font=font)
        return max(1, len(lines))

    def _task_colour(self, event: Event) -> Colour:
        return self._colour(event.boxes[0].label) if event.boxes else PALETTE[6]


def _frame(pixels: Pixels, box: Box, colour: Colour, thickness: int) -> None:
    """A box on the picture, in place: a veil of its colour, a dark rim, a bright line."""
    height, width = pixels.shape[:2]
    x1, x2 = round(box.x1 * (width - 1)), round(box.x2 * (width - 1))
    y1, y2 = round(box.y1 * (height - 1)), round(box.y2 * (height - 1))
    inside = pixels[y1 : y2 + 1, x1 : x2 + 1]
    inside[:] = (inside * 0.88 + np.array(colour) * 0.12).astype(np.uint8)
    cv2.rectangle(pixels, (x1, y1), (x2, y2), DARK, thickness + 2, cv2.LINE_AA)
    cv2.rectangle(pixels, (x1, y1), (x2, y2), colour, thickness, cv2.LINE_AA)


def _heading(events: Sequence[Event]) -> str:
    newest = events[-1]
    parts = [newest.stream, when(newest), f"age {newest.age:.2f} s", newest.variant]
    return "   ".join(part for part in parts if part)


def _wrap(text: str, font: Font, width: float, max_lines: int) -> list[str]:
    """Words in lines of at most `width` pixels; the last line ends in dots where more was said."""
    lines = [""]
    for word in _pieces(text, font, width):
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
        if len(lines) > max_lines:
            return [
                *(_cut(line, font, width) for line in lines[: max_lines - 1]),
                _cut(f"{lines[max_lines - 1]} ...", font, width),
            ]
    return [_cut(line, font, width) for line in lines]


def _pieces(text: str, font: Font, width: float) -> Iterator[str]:
    """Words; in parts where one is longer than a line, as a sentence without spaces is."""
    for word in text[:MOST].split():
        while word:
            length = bisect_right(range(1, 1 + len(word[:MOST_A_LINE])), width, key=lambda n: font.getlength(word[:n]))
            length = max(1, length)
            yield word[:length]
            word = word[length:]


def _cut(text: str, font: Font, width: float) -> str:
    text = text[:MOST_A_LINE]
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..."


def _even(length: int) -> int:
    """H.264 stores colour at half the resolution."""
    return length + length % 2
