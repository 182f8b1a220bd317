"""The other side: `transformers` with our weights, which reads the whole prompt again at every step.

Patches are made by our own function, to the same numbers: the time of its processor is not held against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.clocks import Clock, Stopwatch
from benchmarks.streaming.meter import Meter
from benchmarks.streaming.ours import ASKED, NEW_TOKENS
from edge.engine.prompt import stream_prefix, stream_suffix
from edge.engine.tokenizer import Tokenizer
from edge.models.architecture import parameter_shapes, published_content
from edge.models.fusing import separate
from edge.models.qwen2_vl.costs import Qwen2VLCosts
from edge.models.qwen2_vl.layout import LAYOUT
from edge.models.qwen2_vl.model import Qwen2VL
from edge.models.qwen2_vl.patches import normalize, patchify
from stream.frame import Group

VIDEO = 2  # the kind of a video's tokens, as transformers counts them


class Theirs:
    """What its users do: patches, `generate`, and nothing kept."""

    def __init__(self, model: Any, source: Qwen2VL, tokenizer: Tokenizer, device: torch.device) -> None:
        self.model, self.our_config, self.meter = model, source.config, Meter(device)
        self.prefix, self.suffix = stream_prefix(tokenizer, LAYOUT), stream_suffix(tokenizer, LAYOUT, ASKED)
        self.cell = source.config.cell  # pixels per token's side
        self._tower = Stopwatch(self.meter.now)
        self._hooks = (
            model.model.visual.register_forward_pre_hook(lambda *_: self._tower.start()),
            model.model.visual.register_forward_hook(lambda *_: self._tower.stop()),
        )

    def close(self) -> None:
        """The model goes on without us."""
        for hook in self._hooks:
            hook.remove()

    def answer(self, window: Sequence[Group]) -> None:
        tokens = Clock(self.meter.now)
        started = self.meter.now()
        inputs = self._inputs(window)
        prepared = self.meter.now()
        self._generate(inputs, NEW_TOKENS, streamer=tokens)
        assert len(tokens.at) == NEW_TOKENS
        vision = prepared - started + self._tower.seconds
        self.meter.seconds["vision"] += vision
        self.meter.seconds["prefill"] += tokens.at[0] - started - vision
        self.meter.seconds["decode"] += self.meter.now() - tokens.at[0]
        self.meter.operations += self._operations(window)

    def logits(self, window: Sequence[Group]) -> NDArray[np.float32]:
        """After the question; two tokens are generated, so that this warms up everything."""
        made = self._generate(self._inputs(window), 2, return_dict_in_generate=True, output_logits=True)
        logits: NDArray[np.float32] = made.logits[0][0].float().cpu().numpy()
        return logits

    def _inputs(self, window: Sequence[Group]) -> dict[str, torch.Tensor]:
        device, vision = self.meter.device, self.our_config.vision
        frames = torch.from_numpy(np.stack([group.pixels for group in window])).to(device)
        patches = patchify(normalize(frames.permute(0, 1, 4, 2, 3)), vision)  # (groups, patches, patch_dim)
        height, width = (side // vision.patch_size for side in frames.shape[2:4])
        tokens = patches.shape[0] * patches.shape[1] // vision.spatial_merge_size**2
        video = np.full(tokens, self.our_config.video_token_id)
        ids = torch.from_numpy(np.concatenate([self.prefix, video, self.suffix]))[None].to(device)
        return {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "mm_token_type_ids": (ids == self.our_config.video_token_id).int() * VIDEO,
            "pixel_values_videos": patches.flatten(0, 1),
            "video_grid_thw": torch.tensor([[len(window), height, width]], device=device),
        }

    def _generate(self, inputs: dict[str, torch.Tensor], new_tokens: int, **options: Any) -> Any:
        return self.model.generate(
            **inputs, do_sample=False, min_new_tokens=new_tokens, max_new_tokens=new_tokens, **options
        )

    def _operations(self, window: Sequence[Group]) -> float:
        costs, (height, width) = Qwen2VLCosts(self.our_config), window[0].pixels.shape[1:3]
        tokens = len(self.prefix) + len(window) * costs.tokens(height, width) + len(self.suffix)
        return (costs.vision(height, width) * len(window) + costs.extend(tokens, 0, rows=1)).operations


def twin(source: Qwen2VL, shape: str) -> Any:
    """The model of transformers with the very tensors of ours."""
    from transformers.models.qwen2_vl import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    weights = separate(dict(source.named_parameters()), parameter_shapes(source.config), source.fused)
    state = {_their_name(name): weight.detach() for name, weight in weights.items()}
    config, dtype = Qwen2VLConfig(**published_content(shape)), source.model.norm.weight.dtype
    model: Any = Qwen2VLForConditionalGeneration.from_pretrained(
        None, config=config, state_dict=state, dtype=dtype, attn_implementation="sdpa"
    )
    return model.to(source.model.norm.weight.device).eval()


def _their_name(name: str) -> str:
    part, _, rest = name.partition(".")
    return {"language": "model.language_model.", "visual": "model.visual."}.get(part, f"{part}.") + rest
