"""Somebody's own examples: a JSONL file, or a folder of clips and pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge.errors import NoExamples
from edge.examples.example import Example, ExampleSet, Report
from edge.examples.folder import folder_examples
from edge.examples.jsonl import JsonLines, fits_always
from edge.media.limits import DEFAULT_MAX_PIXELS, Limits


def own_examples(
    path: Path, count: int | None, limits: Limits, report: Report, fit: Callable[[Example], str] = fits_always
) -> ExampleSet:
    """At most `count`; None: all lines of a file, DEFAULT_COUNT windows of a folder. Raises NoExamples."""
    if path.is_dir():
        most = count or DEFAULT_COUNT
        return ExampleSet("clips and pictures", most, folder_examples(path, most, limits, DEFAULT_MAX_PIXELS))
    if not path.exists():
        raise NoExamples(f"there is no {path.absolute()}: it is no folder and no file. {EXPECTED}")
    if path.suffix.lower() not in SUFFIXES:
        raise NoExamples(f"{path} is no folder, and its name does not end in .jsonl. {EXPECTED}")
    lines = JsonLines(path, limits, report, fit)
    most = len(lines) if count is None else min(count, len(lines))
    return ExampleSet("conversations", most, lines.first(most))


DEFAULT_COUNT = 128
SUFFIXES = (".jsonl", ".ndjson", ".json")
EXPECTED = "Name a folder of clips and pictures, or a .jsonl file with a conversation a line."
