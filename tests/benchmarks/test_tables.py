"""README tells what was measured last."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.tables import MARKED, README, RESULTS, TABLES, written


def test_no_table_of_the_readme_is_stale() -> None:
    text = README.read_text()

    assert written(text) == text, "a result changed: run `python -m benchmarks.tables`"


def test_every_table_is_in_the_readme_and_every_mark_has_one() -> None:
    marks = [match["name"] for match in MARKED.finditer(README.read_text())]

    assert sorted(marks) == sorted(TABLES)
    assert all((RESULTS / f"{name.partition('#')[0]}.json").exists() for name in marks)


def test_another_figure_makes_another_table(tmp_path: Path) -> None:
    result = json.loads((RESULTS / "quality-pocket.json").read_text())
    result["figures"]["object_f1"] = 0.123
    (tmp_path / "quality-pocket.json").write_text(json.dumps(result))

    text = written("before\n<!-- quality-pocket -->\nold\n<!-- /quality-pocket -->\nafter\n", tmp_path)

    assert "| 0.123 | 0.95, missed |" in text
    assert "old" not in text and text.startswith("before\n") and text.endswith("\nafter\n")


def test_a_mark_without_a_table_is_an_error() -> None:
    with pytest.raises(OSError, match=r"unheard-of\.json"):
        written("<!-- unheard-of -->\n<!-- /unheard-of -->")
