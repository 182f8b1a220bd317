"""The console script, run in this process."""

from __future__ import annotations

import sys

import pytest

from edge import cli


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """The exit code of `edge WORDS`."""
    monkeypatch.setattr(sys, "argv", ["edge", *map(str, words)])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0
