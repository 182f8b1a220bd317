"""Folders of quantized weights, in every layout, against a model whose weights are the dequantized ones."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from edge.cache import KVCache
from edge.engine.context import Context
from edge.engine.tokenizer import Tokenizer
from edge.errors import ModelUnreadable
from edge.hub import POCKET
from edge.kernels import int8_rows
from edge.kernels.cpu import Cpu, PackedWeight
from edge.kernels.cpu_jit import JitWeight
from edge.kernels.reference import Reference
from edge.models.architecture import parse_config, read_config
from edge.models.quantized import QuantEmbedding, QuantLinear
from edge.models.qwen2_vl.layout import LAYOUT
from edge.models.qwen2_vl.model import Qwen2VL
from edge.models.weights import load_model
from edge.runners.pytorch import PyTorchRunner
from quantize.formats import reader, writer
from quantize.layer_names import official_name
from quantize.quantized_weight import QuantizedWeight
from quantize.variant import Variant
from stream.frame import Group

CONFIG: dict[str, Any] = {
    "model_type": "qwen2_vl", "vocab_size": 64, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-6, "max_position_embeddings": 512,
    "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]}, "torch_dtype": "float16", "eos_token_id": 1,
    "vision_config": {"depth": 1, "embed_dim": 32, "num_heads": 2, "mlp_ratio": 2, "hidden_size": 64},
}  # fmt: skip
CPU = torch.device("cpu")
LANGUAGE, VISION, EMBEDDING, HEAD = "model.layers.", "visual.", "model.embed_tokens", "lm_head"


@dataclass(frozen=True)
class Case:
    """What is quantized how, and how the folder is written. `variants`: the beginning of a name -> variant."""

    name: str
    format: str
    variants: dict[str, str] = field(default_factory=lambda: {LANGUAGE: "int4-g32"})
    spelling: str = "official"  # or "transformers 5"
    zero_biases: bool = False
    tied: bool = True
    shards: int = 1
    stored_as: str = "int4-g32"


EDGE = {LANGUAGE: "int4-g32", VISION: "int8-channel", EMBEDDING: "int8-channel"}
CASES = [
    Case("gptq v1 as the official files", "gptq", zero_biases=True),
    Case("gptq v1, names of transformers 5, no zero biases", "gptq", spelling="transformers 5"),
    Case("gptq v1 of eight bits", "gptq", {LANGUAGE: "int8-g32"}, zero_biases=True, stored_as="int8-g32"),
    Case("gptq v2", "gptq", {LANGUAGE: "int4-g32-asym"}, zero_biases=True, stored_as="int4-g32-asym"),
    Case("gptq, vision tower and tied head", "gptq", EDGE, shards=3, stored_as="int4-g32+int8-channel"),
    Case("awq as the official files", "awq", {LANGUAGE: "int4-g32-asym"}, stored_as="int4-g32-asym"),
    Case("awq, names of transformers 5", "awq", {LANGUAGE: "int4-g32-asym"}, "transformers 5", True,
         stored_as="int4-g32-asym"),
    Case("compressed-tensors", "compressed-tensors", shards=2),
    Case("compressed-tensors, all of it", "compressed-tensors", EDGE, "transformers 5",
         stored_as="int4-g32+int8-channel"),
    Case("a head of its own", "gptq", {LANGUAGE: "int4-g32", HEAD: "int8-channel"}, tied=False,
         stored_as="int4-g32+int8-channel"),
    Case("a head of its own beside a tied embedding", "gptq", {LANGUAGE: "int4-g32", HEAD: "int8-channel"},
         stored_as="int4-g32+int8-channel"),
    Case("an embedding and a head, each quantized", "compressed-tensors",
         {EMBEDDING: "int4-channel", HEAD: "int8-g32"}, tied=False, stored_as="int4-channel+int8-g32"),
    Case("an embedding and a head, each quantized, though tied", "gptq",
         {EMBEDDING: "int4-channel", HEAD: "int8-g32"}, stored_as="int4-channel+int8-g32"),
]  # fmt: skip
BY_NAME = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def rounded(weight: Tensor, variant: Variant) -> QuantizedWeight:
    groups = weight.float().unflatten(1, (variant.num_groups(weight.shape[1]), -1))
    least, greatest = groups.amin(-1).clamp(max=0), groups.amax(-1).clamp(min=0)
    if variant.symmetric:
        scales = (torch.maximum(-least, greatest) / (variant.middle - 1)).half()
        zeros = torch.full_like(scales, variant.middle)
    else:
        scales = ((greatest - least) / variant.top).half()
        zeros = (-least / scales.float()).round().clamp(0, variant.top)
    values = (groups / scales[..., None].float() + zeros[..., None]).round().clamp(0, variant.top)
    return QuantizedWeight(variant, values.flatten(1).byte(), scales, zeros.byte())


def random_weights(config: dict[str, Any]) -> dict[str, Tensor]:
    """Official name -> tensor, with norms and biases that differ from one and zero."""
    torch.manual_seed(0)
    model = Qwen2VL(parse_config(config))
    return {
        name: (0.1 * torch.randn_like(p) + ("norm" in name or "ln_q" in name)).half().float()
        for name, p in model.named_parameters()
    }


def write_case(case: Case, folder: Path) -> tuple[Path, Path]:
    """A quantized folder, and one that holds the dequantized weights."""
    config = {**CONFIG, "tie_word_embeddings": case.tied}
    weights = random_weights(config)
    if case.tied and HEAD in case.variants:
        weights["lm_head.weight"] = weights[f"{EMBEDDING}.weight"]
    codes = {name: rounded(weights[f"{name}.weight"], variant) for name, variant in chosen(case, weights).items()}
    form = writer(case.format, {name: each.variant for name, each in codes.items()})
    plain = {**weights, **{f"{name}.weight": each.dequantize() for name, each in codes.items()}}
    packed = {name: tensor for name, tensor in weights.items() if name.removesuffix(".weight") not in codes}
    for name, each in codes.items():
        packed |= {f"{name}.{suffix}": tensor for suffix, tensor in form.pack(each).items()}
        if case.zero_biases and f"{name}.bias" not in weights:
            packed[f"{name}.bias"] = torch.zeros(each.shape[0], dtype=torch.float16)
    layers = {name: each.variant for name, each in codes.items()}
    write_folder(folder / "packed", {**config, "quantization_config": form.config(layers, [])}, packed, case)
    write_folder(folder / "plain", {**config, "tie_word_embeddings": case.tied and HEAD not in layers}, plain, case)
    return folder / "packed", folder / "plain"


def chosen(case: Case, weights: dict[str, Tensor]) -> dict[str, Variant]:
    """The layers of a case: matrices of linear layers, and the embedding."""
    found = {}
    for name, tensor in weights.items():
        layer, _, leaf = name.rpartition(".")
        variant = next((text for start, text in case.variants.items() if layer.startswith(start)), None)
        if leaf == "weight" and tensor.ndim == 2 and variant:
            found[layer] = Variant.parse(variant)
    return found


def write_folder(folder: Path, config: dict[str, Any], tensors: dict[str, Tensor], case: Case) -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    if case.spelling == "transformers 5":
        tensors = {new_spelling(name): tensor for name, tensor in tensors.items()}
    names = sorted(tensors)
    if case.shards == 1:
        save_file({name: tensors[name].contiguous() for name in names}, folder / "model.safetensors")
        return
    files = {name: f"model-{index % case.shards}.safetensors" for index, name in enumerate(names)}
    for file in set(files.values()):
        save_file({name: tensors[name].contiguous() for name in names if files[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))


def new_spelling(name: str) -> str:
    if name.startswith("model."):
        return name.replace("model.", "model.language_model.", 1)
    return f"model.{name}" if name.startswith("visual.") else name


def load(folder: Path, dtype: torch.dtype = torch.float32, kernel: str = "auto") -> Qwen2VL:
    return load_model(folder, read_config(folder), dtype, CPU, kernel)


@torch.inference_mode()
def logits(model: Qwen2VL) -> Tensor:
    """A video of one group and some tokens, through the whole model; then one more token."""
    frames = np.random.default_rng(0).integers(0, 256, (1, 2, 56, 84, 3), dtype=np.uint8)
    seen = model.encode(torch.from_numpy(frames))[0]
    tokens = model.embed(torch.arange(3, 60))
    cache = KVCache(model.config.cache_shape, 80, tokens.dtype, CPU)
    x = torch.cat([seen, tokens])
    first = model.logits(model.extend([(cache, len(x))], x, torch.from_numpy(LAYOUT.text_positions(0, len(x)))))
    more = model.embed(torch.tensor([7]))
    last = model.logits(model.extend([(cache, len(more))], more, torch.from_numpy(LAYOUT.text_positions(len(x), 1))))
    return torch.cat([first, last])


def relative_error(found: Tensor, right: Tensor) -> float:
    error = ((found.double() - right.double()).norm() / right.double().norm()).item()
    print(f"relative error {error:.2e}")
    return error


def multiply_before_adding_the_bias(model: Qwen2VL) -> Qwen2VL:
    """As a quantized layer has to: a linear layer of PyTorch starts its sums with the bias, which rounds elsewhere."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear) and layer.bias is not None:
            weight, bias = layer.weight, layer.bias
            layer.forward = lambda x, weight=weight, bias=bias: x @ weight.T + bias
    return model


@BY_NAME
def test_the_reference_gives_the_logits_of_the_dequantized_weights_to_the_bit(case: Case, tmp_path: Path) -> None:
    packed, plain = write_case(case, tmp_path)
    model, twin = (load(folder, kernel="reference") for folder in (packed, plain))
    assert any(isinstance(layer, QuantLinear) for layer in model.modules())
    found = logits(multiply_before_adding_the_bias(model))
    assert torch.equal(found, logits(multiply_before_adding_the_bias(twin)))


@BY_NAME
def test_the_cpu_kernel_is_as_far_from_exact_as_bfloat16_is(case: Case, tmp_path: Path) -> None:
    packed, plain = write_case(case, tmp_path)
    model = load(packed, torch.bfloat16)
    kernels = [layer.kernel for layer in model.modules() if isinstance(layer, QuantLinear | QuantEmbedding)]
    if Cpu.refusal(Variant(4, 32), (64, 64), torch.bfloat16, CPU):
        pytest.skip("this processor has neither AVX2 nor AVX-512")
    assert kernels and all(isinstance(kernel, PackedWeight | JitWeight) for kernel in kernels)
    exact = logits(load(plain))
    more = 3 if int8_rows.is_fast() else 1.5  # many rows are rounded to eight bits there, which bfloat16 has too
    assert relative_error(logits(model), exact) <= more * relative_error(logits(load(plain, torch.bfloat16)), exact)


@BY_NAME
def test_a_runner_takes_the_folder_and_says_how_it_is_stored(case: Case, tmp_path: Path) -> None:
    runner = PyTorchRunner.load(write_case(case, tmp_path)[0], device="cpu")
    assert runner.facts.variant == case.stored_as
    fast = torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32  # float16 is emulated on a CPU
    assert (runner.device, runner.dtype) == (CPU, fast)
    seen = runner.encode(np.zeros((2, 56, 84, 3), dtype=np.uint8))
    cache = runner.cache(16)
    runner.extend(cache, seen, LAYOUT.text_positions(0, 6), rows=0)
    assert runner.extend(cache, np.arange(4), LAYOUT.text_positions(6, 4), rows=4).logits().shape == (4, 64)


def test_a_tied_head_and_embedding_share_their_matrix(tmp_path: Path) -> None:
    model = load(write_case(CASES[4], tmp_path)[0])
    assert isinstance(model.lm_head, QuantLinear)
    assert model.lm_head.kernel is model.model.embed_tokens.kernel
    assert not any(name.startswith(("lm_head", "model.embed")) for name, _ in model.named_parameters())


@pytest.mark.parametrize("kernel, made", [("reference", Reference), ("auto", Reference)])
def test_the_kernel_is_the_callers_to_choose(kernel: str, made: type, tmp_path: Path) -> None:
    model = load(write_case(CASES[0], tmp_path)[0], kernel=kernel)
    assert isinstance(model.model.layers[0].mlp.gate_up_proj.kernel, made)


def test_why_a_kernel_was_chosen_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="edge.models"):
        load(write_case(CASES[0], tmp_path)[0])
    assert "8 quantized layers" in caplog.text and "bfloat16 alone" in caplog.text


Tensors = dict[str, Tensor]
UP, DOWN, Q = "model.layers.0.mlp.up_proj", "model.layers.1.mlp.down_proj", "model.layers.0.self_attn.q_proj"


def without(name: str) -> Callable[[Tensors], object]:
    return lambda tensors: tensors.pop(name)


def changed(name: str, change: Callable[[Tensor], Tensor]) -> Callable[[Tensors], object]:
    return lambda tensors: tensors.update({name: change(tensors[name]).contiguous()})


def added(name: str, tensor: Tensor) -> Callable[[Tensors], object]:
    return lambda tensors: tensors.update({name: tensor})


@pytest.mark.parametrize(
    "damage, says",
    [
        (without(f"{UP}.qzeros"), (UP, "qzeros is missing")),
        (without(f"{UP}.scales"), (UP, "scales is missing")),
        (without(f"{UP}.qweight"), (UP, "qweight is missing")),
        (changed(f"{DOWN}.qweight", lambda t: t[:-1]), (DOWN, "qweight")),
        (changed(f"{DOWN}.qweight", lambda t: t[:, :-8]), (DOWN, "qweight")),
        (changed(f"{DOWN}.qzeros", lambda t: t[:1]), (DOWN, "qzeros")),
        (changed(f"{UP}.qweight", lambda t: t.long()), (UP, "int64")),
        (changed(f"{UP}.scales", lambda t: t.int()), (UP, "int32")),
        (changed(f"{UP}.scales", lambda t: t * float("nan")), (UP, "finite")),
        (changed(f"{UP}.g_idx", lambda t: t.flip(0)), (UP, "g_idx")),
        (added(f"{UP}.bias", torch.ones(96)), (UP, "holds a bias")),
        (added(f"{UP}.bias", torch.full((96,), float("nan"))), (UP, "holds a bias")),
        (without(f"{Q}.bias"), (Q, "lacks its bias")),
        (changed(f"{Q}.bias", lambda t: t[:-1]), ("q_proj.bias", "(63,)")),
        (added(f"{UP}.weight", torch.ones(96, 64)), (UP, "'weight' beside")),
        (added("model.norm.qweight", torch.ones(8, dtype=torch.int32)), ("norm", "matrix")),
        (added("model.layers.2.mlp.up_proj.scales", torch.ones(8)), ("layers.2.mlp.up_proj",)),
        (added("visual.patch_embed.proj.qweight", torch.ones(8, dtype=torch.int32)), ("patch_embed", "matrix")),
        (without("model.norm.weight"), ("norm.weight", "lacks 1")),
    ],
)
def test_a_damaged_layer_is_named(damage: Callable[[Tensors], object], says: tuple[str, ...], tmp_path: Path) -> None:
    packed, _ = write_case(CASES[1], tmp_path)
    tensors = load_file(packed / "model.safetensors")
    tensors = {official_name(name): t for name, t in tensors.items()}
    damage(tensors)
    save_file(tensors, packed / "model.safetensors")
    with pytest.raises(ModelUnreadable) as raised:
        load(packed)
    assert all(part in str(raised.value) for part in (str(packed), *says)), raised.value


@pytest.mark.parametrize(
    "change, says",
    [
        ({"quant_method": "bitsandbytes"}, "'bitsandbytes'"),
        ({"quant_method": None}, "None"),
        ({"quant_method": "os:system"}, "os:system"),
        ({"bits": 3}, "3"),
        ({"checkpoint_format": "marlin"}, "marlin"),
    ],
)
def test_a_quantization_that_is_not_read_is_named(change: dict[str, Any], says: str, tmp_path: Path) -> None:
    packed, _ = write_case(CASES[0], tmp_path)
    config = json.loads((packed / "config.json").read_text())
    config["quantization_config"] |= change
    (packed / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnreadable, match=rf"config\.json: .*{says}"):
        load(packed)


def test_quantized_tensors_without_a_quantization_config_are_named(tmp_path: Path) -> None:
    packed, _ = write_case(CASES[0], tmp_path)
    (packed / "config.json").write_text(json.dumps({**CONFIG, "tie_word_embeddings": True}))
    with pytest.raises(ModelUnreadable, match=r"(qweight|qzeros|scales|g_idx|bias)"):
        load(packed)


@pytest.fixture(scope="module")
def pocket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model in the layout `edge`: int4 language model, int8 vision tower and tied head."""
    folder = tmp_path_factory.mktemp("pocket") / "int4"
    shutil.copytree(POCKET, folder)
    weights = load_file(POCKET / "model.safetensors")
    variants = {LANGUAGE: "int4-g128", VISION: "int8-channel", EMBEDDING: "int8-channel"}
    layers = chosen(Case("pocket", "gptq", variants), weights)
    form = writer("gptq", layers)
    for name, variant in layers.items():
        codes = rounded(weights.pop(f"{name}.weight"), variant)
        weights |= {f"{name}.{suffix}": tensor for suffix, tensor in form.pack(codes).items()}
    save_file(weights, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": form.config(layers, [])}))
    assert reader(form.config(layers, [])) == form
    return folder


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_a_context_that_grew_and_answered_equals_a_fresh_one_to_the_bit(dtype: str, pocket: Path) -> None:
    runner, tokenizer = PyTorchRunner.load(pocket, device="cpu", dtype=dtype), Tokenizer.load(pocket)
    assert runner.facts.variant == "int4-g128+int8-channel"
    context = Context(runner, tokenizer, max_groups=3)
    groups = [group(index) for index in range(4)]
    for each in groups:
        context.append(each)
        reused = answer(context)
    fresh = Context(runner, tokenizer, max_groups=3)
    assert context.window is not None
    for each in groups[context.window.first :]:
        fresh.append(each)
    text, rows = answer(fresh)
    assert text and reused[0] == text and np.array_equal(reused[1], rows)


def group(index: int) -> Group:
    pixels = np.random.default_rng(index).integers(0, 256, (2, 56, 84, 3), dtype=np.uint8)
    return Group(index, pixels, (index, index + 0.5), 0.0, "synthetic", 2, pixels[1])


def answer(context: Context) -> tuple[str, np.ndarray]:
    """The text, and the logits that it begins with."""
    reply = context.answer("Describe the video.", max_tokens=8)
    first = reply.prefill.prediction.logits().copy()
    return reply.read(), first
