"""What pocket's training rests on: packed questions that cannot see each other, and a shortcut that is exact enough."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmarks.pocket.batches import IGNORE, PREFIX, QUESTION, Batch, Plan, make_batch
from benchmarks.pocket.folder import TOKEN_ID, read_tokenizer, train_tokenizer
from benchmarks.pocket.train import _point_loss, _visible, attention
from edge.engine.prompt import prompt_positions, stream_prefix, stream_suffix
from edge.engine.tokenizer import Tokenizer
from edge.hub import POCKET
from edge.models.qwen2_vl.layout import LAYOUT
from stream.sources.scene import SHAPES

PLAN = Plan(batch=4, questions=5, groups=((2, 1.0),), sizes=(((112, 140), 1.0),))


@pytest.fixture(scope="module")
def batch() -> Batch:
    return make_batch(read_tokenizer(), PLAN, np.random.default_rng(1))


def test_a_batch_is_a_function_of_its_seed(batch: Batch) -> None:
    again = make_batch(read_tokenizer(), PLAN, np.random.default_rng(1))
    assert torch.equal(batch.frames, again.frames)
    assert torch.equal(batch.tokens, again.tokens)


def test_training_sees_what_the_engine_asks(batch: Batch) -> None:
    """Prefix, question and positions are those of a stream's context, token by token."""
    tokenizer = Tokenizer.load(POCKET)
    assert tokenizer.encode(PREFIX).tolist() == stream_prefix(tokenizer, LAYOUT).tolist()
    question = QUESTION.format("Is anything moving?")
    assert tokenizer.encode(question).tolist() == stream_suffix(tokenizer, LAYOUT, "Is anything moving?").tolist()
    prefix, video = len(stream_prefix(tokenizer, LAYOUT)), 2 * 4 * 5
    expected = prompt_positions(LAYOUT, [prefix, (2, 4, 5), 8])
    assert np.array_equal(batch.positions[:, 0, : prefix + video + 8].numpy(), expected)
    assert (batch.tokens[0, prefix : prefix + video] == TOKEN_ID["<|video_pad|>"]).all()


def test_no_question_sees_another(batch: Batch) -> None:
    visible = _visible(batch.blocks)[:, 0]
    blocks = batch.blocks
    for scene in range(len(blocks)):
        for row in range(blocks.shape[1]):
            seen = blocks[scene, visible[scene, row]].unique().tolist()
            assert set(seen) <= {0, int(blocks[scene, row])}
        assert not visible[scene].triu(1).any()


def test_what_is_learned_is_the_answer(batch: Batch) -> None:
    tokenizer = read_tokenizer()
    first = batch.targets[0][batch.blocks[0] == 1]
    text = tokenizer.decode(first[first != IGNORE].tolist(), skip_special_tokens=False)
    assert text.startswith(("A ", "There is nothing")) and text.endswith("<|im_end|>")


def test_plain_attention_equals_the_fused_kernel() -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 4, 50, 64) for _ in range(3))
    mask = torch.ones(50, 50, dtype=torch.bool).tril()[None, None]
    fused = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    out, weights = attention(q, k, v, mask)
    assert not weights.masked_select(~mask).any()
    assert ((out.float() - fused).norm() / fused.norm()) < 1e-2  # bfloat16


def test_the_tokenizer_that_is_kept_is_whole() -> None:
    kept = read_tokenizer()
    assert kept.get_vocab_size() == train_tokenizer().get_vocab_size() == 512
    assert len(kept.encode("Is there a red circle?").ids) == 6
    assert [kept.id_to_token(i) for i in kept.encode("(120,340)").ids if kept.id_to_token(i).isdigit()] == list(
        "120340"
    )


def test_a_target_points_at_the_cells_of_the_thing_it_speaks_of(batch: Batch) -> None:
    tokenizer, pointed = read_tokenizer(), 0
    for scene in range(len(batch.tokens)):
        for row in (batch.things[scene] > 0).nonzero().flatten().tolist():
            word = tokenizer.decode([int(batch.targets[scene, row])], skip_special_tokens=False).strip()
            if word not in SHAPES or int(batch.things[scene, row]).bit_count() > 1:
                continue
            owner = int(batch.things[scene, row]).bit_length() - 1
            mine = batch.owners[scene] == owner
            assert set(batch.cells[scene, -1][mine][:, 1].tolist()) <= {SHAPES.index(word)}
            pointed += int(mine.any())
    assert pointed > 5


def test_looking_at_what_is_spoken_of_costs_least() -> None:
    things, owners = torch.tensor([[0, 2, 3]]), torch.tensor([[-1, 0, 1, 1]])
    right = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.0, 0.0, 0.5, 0.5], [0.0, 0.2, 0.4, 0.4]])
    even = torch.full((3, 4), 0.25)
    losses = [float(_point_loss([looks[None, None]], things, owners)) for looks in (right, even)]
    assert abs(losses[0]) < 1e-3  # the first target speaks of nothing: where it looks is free
    assert losses[1] > 0.4
