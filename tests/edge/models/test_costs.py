"""Costs from shapes: against published figures, PyTorch's own counter, and models as they lie in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from edge.cache import KVCache
from edge.commands.quantize import QuantizeOptions, quantize_model
from edge.hub import POCKET
from edge.models.architecture import parse_config, planned_weights, published_content, read_config
from edge.models.costs import Cost, Costs, Weights
from edge.models.quantized import held_bytes
from edge.models.qwen2_vl.costs import Qwen2VLCosts
from edge.models.qwen2_vl.model import Qwen2VL
from edge.models.random import random_model, random_plan
from edge.planning.memory_budget import predict_memory
from quantize.checkpoint import Checkpoint, Stored

CPU = torch.device("cpu")
CONFIG = read_config(POCKET)
B2 = parse_config(published_content("2b"))


def costs_of_2b() -> Costs:
    return Qwen2VLCosts(B2, planned_weights(B2, None, torch.bfloat16))


def test_the_2b_shape_costs_what_its_parts_add_up_to() -> None:
    costs = costs_of_2b()

    # 32 blocks of 19.66 M weights over 1024 patches and their attention, the merger, the patches themselves
    assert costs.vision(448, 448).operations == pytest.approx(1481e9, rel=1e-3)
    assert costs.vision(280, 280).operations == pytest.approx(538e9, rel=1e-3)
    assert costs.body_weights == 1_310_195_712
    assert costs.kv_bytes_per_token == 28_672
    assert costs.weights.nbytes == 2 * 2_208_985_600


def test_decoding_reads_the_body_and_the_head_once() -> None:
    costs = costs_of_2b()

    cost = costs.decode(1000)

    assert cost.nbytes == costs.weights.body + costs.weights.head + 1001 * 28_672


def test_a_prompt_costs_the_same_in_pieces() -> None:
    costs = costs_of_2b()

    pieces = costs.extend(10, 0).operations + costs.extend(20, 10).operations

    assert pieces == pytest.approx(costs.extend(30, 0).operations)


def counted(work: Callable[[], object]) -> int:
    # Only attention as plain products is counted.
    with FlopCounterMode(display=False) as counter, torch.inference_mode(), sdpa_kernel(SDPBackend.MATH):
        work()
    return counter.get_total_flops()


@pytest.fixture(scope="module")
def model() -> Qwen2VL:
    return random_model(CONFIG, None, torch.float32, CPU)


def test_the_vision_tower_does_the_operations_that_are_counted(model: Qwen2VL) -> None:
    expected = Qwen2VLCosts(CONFIG, planned_weights(CONFIG, None, torch.float32)).vision(112, 168).operations

    frames = torch.zeros(1, 2, 112, 168, 3, dtype=torch.uint8)

    assert counted(lambda: model.encode(frames)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("tokens", "context"), [(24, 0), (24, 100), (1, 50)])
def test_the_language_model_does_the_operations_that_are_counted(model: Qwen2VL, tokens: int, context: int) -> None:
    costs = Qwen2VLCosts(CONFIG, planned_weights(CONFIG, None, torch.float32))
    cache = KVCache(CONFIG.cache_shape, 200, torch.float32, CPU)
    cache.length = context

    def extend() -> None:
        hidden = model.extend(
            [(cache, tokens)], torch.zeros(tokens, CONFIG.language.hidden_size), torch.zeros(3, tokens)
        )
        model.logits(hidden[-1:])

    # The counter counts the upper half of the mask, too, which nothing needs to compute.
    unseen = 4 * CONFIG.language.num_hidden_layers * CONFIG.language.hidden_size * tokens * (tokens - 1) / 2
    assert counted(extend) == pytest.approx(costs.extend(tokens, context, rows=1).operations + unseen, rel=1e-6)


@pytest.mark.parametrize("variant", ["float32", "bfloat16", "int4", "int8", "int4-g32"])
def test_planned_weights_take_what_they_take_in_memory(variant: str) -> None:
    plan = random_plan(variant, tied=True)
    dtype = torch.bfloat16 if plan else getattr(torch, variant)

    held = held_bytes(random_model(CONFIG, plan, dtype, CPU))

    # A kernel may keep scales wider and rows padded, which for so small a model is a tenth.
    assert planned_weights(CONFIG, plan, dtype).nbytes == pytest.approx(held, rel=0.12 if plan else 0)


def test_weights_of_a_variant_on_disk_are_those_that_were_planned(tmp_path: Path) -> None:
    quantize_model(POCKET, "pocket", tmp_path / "out", QuantizeOptions(method="rtn"), "cpu", lambda *_: None)
    config = read_config(tmp_path / "out")

    stored = Weights.stored(Checkpoint(tmp_path / "out").stored, config.tie_word_embeddings, torch.float32)

    planned = planned_weights(config, random_plan("int4", tied=True), torch.float32)
    assert stored.nbytes == pytest.approx(planned.nbytes, rel=0.03)  # zeros and the order of inputs lie there, too


@pytest.mark.parametrize(
    ("leaf", "dtype", "head", "embedding"),
    [("weight", torch.float16, 400, 0), ("qweight", torch.int32, 800, 400)],
    ids=["a second time", "quantized by itself"],
)
def test_a_tied_head_that_is_stored_takes_memory_only_where_it_is_read(
    leaf: str, dtype: torch.dtype, head: int, embedding: int
) -> None:
    tensors = {
        "model.embed_tokens.weight": Stored(torch.bfloat16, (10, 20)),
        f"lm_head.{leaf}": Stored(dtype, (10, 20)),
    }

    assert Weights.stored(tensors, True, torch.bfloat16) == Weights(0, 0, head, embedding)


def test_numbers_of_four_bytes_take_twice_the_memory_of_two() -> None:
    two, four = (Qwen2VLCosts(B2, itemsize=itemsize) for itemsize in (2, 4))
    memory = [predict_memory(costs, (448, 448), window=8, overhead=0) for costs in (two, four)]

    assert memory[1].kv == 2 * memory[0].kv and memory[1].embeddings == 2 * memory[0].embeddings
    assert memory[1].activations > memory[0].activations


def test_a_floor_is_what_takes_longer() -> None:
    assert Cost(100, 10).floor(rate=10, bandwidth=10) == 10
    assert Cost(10, 100).floor(rate=10, bandwidth=10) == 10
