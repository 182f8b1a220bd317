"""Another library beside ours: the library itself, the layers that both quantize, and a table of what came out.

Everything here is skipped where the library is not installed. It needs an environment of its own, for it pins
versions that the rest of this project does without.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edge.calibration.block_runners import CalibrationSetup, make_block_runners
from edge.calibration.prompts import PromptBuilder
from edge.engine.tokenizer import Tokenizer
from edge.examples.scenes import shown_scenes
from edge.hub import POCKET
from edge.media.limits import Limits
from edge.models.architecture import read_config
from edge.models.qwen2_vl import QWEN2_VL
from quantize.checkpoint import Checkpoint

Layer = tuple[Tensor, Tensor]  # a weight (n, k), and inputs (rows, k)

REAL = (
    "visual.blocks.1.mlp.fc2",
    "model.layers.0.self_attn.q_proj",
    "model.layers.2.mlp.up_proj",
    "model.layers.4.mlp.down_proj",
)
FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def gptqmodel() -> Iterator[ModuleType]:
    """GPTQModel, with two workers, its products as they are written: compiling them takes longer than all the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GPTQMODEL_CPU_WORKERS", "2")
        module = pytest.importorskip(
            "gptqmodel", reason="gptqmodel is not installed; `make interop` does so in an environment of its own"
        )
        with torch.compiler.set_stance("force_eager"):
            yield module


@pytest.fixture(scope="session")
def layers() -> dict[str, Layer]:
    """Drawn layers of the widths that Qwen2-VL-2B has, and layers of pocket with the inputs of its calibration."""
    return {"drawn 256x1536": _drawn(256, 1536, seed=0), "drawn 512x1280": _drawn(512, 1280, seed=1), **_real()}


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> list[str]:
    """Lines for the table that ends the run."""
    return request.config.stash.setdefault(FIGURES, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(FIGURES, []):
        terminalreporter.write_line(line)


def _drawn(n: int, k: int, seed: int, rows: int = 3000) -> Layer:
    """Heavy tails in weights and inputs (Student's t with four degrees of freedom); correlated, unequal inputs."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(k, k)) * np.exp(-np.linspace(0, 4, k))[:, None] + 0.1 * np.eye(k)
    x = rng.standard_t(4, size=(rows, k)) @ mix * np.exp(rng.normal(size=k))
    weight = 0.02 * rng.standard_t(4, size=(n, k))
    return torch.from_numpy(weight).float(), torch.from_numpy(x).float()


def _real(samples: int = 24) -> dict[str, Layer]:
    config, limits, checkpoint = read_config(POCKET), Limits.load(POCKET, QWEN2_VL.limits), Checkpoint(POCKET)
    builder = PromptBuilder(Tokenizer.load(POCKET), config)
    prompts = [builder.build(example) for example in shown_scenes(samples, 0, limits, max_pixels=448 * 448)]
    setup = CalibrationSetup(config, prompts, checkpoint.tensor, torch.device("cpu"), torch.float32)
    runners, activations = make_block_runners(setup, list(checkpoint.files))
    found: dict[str, Layer] = {}
    for runner in runners:
        block, module = runner.block, runner.load()
        names = [name for name in REAL if name in block.layer_names()]
        watched = {name: module.get_submodule(name.removeprefix(f"{block.name}.")) for name in names}
        seen: dict[str, list[Tensor]] = {name: [] for name in names}
        for name, layer in watched.items():
            layer.register_forward_pre_hook(lambda _, inputs, rows=seen[name]: rows.append(inputs[0].flatten(0, -2)))
        activations = [runner.run(module, sample, x) for sample, x in enumerate(activations)]
        for name, layer in watched.items():
            assert isinstance(layer, nn.Linear)
            found[name] = layer.weight.detach().float(), torch.cat(seen[name]).float()
    return found
