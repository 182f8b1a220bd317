from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.engine.context import Context
from edge.engine.sliding import groups_for, guaranteed_seconds


@given(st.floats(0.01, 60), st.sampled_from([0.5, 1.0, 2.0, 3.0, 5.0, 29.97]))
def test_no_fewer_groups_would_do_and_these_do(seconds: float, fps: float) -> None:
    chosen = groups_for(seconds, fps)

    assert guaranteed_seconds(chosen, fps) >= seconds - 1e-6
    assert chosen == 1 or guaranteed_seconds(chosen - 1, fps) < seconds


@given(st.integers(1, 12))
def test_a_span_that_a_window_has_exactly_needs_no_larger_one(max_groups: int) -> None:
    assert groups_for(guaranteed_seconds(max_groups, 2.0), 2.0) <= max_groups


def test_a_context_that_was_full_never_spans_less(runner, tokenizer, make_group) -> None:
    fps = 2.0
    for max_groups in range(1, 10):
        context = Context(runner, tokenizer, max_groups)
        spans = []
        for index in range(4 * max_groups):
            context.append(make_group(index))
            assert context.window is not None
            spans.append(context.window.end - context.window.start)

        assert min(spans[max_groups:]) == guaranteed_seconds(max_groups, fps)
