"""Our context and the re-run of transformers are given the same, and what is counted on paper is what is known."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO

import numpy as np
import pytest
import torch
from rich.console import Console

pytest.importorskip("transformers.models.qwen2_vl.modeling_qwen2_vl")

from benchmarks.streaming.__main__ import name, parse
from benchmarks.streaming.contest import Contest, Disagreement, Point, Row, agreed, draw
from benchmarks.streaming.meter import PARTS
from benchmarks.streaming.ours import ASKED, NEW_TOKENS, QUESTION_TOKENS, Ours
from benchmarks.streaming.table import table

CPU = torch.device("cpu")
POINTS = [Point(window, size, 1) for window in (2, 4) for size in (56, 112)]


@pytest.fixture(scope="module")
def contest() -> Contest:
    return Contest("pocket", ["float32"], CPU)


@pytest.fixture(scope="module")
def rows(contest: Contest) -> Sequence[Row]:
    return [row for point in POINTS for row in contest.measure(point)]


def test_every_point_has_its_row(rows: Sequence[Row]) -> None:
    assert [(row["window"], row["size"]) for row in rows] == [(point.window, point.size) for point in POINTS]
    drawn = StringIO()
    Console(file=drawn, width=220).print(table(rows))
    assert drawn.getvalue().count("random:pocket") == len(POINTS)


def test_both_sides_see_the_same_thing(rows: Sequence[Row]) -> None:
    errors = [row["error"] for row in rows]
    print(errors)
    assert max(errors) < 1e-4
    assert min(row["contrast"] for row in rows) > 100 * max(errors)  # one group more or less could not be missed


def test_whole_periods_are_measured(rows: Sequence[Row]) -> None:
    assert [(row["slides"], row["periods"], row["mean_groups"]) for row in rows[1:3]] == [(1, 1, 2.0), (2, 1, 3.5)]


def test_parts_add_up_to_the_whole(rows: Sequence[Row]) -> None:
    """What is left over is the tokenizer's, the window's, and generate's own."""
    for row in rows:
        assert all(row[side][part] > 0 for side in ("parts", "their_parts") for part in PARTS)
        assert sum(row["parts"].values()) <= row["seconds_per_video_second"]
        assert sum(row["their_parts"].values()) <= row["their_seconds_per_video_second"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "streaming-cpu"),
        (["--short"], "streaming-short-cpu"),
        (["--windows", "4"], "streaming-part-cpu"),
        (["--model", "random:pocket"], "streaming-pocket-cpu"),
        (["--model", "random:7b", "--variant", "int4"], "streaming-7b-part-cpu"),
    ],
)
def test_only_the_whole_has_the_plain_name(monkeypatch: pytest.MonkeyPatch, words: list[str], expected: str) -> None:
    monkeypatch.setattr("sys.argv", ["streaming", *words])

    assert name(parse(), CPU) == expected


def test_logits_that_differ_are_refused() -> None:
    logits = np.ones(8, dtype=np.float32)
    assert agreed(1.00001 * logits, logits, 2 * logits, "float32")["contrast"] == 1
    with pytest.raises(Disagreement, match="Rounding"):
        agreed(1.001 * logits, logits, 2 * logits, "float32")


def test_answers_have_the_same_length_whatever_the_weights_say(contest: Contest) -> None:
    film = draw(56, 3)
    stream = Ours(contest.engines["float32"], contest.source.config, film, 2, CPU)
    stream.see(2)
    stream.slide()
    assert [group.index for group in stream.window] == [1, 2]
    reply = stream.context.answer(ASKED, max_tokens=NEW_TOKENS)
    reply.read()
    assert (reply.usage.generated_tokens, reply.finish) == (NEW_TOKENS, "length")
    assert len(contest.tokenizer.encode_plain(ASKED)) == QUESTION_TOKENS
