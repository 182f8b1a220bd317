"""Our Qwen2-VL against `transformers`, on random weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edge.cache import KVCache
from edge.engine.prompt import prompt_positions
from edge.models.architecture import parameter_shapes, parse_config, read_config
from edge.models.fusing import separate
from edge.models.qwen2_vl.layout import LAYOUT
from edge.models.qwen2_vl.model import Qwen2VL
from edge.models.weights import load_model

transformers = pytest.importorskip("transformers")
modeling = pytest.importorskip("transformers.models.qwen2_vl.modeling_qwen2_vl")

IMAGE, VIDEO, START, END = 60, 61, 62, 63
Visual = tuple[str, int, int, int]  # kind, groups, rows and columns of merged tokens


@dataclass(frozen=True)
class Case:
    """A small configuration and a prompt: numbers are runs of text tokens, tuples are pictures and videos."""

    name: str
    prompt: tuple[int | Visual, ...]
    tied: bool = True
    heads: int = 4
    kv_heads: int = 2
    vision_heads: int = 2
    layers: int = 2
    depth: int = 2
    hidden: int = 64
    section: tuple[int, int, int] = (2, 3, 3)

    def config(self) -> dict[str, Any]:
        return {
            "model_type": "qwen2_vl", "vocab_size": 64, "hidden_size": self.hidden, "intermediate_size": 96,
            "num_hidden_layers": self.layers, "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads, "rms_norm_eps": 1e-6, "max_position_embeddings": 512,
            "rope_theta": 10000.0, "rope_scaling": {"type": "mrope", "mrope_section": list(self.section)},
            "initializer_range": 0.15, "tie_word_embeddings": self.tied, "bos_token_id": 0, "eos_token_id": 1,
            "image_token_id": IMAGE, "video_token_id": VIDEO, "vision_start_token_id": START,
            "vision_end_token_id": END,
            "vision_config": {
                "depth": self.depth, "embed_dim": 32, "num_heads": self.vision_heads, "mlp_ratio": 2,
                "hidden_size": self.hidden, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2,
                "in_channels": 3, "initializer_range": 0.15,
            },
        }  # fmt: skip


CASES = [
    Case("text only", (24,)),
    Case("one image", (5, ("image", 1, 2, 3), 7)),
    Case(
        "several images, untied",
        (3, ("image", 1, 2, 2), 4, ("image", 1, 3, 1), ("image", 1, 1, 4), 6),
        tied=False,
    ),
    Case("video of four groups", (5, ("video", 4, 4, 3), 9)),
    Case("two videos", (5, ("video", 2, 2, 3), 2, ("video", 3, 3, 3), 4)),
    Case("image and video", (2, ("image", 1, 2, 3), 3, ("video", 2, 3, 2), 8), tied=False),
    Case("no grouping of heads", (5, ("video", 2, 2, 2), 9), kv_heads=4),
    Case("one kv head, many heads", (5, ("video", 2, 2, 2), 9), heads=8, kv_heads=1, section=(1, 1, 2)),
    Case("deep tower, four heads", (5, ("video", 3, 4, 4), 9), depth=4, vision_heads=4, layers=3),
    Case("long text around", (60, ("image", 1, 3, 2), 60), heads=2, kv_heads=1, section=(4, 6, 6)),
]
BY_NAME = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """Where both models compute. cuDNN would round the convolution of `transformers` to TF32."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no CUDA device here")
    monkeypatch.setattr(torch.backends.cudnn, "enabled", False)
    return torch.device(request.param)


@pytest.fixture
def stay_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """`transformers` rounds to float32 inside its norm and its vision rotation whatever the weights are;
    held in float64, the two implementations can be compared to ten digits."""

    def norm(self: Any, x: torch.Tensor) -> torch.Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))

    def turn(q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> Any:
        cos, sin = cos.unsqueeze(-2), sin.unsqueeze(-2)
        return q * cos + modeling.rotate_half(q) * sin, k * cos + modeling.rotate_half(k) * sin

    monkeypatch.setattr(modeling.Qwen2VLRMSNorm, "forward", norm)
    monkeypatch.setattr(modeling, "apply_rotary_pos_emb_vision", turn)


@BY_NAME
@pytest.mark.usefixtures("stay_in_float64")
def test_logits_agree_to_ten_digits_in_float64(case: Case, tmp_path: Path, device: torch.device) -> None:
    theirs, ours = twins(case, tmp_path, torch.float64, device)
    assert relative_error(*both_logits(case, theirs, ours)) < 1e-10


@BY_NAME
def test_logits_agree_in_float32(case: Case, tmp_path: Path, device: torch.device) -> None:
    theirs, ours = twins(case, tmp_path, torch.float32, device)
    assert relative_error(*both_logits(case, theirs, ours)) < 1e-5


@BY_NAME
def test_greedy_tokens_are_the_same(case: Case, tmp_path: Path, device: torch.device) -> None:
    theirs, ours = twins(case, tmp_path, torch.float32, device)
    inputs = prompt(case, device)
    expected = theirs.generate(**inputs, max_new_tokens=12, do_sample=False, eos_token_id=None, pad_token_id=0)
    assert our_greedy(ours, inputs, case, 12) == expected[0, inputs["input_ids"].shape[1] :].tolist()


@pytest.mark.parametrize("spelling", ["original", "transformers 5"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shards", [1, 3])
def test_every_kind_of_folder_loads(spelling: str, dtype: torch.dtype, shards: int, tmp_path: Path) -> None:
    case = CASES[2]
    theirs, _ = twins(case, tmp_path / "plain", dtype, torch.device("cpu"))
    rewrite(tmp_path / "plain", tmp_path / "rewritten", spelling, shards)
    ours = load_model(tmp_path / "rewritten", read_config(tmp_path / "plain"), dtype, torch.device("cpu"))
    weights = dict(theirs.state_dict())
    named = separate(dict(ours.named_parameters()), parameter_shapes(ours.config), ours.fused)
    assert torch.equal(
        named["model.layers.1.mlp.up_proj.weight"], weights["model.language_model.layers.1.mlp.up_proj.weight"]
    )
    assert torch.equal(ours.visual.merger.mlp[2].bias, weights["model.visual.merger.mlp.2.bias"])
    assert torch.equal(ours.lm_head.weight, weights["lm_head.weight"])


@pytest.mark.slow
def test_the_true_2b_widths_agree_within_the_noise_of_attention_kernels(tmp_path: Path, device: torch.device) -> None:
    """Two layers of the real widths in bfloat16: our distance to `transformers` (sdpa) stays within
    the distance between its own sdpa and eager attention on the same input."""
    config = dict(Case("2b", ()).config(), vocab_size=151936, hidden_size=1536, intermediate_size=8960,
                  num_attention_heads=12, num_key_value_heads=2, num_hidden_layers=2, rope_theta=1_000_000.0,
                  rope_scaling={"type": "mrope", "mrope_section": [16, 24, 24]}, initializer_range=0.02)  # fmt: skip
    config["vision_config"] = dict(config["vision_config"], depth=2, embed_dim=1280, num_heads=16, mlp_ratio=4,
                                   hidden_size=1536, initializer_range=0.02)  # fmt: skip
    case = Case("2b", (14, ("video", 2, 4, 5), 20))
    theirs, ours = twins(case, tmp_path, torch.bfloat16, device, config)
    inputs = prompt(case, device)
    with torch.inference_mode():
        sdpa = theirs(**inputs).logits[0].double()
        theirs.set_attn_implementation("eager")
        eager = theirs(**inputs).logits[0].double()
        mine = our_logits(ours, inputs, case).double()
    floor, distance = (sdpa - eager).norm() / sdpa.norm(), (sdpa - mine).norm() / sdpa.norm()
    last = ((sdpa[-1] - mine[-1]).norm() / sdpa[-1].norm(), (sdpa[-1] - eager[-1]).norm() / sdpa[-1].norm())
    print(f"last row alone: ours {last[0]:.2e}, floor {last[1]:.2e}")
    print(f"2B widths, bf16: noise floor (sdpa - eager) {floor:.2e}, ours - sdpa {distance:.2e}")
    assert distance <= 1.1 * floor  # two noises of one size differ by some per cent from machine to machine
    assert int(mine[-1].argmax()) in (int(sdpa[-1].argmax()), int(eager[-1].argmax()))


def twins(
    case: Case, folder: Path, dtype: torch.dtype, device: torch.device, config: dict[str, Any] | None = None
) -> tuple[Any, Qwen2VL]:
    """A random model of `transformers`, and ours loaded from the folder it saved."""
    config = config or case.config()
    torch.manual_seed(len(case.name))
    theirs = transformers.Qwen2VLForConditionalGeneration(transformers.Qwen2VLConfig(**config)).to(dtype).eval()
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "norm" in name or "ln_q" in name or name.endswith("bias"):
                parameter.add_(torch.randn_like(parameter) * 0.1)
    theirs.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({**config, "torch_dtype": str(dtype).removeprefix("torch.")}))
    return theirs.to(device), load_model(folder, parse_config(config), dtype, device)


def prompt(case: Case, device: torch.device) -> dict[str, torch.Tensor]:
    """Random inputs in the form `transformers` takes."""
    rng = np.random.default_rng(7)
    ids: list[int] = []
    kinds: list[int] = []
    grids: dict[str, list[list[int]]] = {"image": [], "video": []}
    pixels: dict[str, list[torch.Tensor]] = {"image": [], "video": []}
    for part in case.prompt:
        if isinstance(part, int):
            ids += rng.integers(2, 56, part).tolist()
            kinds += [0] * part
            continue
        kind, groups, rows, columns = part
        ids += [START, *[IMAGE if kind == "image" else VIDEO] * (groups * rows * columns), END]
        kinds += [0, *[1 if kind == "image" else 2] * (groups * rows * columns), 0]
        grids[kind].append([groups, 2 * rows, 2 * columns])
        pixels[kind].append(torch.from_numpy(rng.normal(size=(groups * rows * columns * 4, 1176))))
    inputs = {"input_ids": torch.tensor([ids]), "mm_token_type_ids": torch.tensor([kinds], dtype=torch.int)}
    for kind, pixel_name in (("image", "pixel_values"), ("video", "pixel_values_videos")):
        if grids[kind]:
            inputs[pixel_name] = torch.cat(pixels[kind])
            inputs[f"{kind}_grid_thw"] = torch.tensor(grids[kind])
    return {name: value.to(device) for name, value in inputs.items()}


def our_embeddings(ours: Qwen2VL, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    x = ours.embed(inputs["input_ids"][0]).clone()
    for kind, pixel_name, token in (
        ("image", "pixel_values", IMAGE),
        ("video", "pixel_values_videos", VIDEO),
    ):
        if pixel_name not in inputs:
            continue
        patches, seen = inputs[pixel_name], []
        for groups, rows, columns in inputs[f"{kind}_grid_thw"].tolist():
            mine, patches = patches[: groups * rows * columns], patches[groups * rows * columns :]
            seen.append(ours.visual(mine.reshape(groups, rows * columns, -1), rows, columns).flatten(0, 1))
        x[inputs["input_ids"][0] == token] = torch.cat(seen)
    return x


def our_positions(case: Case) -> torch.Tensor:
    """Text, <|vision_start|>, the visual, <|vision_end|>, text ... by the engine's own rule."""
    parts: list[int | tuple[int, int, int]] = []
    for part in case.prompt:
        parts += [part] if isinstance(part, int) else [1, part[1:], 1]
    return torch.from_numpy(prompt_positions(LAYOUT, parts))


@torch.inference_mode()
def our_logits(ours: Qwen2VL, inputs: dict[str, torch.Tensor], case: Case) -> torch.Tensor:
    x = our_embeddings(ours, inputs)
    cache = KVCache(ours.config.cache_shape, len(x), x.dtype, x.device)
    return ours.logits(ours.extend([(cache, len(x))], x, our_positions(case).to(x.device)))


@torch.inference_mode()
def our_greedy(ours: Qwen2VL, inputs: dict[str, torch.Tensor], case: Case, count: int) -> list[int]:
    x = our_embeddings(ours, inputs)
    at = our_positions(case).to(x.device)
    following = int(at.max()) + 1
    cache = KVCache(ours.config.cache_shape, len(x) + count, x.dtype, x.device)
    tokens: list[int] = []
    for step in range(count):
        tokens.append(int(ours.logits(ours.extend([(cache, len(x))], x, at)[-1]).argmax()))
        x = ours.embed(torch.tensor(tokens[-1:], device=x.device))
        at = torch.full((3, 1), following + step, device=x.device)
    return tokens


def both_logits(case: Case, theirs: Any, ours: Qwen2VL) -> tuple[torch.Tensor, torch.Tensor]:
    inputs = prompt(case, theirs.device)
    with torch.inference_mode():
        return theirs(**inputs).logits[0], our_logits(ours, inputs, case)


def relative_error(a: torch.Tensor, b: torch.Tensor) -> float:
    error = ((a - b).norm() / a.norm()).item()
    print(f"relative error {error:.2e}")
    return error


def rewrite(source: Path, target: Path, spelling: str, shards: int) -> None:
    """The folder's weights in another spelling and in several files."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(source / "model.safetensors")
    if spelling == "original":
        tensors = {
            name.replace("model.language_model.", "model.").replace("model.visual.", "visual."): value
            for name, value in tensors.items()
        }
    target.mkdir()
    if shards == 1:
        save_file(tensors, target / "model.safetensors")
        return
    names = sorted(tensors)
    files = {name: f"model-{index % shards + 1:05}-of-{shards:05}.safetensors" for index, name in enumerate(names)}
    for file in set(files.values()):
        save_file({name: tensors[name] for name in names if files[name] == file}, target / file)
    (target / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
