"""Folders of older writers say in a file of its own how their weights are quantized."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quantize.errors import CheckpointUnreadable
from quantize.formats import reader
from quantize.formats.awq import Awq
from quantize.formats.gptq import Gptq
from quantize.quantization_config import with_quantization

GPTQ = {"bits": 4, "group_size": 128, "damp_percent": 0.01, "desc_act": False, "sym": True}
AWQ = {"zero_point": True, "q_group_size": 128, "w_bit": 4, "version": "GEMM"}


@pytest.mark.parametrize("name, content, form", [("quantize_config.json", GPTQ, Gptq), ("quant_config.json", AWQ, Awq)])
def test_a_file_of_its_own_is_read_where_config_json_says_nothing(
    name: str, content: dict[str, Any], form: type, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(json.dumps(content))
    found = with_quantization(tmp_path, {"model_type": "qwen2_vl", "quantization_config": None})
    assert found["model_type"] == "qwen2_vl" and content.items() <= found["quantization_config"].items()
    assert type(reader(found["quantization_config"])) is form


def test_the_method_that_the_file_names_is_believed(tmp_path: Path) -> None:
    (tmp_path / "quantize_config.json").write_text(json.dumps({**GPTQ, "quant_method": "awq"}))
    assert with_quantization(tmp_path, {})["quantization_config"]["quant_method"] == "awq"


@pytest.mark.parametrize("config", [{"quantization_config": AWQ}, {"text_config": {"quantization_config": AWQ}}])
def test_config_json_is_believed_before_any_other_file(config: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "quantize_config.json").write_text(json.dumps(GPTQ))
    assert with_quantization(tmp_path, config) == config


@pytest.mark.parametrize("config", [{"model_type": "qwen2_vl"}, [], None, "text"])
def test_a_folder_that_says_nothing_is_left_as_it_is(config: Any, tmp_path: Path) -> None:
    assert with_quantization(tmp_path, config) == config


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff"])
def test_a_file_that_cannot_be_read_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "quantize_config.json").write_bytes(content)
    with pytest.raises(CheckpointUnreadable, match=r"quantize_config\.json .*Fetch it again"):
        with_quantization(tmp_path, {})
