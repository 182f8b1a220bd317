"""Qwen2-VL for the parts of the project that bring a network into memory and say what it costs."""

from __future__ import annotations

from edge.models.architecture import Architecture
from edge.models.qwen2_vl.config import parse_config
from edge.models.qwen2_vl.costs import Qwen2VLCosts
from edge.models.qwen2_vl.model import Qwen2VL
from edge.models.qwen2_vl.shapes import PROCESSOR, SHAPES, published_config

ARCHITECTURE = Architecture(
    parse_config=parse_config,
    network=Qwen2VL,
    shapes=SHAPES,
    published_config=published_config,
    processor_config=PROCESSOR,
    costs=Qwen2VLCosts,
)
