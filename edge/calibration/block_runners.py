"""Runs calibration prompts through a Qwen2-VL block by block, each block's weights in memory only while it runs.

Between blocks a prompt is one tensor on the CPU: patches (groups, patches, width) in the vision tower, tokens
(1, n, width) in the language model. Within a block everything is on the device. Knows no method of quantization.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge.calibration.prompts import CalibrationPrompt
from edge.errors import WrongArchitecture
from edge.models import architecture
from edge.models.qwen2_vl.config import Config
from edge.models.qwen2_vl.language import Layer
from edge.models.qwen2_vl.patches import normalize, patchify
from edge.models.qwen2_vl.rope import language_angles, vision_angles
from edge.models.qwen2_vl.vision import Block, Merger, PatchEmbed
from edge.runners.device_policy import choose_device, choose_dtype
from quantize.calibrate import BlockRunner
from quantize.layer_names import EMBEDDING
from quantize.statistics import VisionMask
from quantize.structure import BlockSpec, find_blocks

ReadTensor = Callable[[str], Tensor]
"""The tensor of an official name, from the checkpoint."""


@dataclass(frozen=True, slots=True)
class CalibrationSetup:
    """What all runners of one calibration share."""

    config: Config
    prompts: Sequence[CalibrationPrompt]
    read: ReadTensor
    device: torch.device
    dtype: torch.dtype

    @classmethod
    def on(
        cls, device: str, config: architecture.Config, prompts: Sequence[CalibrationPrompt], read: ReadTensor
    ) -> Self:
        """On a device by its name, or "auto", and in the numbers that the model would be run with there. Raises
        DeviceUnusable, and WrongArchitecture for a family whose blocks are not known here."""
        if not isinstance(config, Config):
            raise WrongArchitecture("Calibration knows the blocks of Qwen2-VL alone. Choose a method without it: rtn.")
        chosen = choose_device(device)
        return cls(config, prompts, read, chosen, choose_dtype("auto", config, chosen))

    def load(self, make: Callable[[], nn.Module], name: str) -> nn.Module:
        """A module on the device, with the weights that the checkpoint holds under `name`."""
        with torch.device("meta"):
            module = make()
        for key in list(module.state_dict()):
            owner, _, leaf = key.rpartition(".")
            weight = self.read(f"{name}.{key}").to(self.device, self.dtype, copy=True)
            setattr(module.get_submodule(owner), leaf, nn.Parameter(weight, requires_grad=False))
        return module.eval()

    def grid(self, sample: int) -> tuple[int, int]:
        """Rows and columns of patches in the prompt's pictures."""
        height, width = self.prompts[sample].groups[0].shape[1:3]
        return height // self.config.vision.patch_size, width // self.config.vision.patch_size


class VisionBlockRunner:
    """A transformer layer of the vision tower: patches in, patches out."""

    def __init__(self, setup: CalibrationSetup, block: BlockSpec) -> None:
        self.setup, self.block = setup, block

    def load(self) -> nn.Module:
        return self.setup.load(lambda: Block(self.setup.config.vision), self.block.name)

    @torch.inference_mode()
    def run(self, module: nn.Module, sample: int, x: Tensor) -> Tensor:
        config, device = self.setup.config.vision, self.setup.device
        cos, sin = vision_angles(*self.setup.grid(sample), config.spatial_merge_size, config.head_dim, device)
        out: Tensor = module(x.to(device), cos, sin, F.scaled_dot_product_attention)
        return out.cpu()

    def vision(self, sample: int) -> VisionMask:
        return np.ones(1, dtype=np.bool_)


class MergerBlockRunner:
    """From the vision tower into the language model: patches are merged and take their places between the words."""

    def __init__(self, setup: CalibrationSetup, block: BlockSpec) -> None:
        self.setup, self.block = setup, block

    def load(self) -> nn.Module:
        return self.setup.load(lambda: Merger(self.setup.config.vision), self.block.name)

    @torch.inference_mode()
    def run(self, module: nn.Module, sample: int, x: Tensor) -> Tensor:
        embeddings = module(x.to(self.setup.device)).flatten(0, 1).cpu()
        prompt = self.setup.prompts[sample]
        words = self.setup.read(f"{EMBEDDING}.weight")[torch.from_numpy(prompt.tokens)].to(self.setup.dtype)
        return words.masked_scatter(torch.from_numpy(prompt.vision)[:, None], embeddings)[None]

    def vision(self, sample: int) -> VisionMask:
        return np.ones(1, dtype=np.bool_)


class LanguageBlockRunner:
    """A transformer layer of the language model: tokens in, tokens out."""

    def __init__(self, setup: CalibrationSetup, block: BlockSpec) -> None:
        self.setup, self.block = setup, block

    def load(self) -> nn.Module:
        return self.setup.load(lambda: Layer(self.setup.config.language, index=0), self.block.name)

    @torch.inference_mode()
    def run(self, module: nn.Module, sample: int, x: Tensor) -> Tensor:
        config, device = self.setup.config.language, self.setup.device
        positions = torch.from_numpy(self.setup.prompts[sample].positions).to(device)
        cos, sin = language_angles(positions, config.head_dim, config.rope_theta, config.mrope_section)
        out: Tensor = module(x.to(device), cos.to(x.dtype), sin.to(x.dtype), _attend)
        return out.cpu()

    def vision(self, sample: int) -> VisionMask:
        return self.setup.prompts[sample].vision


def make_block_runners(setup: CalibrationSetup, names: Sequence[str]) -> tuple[list[BlockRunner], list[Tensor]]:
    """The runners of a checkpoint that holds the tensors `names`, and the input of the first for each prompt."""
    runners = [_make_block_runner(setup, block) for block in find_blocks(names)]
    embed = setup.load(lambda: PatchEmbed(setup.config.vision), "visual.patch_embed")
    return runners, [_patches(setup, embed, prompt) for prompt in setup.prompts]


def _make_block_runner(setup: CalibrationSetup, block: BlockSpec) -> BlockRunner:
    if block.name.startswith("visual.blocks."):
        return VisionBlockRunner(setup, block)
    if block.name == "visual.merger":
        return MergerBlockRunner(setup, block)
    return LanguageBlockRunner(setup, block)


@torch.inference_mode()
def _patches(setup: CalibrationSetup, embed: nn.Module, prompt: CalibrationPrompt) -> Tensor:
    """A prompt's pictures as the first block of the vision tower takes them."""
    frames = torch.stack([torch.from_numpy(group) for group in prompt.groups]).permute(0, 1, 4, 2, 3)
    out: Tensor = embed(patchify(normalize(frames.to(setup.device)), setup.config.vision))
    return out.cpu()


def _attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
