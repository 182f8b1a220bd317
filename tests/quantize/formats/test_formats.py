"""What holds for every line of the registry, and what their configurations say to the engines that read them."""

from __future__ import annotations

import inspect
import pkgutil
import re
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quantize.checkpoint import Stored
from quantize.errors import FormatUnknown
from quantize.formats import FORMATS, Format, layout, reader, writer
from quantize.formats.names import spellings
from quantize.formats.packing import num_words
from quantize.quantized_weight import QuantizedWeight
from quantize.variant import Variant


@st.composite
def quantized_weights(draw: st.DrawFn) -> QuantizedWeight:
    variant = Variant(draw(st.sampled_from([4, 8])), draw(st.sampled_from([32, 64, 128, None])), draw(st.booleans()))
    n = 8 * draw(st.integers(1, 6))
    k = 8 * draw(st.integers(1, 20)) if variant.group is None else variant.group * draw(st.integers(2, 4))
    return numbers(variant, n, k, draw(st.integers(0, 2**31)))


def numbers(variant: Variant, n: int, k: int, seed: int = 0) -> QuantizedWeight:
    generator = torch.Generator().manual_seed(seed)
    shape = (n, variant.num_groups(k))
    zeros = torch.randint(0, variant.top + 1, shape, dtype=torch.uint8, generator=generator)
    if variant.symmetric:
        zeros.fill_(variant.middle)
    else:
        zeros[0, 0] = 0  # the middle throughout would be read as symmetric
    values = torch.randint(0, variant.top + 1, (n, k), dtype=torch.uint8, generator=generator)
    return QuantizedWeight(variant, values, torch.rand(shape, generator=generator).add(0.01).half(), zeros)


@settings(max_examples=60)
@given(quantized_weights())
def test_the_same_codes_come_back_from_every_format_that_takes_them(written: QuantizedWeight) -> None:
    names = [name for name in FORMATS if name != "awq" or written.variant.bits == 4]
    for name in names:
        layers = {"lm_head": written.variant}
        form = writer(name, layers)
        again = reader(form.config(layers, []))
        found = again.unpack(form.pack(written), written.shape, "lm_head")
        assert found.equal(written), name
        assert torch.equal(found.dequantize(), written.dequantize())
        assert all(part.is_contiguous() for part in (found.values, found.scales, found.zeros))


@settings(max_examples=60)
@given(quantized_weights())
def test_the_layout_says_what_pack_will_give(written: QuantizedWeight) -> None:
    for name in FORMATS:
        if name == "awq" and written.variant.bits != 4:
            continue
        form = writer(name, {"lm_head": written.variant})
        packed = form.pack(written)
        assert set(packed) <= form.suffixes
        assert all(tensor.is_contiguous() for tensor in packed.values())
        announced = layout(form, written.variant, written.shape)
        assert announced == {suffix: Stored.of(tensor) for suffix, tensor in packed.items()}


@pytest.mark.parametrize("name", FORMATS)
def test_every_line_keeps_the_contract(name: str) -> None:
    kind = pkgutil.resolve_name(FORMATS[name])
    for method, expected in inspect.getmembers(Format, inspect.isfunction):
        if not method.startswith("_"):
            assert list(inspect.signature(getattr(kind, method)).parameters) == list(
                inspect.signature(expected).parameters
            )
    assert isinstance(kind.suffixes, frozenset)


@pytest.mark.parametrize("name", FORMATS)
def test_a_full_size_layer_takes_the_bytes_it_should(name: str) -> None:
    form = writer(name, {"lm_head": Variant(4, 128)})
    nbytes = sum(stored.nbytes for stored in layout(form, Variant(4, 128), (8960, 1536)).values())
    assert nbytes == pytest.approx(8960 * (4 * num_words(1536, 4) + 2 * 12), rel=0.02)


def test_writer_names_the_layer_that_a_format_cannot_hold() -> None:
    with pytest.raises(FormatUnknown, match=r"awq cannot hold lm_head as int8-g128: .*4-bit"):
        writer("awq", {"model.layers.0.mlp.up_proj": Variant(4, 128), "lm_head": Variant(8, 128)})
    with pytest.raises(FormatUnknown, match=r"one group size .*\[32, 128\]"):
        writer("awq", {"model.layers.0.mlp.up_proj": Variant(4, 128), "lm_head": Variant(4, 32)})
    with pytest.raises(FormatUnknown, match="'gguf' is no format; there are gptq, awq, compressed-tensors"):
        writer("gguf", {})


def test_writer_takes_an_import_path_and_reader_never_does() -> None:
    path = "quantize.formats.awq:Awq"
    assert type(writer(path, {"lm_head": Variant(4, 128)})) is pkgutil.resolve_name(path)
    with pytest.raises(FormatUnknown, match=r"quant_method is 'quantize.formats.awq:Awq'"):
        reader({"quant_method": path})


CONFIGS = [
    ({"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True}, 1),
    ({"quant_method": "gptq", "bits": 8, "checkpoint_format": "gptq"}, 1),
    ({"quant_method": "gptq", "bits": 4, "checkpoint_format": "gptq_v2"}, 2),
    ({"quant_method": "gptq", "bits": 4, "checkpoint_format": None}, 1),
]


@pytest.mark.parametrize("config, version", CONFIGS)
def test_gptq_files_that_do_not_say_their_version_are_of_the_first(config: dict[str, Any], version: int) -> None:
    form: Any = reader(config)
    assert form.version == version


def test_the_official_awq_configuration_is_read() -> None:
    config = {"bits": 4, "group_size": 128, "modules_to_not_convert": ["visual"], "quant_method": "awq"}
    form = reader({**config, "version": "GEMM", "zero_point": True})
    assert form.suffixes == {"qweight", "qzeros", "scales"}


def test_awq_configurations_with_the_older_names_are_read() -> None:
    config = {"quant_method": "awq", "w_bit": 4, "q_group_size": 128, "zero_point": True, "version": "GEMM"}
    assert isinstance(reader(config), pkgutil.resolve_name(FORMATS["awq"]))
    with pytest.raises(FormatUnknown, match="8 bits"):
        reader({**config, "w_bit": 8})


@pytest.mark.parametrize(
    "config, found",
    [
        ({}, "None"),
        ({"quant_method": "bitsandbytes"}, "'bitsandbytes'"),
        ({"quant_method": "gptq", "bits": 3}, "3 bits"),
        ({"quant_method": "gptq", "bits": 4, "checkpoint_format": "marlin"}, "'marlin'"),
        ({"quant_method": "awq", "bits": 4, "version": "gemv"}, "'gemv'"),
        ({"quant_method": "awq", "bits": 8, "version": "gemm"}, "8 bits"),
        ({"quant_method": "compressed-tensors", "format": "int-quantized"}, "'int-quantized'"),
    ],
)
def test_what_is_not_read_is_told_as_it_was_found(config: dict[str, Any], found: str) -> None:
    with pytest.raises(FormatUnknown, match=re.escape(found)):
        reader(config)


INT4, INT8 = Variant(4, 128), Variant(8, None)
LANGUAGE = [f"model.layers.{i}.{leaf}" for i in range(12) for leaf in ("self_attn.q_proj", "mlp.down_proj")]
VISION = [f"visual.blocks.{i}.{leaf}" for i in range(12) for leaf in ("attn.qkv", "mlp.fc1")]
VISION += ["visual.merger.mlp.0", "visual.merger.mlp.2"]
EVERY = [*LANGUAGE, *VISION, "lm_head"]

PLANS: dict[str, dict[str, Variant]] = {
    "the language model alone": dict.fromkeys(LANGUAGE, INT4),
    "all of it": {**dict.fromkeys(LANGUAGE, INT4), **dict.fromkeys(VISION, INT8), "lm_head": INT8},
    "one block otherwise": {**dict.fromkeys(LANGUAGE, INT4), "model.layers.1.mlp.down_proj": INT8},
    "one block kept": {name: INT4 for name in LANGUAGE if name != "model.layers.1.mlp.down_proj"},
    "half the tower": {**dict.fromkeys(LANGUAGE, INT4), "visual.blocks.1.attn.qkv": INT8},
    "an asymmetric one": {**dict.fromkeys(LANGUAGE, INT4), "lm_head": Variant(8, 128, symmetric=False)},
}


def names_everywhere(layer: str) -> list[str]:
    """As the official checkpoints, transformers 5 and vLLM name it."""
    inner = layer.removeprefix("model.")
    other = layer if layer.startswith("visual.") else f"language_model.{'' if layer == 'lm_head' else 'model.'}{inner}"
    return [*spellings(layer), other]


def settings_by_dynamic(config: dict[str, Any], name: str) -> Variant | None:
    """As GPTQModel and vLLM find a module's settings: the first pattern that matches the name's beginning."""
    found = config
    for pattern, override in config["dynamic"].items():
        if re.match(pattern[2:], name):
            if pattern.startswith("-:"):
                return None
            found = {**config, **override}
            break
    return Variant(found["bits"], None if found["group_size"] == -1 else found["group_size"], found["sym"])


@pytest.mark.parametrize("plan", PLANS)
def test_gptq_settings_of_every_layer_under_every_name(plan: str) -> None:
    layers = PLANS[plan]
    config = writer("gptq", layers).config(layers, [name for name in EVERY if name not in layers])
    assert (config["bits"], config["group_size"], config["sym"]) == (4, 128, True)
    assert config["lm_head"] == ("lm_head" in layers)
    assert config["checkpoint_format"] == ("gptq_v2" if plan == "an asymmetric one" else "gptq")
    for layer in EVERY:
        for name in names_everywhere(layer):
            assert settings_by_dynamic(config, name) == layers.get(layer), name


def scheme_by_target(config: dict[str, Any], name: str) -> Variant | None:
    """As compressed-tensors finds it: a target that matches and no entry of the ignore list that does."""

    def matches(targets: list[str]) -> bool:
        return any(re.match(target.removeprefix("re:"), name) for target in targets)

    found = [group["weights"] for group in config["config_groups"].values() if matches(group["targets"])]
    assert len(found) <= 1
    assert bool(found) != matches(config["ignore"]), "vLLM wants every layer either targeted or ignored"
    return Variant(found[0]["num_bits"], found[0]["group_size"], found[0]["symmetric"]) if found else None


@pytest.mark.parametrize("plan", PLANS)
def test_compressed_tensors_scheme_of_every_layer_under_every_name(plan: str) -> None:
    layers = PLANS[plan]
    config = writer("compressed-tensors", layers).config(layers, [name for name in EVERY if name not in layers])
    assert len(config["config_groups"]) == len(set(layers.values()))
    for layer in EVERY:
        for name in names_everywhere(layer):
            assert scheme_by_target(config, name) == layers.get(layer), name


def test_channels_are_called_so_by_compressed_tensors() -> None:
    config = writer("compressed-tensors", {"lm_head": INT8}).config({"lm_head": INT8}, [])
    weights = config["config_groups"]["group_0"]["weights"]
    assert (weights["strategy"], weights["group_size"], weights["type"]) == ("channel", None, "int")


@pytest.mark.parametrize("plan", ["the language model alone", "one block kept"])
def test_awq_skip_list_works_in_transformers_and_in_vllm(plan: str) -> None:
    from transformers.quantizers.quantizers_utils import should_convert_module

    layers = PLANS[plan]
    config = writer("awq", layers).config(layers, [name for name in EVERY if name not in layers])
    skipped = config["modules_to_not_convert"]
    assert skipped[:2] == ["visual", "model.visual"]
    for layer in EVERY:
        in_transformers = spellings(layer)[-1]
        assert should_convert_module(in_transformers, skipped) == (layer in layers), in_transformers
        assert any(entry in layer for entry in skipped) != (layer in layers), layer


def test_a_head_tied_to_the_embedding_is_left_alone_without_being_listed() -> None:
    layers = dict.fromkeys(LANGUAGE, INT4)
    assert "lm_head" in writer("awq", layers).config(layers, VISION)["modules_to_not_convert"]
    assert settings_by_dynamic(writer("gptq", layers).config(layers, VISION), "lm_head") is None


def test_layers_may_come_in_the_spelling_of_transformers_5() -> None:
    renamed = {spellings(name)[-1]: variant for name, variant in PLANS["all of it"].items()}
    for name in ("gptq", "compressed-tensors"):
        assert writer(name, renamed).config(renamed, []) == writer(name, PLANS["all of it"]).config(
            PLANS["all of it"], []
        )


def test_transformers_understands_the_configurations() -> None:
    from transformers.utils.quantization_config import AwqConfig, GPTQConfig

    layers = {"model.layers.0.mlp.up_proj": Variant(4, None, symmetric=False)}
    gptq = GPTQConfig.from_dict(writer("gptq", layers).config(layers, ["lm_head"]))
    assert (gptq.bits, gptq.group_size, gptq.sym, gptq.desc_act, gptq.format) == (4, -1, False, False, "gptq_v2")
    awq = AwqConfig.from_dict(writer("awq", layers).config(layers, ["lm_head"]))
    assert (awq.bits, awq.group_size, awq.zero_point, awq.format) == (4, -1, True, "gemm")
    assert "visual" in awq.modules_to_not_convert
