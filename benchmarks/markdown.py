"""A table as Markdown writes it. Knows cells of text and nothing of what they say."""

from __future__ import annotations

from collections.abc import Iterable


def markdown(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """
    >>> print(markdown(("a", "b"), [("1", "2")]))
    | a | b |
    | --- | --- |
    | 1 | 2 |
    """
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
