"""The way of calibration prompts through a Qwen2-VL, block by block, each block's weights only while it is needed.

Between blocks a prompt is one tensor: patches (groups, patches, width) in the vision tower, tokens
(1, n, width) in the language model. Knows no method of quantization.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge.calibration.prompts import Prompt
from edge.models.qwen2_vl.config import Config
from edge.models.qwen2_vl.language import Layer
from edge.models.qwen2_vl.patches import normalize, patchify
from edge.models.qwen2_vl.rope import language_angles, vision_angles
from edge.models.qwen2_vl.vision import Block as VisionBlock
from edge.models.qwen2_vl.vision import Merger, PatchEmbed
from quantize.calibrate import BlockRunner
from quantize.layer_names import EMBEDDING
from quantize.structure import Block, blocks

ReadTensor = Callable[[str], Tensor]
"""The tensor of an official name, from the checkpoint."""


@dataclass(frozen=True, slots=True)
class Route:
    """What all runners of one calibration share."""

    config: Config
    prompts: Sequence[Prompt]
    read: ReadTensor
    device: torch.device
    dtype: torch.dtype

    def load(self, make: Callable[[], nn.Module], name: str) -> nn.Module:
        """A module with the weights that the checkpoint holds under `name`."""
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
    def __init__(self, route: Route, block: Block) -> None:
        self.route, self.block = route, block

    def load(self) -> nn.Module:
        return self.route.load(lambda: VisionBlock(self.route.config.vision), self.block.name)

    @torch.inference_mode()
    def run(self, module: nn.Module, sample: int, x: Tensor) -> Tensor:
        config, device = self.route.config.vision, self.route.device
        cos, sin = vision_angles(*self.route.grid(sample), config.spatial_merge_size, config.head_dim, device)
        out: Tensor = module(x.to(device), cos, sin, F.scaled_dot_product_attention)
        return out.cpu()

    def vision(self, sample: int) -> Tensor:
        return torch.ones(1, dtype=torch.bool)


class MergerBlockRunner:
    """From the vision tower into the language model: patches are merged and take their places between the words."""

    def __init__(self, route: Route, block: Block) -> None:
        self.route, self.block = route, block

    def load(self) -> nn.Module:
        return self.route.load(lambda: Merger(self.route.config.vision), self.block.name)

    @torch.inference_mode()
    def run(self, module: nn.Module, sample: int, x: Tensor) -> Tensor:
        embeddings = module(x.to(self.route.device)).flatten(0, 1).cpu()
        prompt = self.route.prompts[sample]
        words = self.route.read(f"{EMBEDDING}.weight")[torch.from_numpy(prompt.tokens)].to(self.route.dtype)
        return words.masked_scatter(torch.from_numpy(prompt.vision)[:, None], embeddings)[None]

    def vision(self, sample: int) -> Tensor:
        return torch.ones(1, dtype=torch.bool)


class LanguageBlockRunner:
    def __init__(self, route: Route, block: Block) -> None:
        self.route, self.block = route, block

    def load(self) -> nn.Module:
        return self.route.load(lambda: Layer(self.route.config.language, index=0), self.block.name)

    @torch.inference_mode()
    def run(self, module: nn.Module, sample: int, x: Tensor) -> Tensor:
        config, device = self.route.config.language, self.route.device
        at = torch.from_numpy(self.route.prompts[sample].positions).to(device)
        cos, sin = language_angles(at, config.head_dim, config.rope_theta, config.mrope_section)
        out: Tensor = module(x.to(device), cos.to(x.dtype), sin.to(x.dtype), _attend)
        return out.cpu()

    def vision(self, sample: int) -> Tensor:
        return torch.from_numpy(self.route.prompts[sample].vision)


def lead(route: Route, names: Sequence[str]) -> tuple[list[BlockRunner], list[Tensor]]:
    """The runners of a checkpoint that holds `names`, and what the first of them takes of each prompt."""
    return [_block_runner(route, block) for block in blocks(names)], [
        _patches(route, prompt) for prompt in route.prompts
    ]


def _block_runner(route: Route, block: Block) -> BlockRunner:
    if block.name.startswith("visual.blocks."):
        return VisionBlockRunner(route, block)
    if block.name == "visual.merger":
        return MergerBlockRunner(route, block)
    return LanguageBlockRunner(route, block)


@torch.inference_mode()
def _patches(route: Route, prompt: Prompt) -> Tensor:
    """A prompt's pictures as the first block of the vision tower takes them."""
    embed = route.load(lambda: PatchEmbed(route.config.vision), "visual.patch_embed")
    frames = torch.stack([torch.from_numpy(group) for group in prompt.groups]).permute(0, 1, 4, 2, 3)
    out: Tensor = embed(patchify(normalize(frames.to(route.device)), route.config.vision))
    return out.cpu()


def _attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
