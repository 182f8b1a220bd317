from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.engine.prompt import prompt_positions
from edge.models.qwen2_vl.layout import LAYOUT

VISUALS = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4))
PARTS = st.lists(st.integers(0, 6) | VISUALS, max_size=6)


def by_the_rule(parts: list) -> list[tuple[int, int, int]]:
    """The rule, token by token and without arithmetic on arrays."""
    placed: list[tuple[int, int, int]] = []
    for part in parts:
        start = max((max(place) for place in placed), default=-1) + 1
        if isinstance(part, int):
            placed += [(start + n,) * 3 for n in range(part)]
        else:
            groups, rows, columns = part
            placed += [
                (start + g, start + i, start + j) for g in range(groups) for i in range(rows) for j in range(columns)
            ]
    return placed


@given(PARTS)
def test_every_prompt_follows_the_rule(parts: list) -> None:
    expected = np.array(by_the_rule(parts), dtype=np.int64).reshape(-1, 3).T

    assert np.array_equal(prompt_positions(LAYOUT, parts), expected)


@given(prefix=st.integers(0, 9), visual=VISUALS, suffix=st.integers(1, 9))
def test_a_prompt_written_piece_by_piece_has_the_same_positions(prefix: int, visual, suffix: int) -> None:
    groups, rows, columns = visual
    pieces = [LAYOUT.text_positions(0, prefix)]
    pieces += [LAYOUT.group_positions(prefix, index, rows, columns) for index in range(groups)]
    pieces.append(LAYOUT.text_positions(LAYOUT.next_position(prefix, groups, rows, columns), suffix))

    assert np.array_equal(np.concatenate(pieces, axis=1), prompt_positions(LAYOUT, [prefix, visual, suffix]))


def test_the_question_stays_in_its_place_while_the_window_grows() -> None:
    assert {LAYOUT.next_position(20, groups, 3, 4) for groups in range(1, 5)} == {24}
    assert LAYOUT.next_position(20, 5, 3, 4) == 25


def of_transformers(prefix: int, visual: tuple[int, int, int], suffix: int) -> np.ndarray:
    torch = pytest.importorskip("torch")
    modeling = pytest.importorskip("transformers.models.qwen2_vl.modeling_qwen2_vl")
    groups, rows, columns = visual
    kinds = torch.tensor([[0] * prefix + [2] * (groups * rows * columns) + [0] * suffix])
    # The method reads one number of the model's configuration and nothing else of the model.
    model = modeling.Qwen2VLModel.__new__(modeling.Qwen2VLModel)
    torch.nn.Module.__init__(model)
    model.config = pytest.importorskip("transformers").Qwen2VLConfig()
    grid = torch.tensor([[groups, 2 * rows, 2 * columns]])
    ids, _ = model.get_rope_index(torch.ones_like(kinds), mm_token_type_ids=kinds, video_grid_thw=grid)
    return ids[:, 0].numpy()


@pytest.mark.parametrize("visual", [(1, 1, 1), (1, 2, 5), (3, 3, 2), (4, 2, 4)])
def test_transformers_agrees_while_there_are_no_more_groups_than_rows_or_columns(visual) -> None:
    assert np.array_equal(of_transformers(7, visual, 5), prompt_positions(LAYOUT, [7, visual, 5]))


@pytest.mark.parametrize("visual", [(2, 1, 1), (5, 2, 4), (16, 10, 10)])
def test_transformers_5_puts_the_text_elsewhere_after_a_longer_video(visual) -> None:
    """It starts the text at s + max(rows, columns) and forgets the groups; training counted them."""
    theirs, ours = of_transformers(7, visual, 5), prompt_positions(LAYOUT, [7, visual, 5])

    assert np.array_equal(theirs[:, :-5], ours[:, :-5])
    assert (theirs[:, -5:] == ours[:, -5:] - (visual[0] - max(visual[1:]))).all()
