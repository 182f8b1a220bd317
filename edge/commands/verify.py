"""`edge verify`: whether a variant is whole: its files are those that were written, and they hold what they should."""

from __future__ import annotations

from pathlib import Path

import torch

from edge.errors import ModelError
from edge.models.qwen2_vl.config import read_config
from edge.models.weights import load_model
from quantize.checkpoint import Checkpoint
from quantize.errors import CheckpointUnreadable, NotFinite
from quantize.manifest import verify
from quantize.progress import Progress
from quantize.quantized_weight import check_finite


def verify_folder(folder: Path, progress: Progress) -> list[str]:
    """What is wrong, one line each; nothing when the artifact is whole.

    The files against their hashes, every number for being one, and every layer's shape by loading the model.

    Raises ArtifactDamaged and FormatUnknown when there is no manifest to go by.
    """
    problems = verify(folder)
    try:
        problems += _not_finite(folder, progress)
        config = read_config(folder)
        if config.quantization is None:
            problems.append("config.json says nothing of quantization")
        load_model(folder, config, torch.float32, torch.device("cpu"))
    except (CheckpointUnreadable, ModelError) as error:
        problems.append(str(error))
    return problems


def _not_finite(folder: Path, progress: Progress) -> list[str]:
    checkpoint, problems = Checkpoint(folder), []
    for index, name in enumerate(checkpoint.files):
        progress(index, len(checkpoint.files), name)
        tensor = checkpoint.tensor(name)
        if tensor.is_floating_point():
            try:
                check_finite(name, tensor)
            except NotFinite as error:
                problems.append(str(error))
    progress(len(checkpoint.files), len(checkpoint.files), "")
    return problems
