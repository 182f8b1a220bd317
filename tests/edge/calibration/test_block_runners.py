"""The way through the blocks, one at a time, is the model's own forward pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edge.cache import KVCache
from edge.calibration.block_runners import CalibrationSetup, make_block_runners
from edge.calibration.prompts import CalibrationPrompt, PromptBuilder
from edge.engine.tokenizer import Tokenizer
from edge.errors import WrongArchitecture
from edge.examples.example import Example
from edge.hub import POCKET
from edge.models.architecture import read_config
from edge.models.weights import load_model
from quantize.checkpoint import Checkpoint
from quantize.layer_names import official_name

CONFIG, CPU = read_config(POCKET), torch.device("cpu")


@pytest.fixture(scope="module")
def prompt() -> CalibrationPrompt:
    frames = np.random.default_rng(0).integers(0, 256, (2, 2, 112, 140, 3), dtype=np.uint8)
    example = Example.of("video", tuple(frames), "Describe the video.", "A small red circle moves left.")
    return PromptBuilder(Tokenizer.load(POCKET), CONFIG).build(example)


def test_block_by_block_equals_the_model_whole(prompt: CalibrationPrompt) -> None:
    model = load_model(POCKET, CONFIG, torch.float64, CPU)
    with torch.inference_mode():
        x = model.embed(torch.from_numpy(prompt.tokens))
        seen = model.encode(torch.from_numpy(np.stack(prompt.groups))).flatten(0, 1)
        x = x.masked_scatter(torch.from_numpy(prompt.vision)[:, None], seen)
        cache = KVCache(CONFIG.cache_shape, len(x), torch.float64, CPU)
        expected = model.extend([(cache, len(x))], x, torch.from_numpy(prompt.positions))

        checkpoint = Checkpoint(POCKET)
        names = [official_name(name) for name in checkpoint.files]
        setup = CalibrationSetup(CONFIG, [prompt], checkpoint.tensor, CPU, torch.float64)
        runners, (x,) = make_block_runners(setup, names)
        for runner in runners:
            x = runner.run(runner.load(), 0, x)
        assert torch.allclose(model.model.norm(x[0]), expected, rtol=1e-10, atol=1e-10)


def test_every_linear_layer_but_the_head_is_on_the_way(prompt: CalibrationPrompt) -> None:
    checkpoint = Checkpoint(POCKET)
    names = [official_name(name) for name in checkpoint.files]
    runners, _ = make_block_runners(CalibrationSetup(CONFIG, [prompt], checkpoint.tensor, CPU, torch.float32), names)
    passed = {layer for runner in runners for layer in runner.block.layer_names()}
    matrices = {
        name.removesuffix(".weight")
        for name, stored in zip(names, checkpoint.stored.values(), strict=True)
        if len(stored.shape) == 2
    }
    assert matrices - passed == {"model.embed_tokens"}
    assert passed <= matrices


def test_blocks_of_another_family_are_refused_by_name() -> None:
    with pytest.raises(WrongArchitecture, match="rtn"):
        CalibrationSetup.on("cpu", object(), [], Checkpoint(POCKET).tensor)  # type: ignore[arg-type]
