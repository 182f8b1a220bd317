"""`edge verify`: whether a variant is whole: its files are those that were written, and they hold what they should.

No model is built: shapes are compared in the files' headers, and numbers are looked at one tensor at a time.
"""

from __future__ import annotations

from pathlib import Path

from edge.errors import ModelError
from edge.models.architecture import parameter_shapes, read_config
from quantize.checkpoint import Checkpoint
from quantize.errors import NotFinite, QuantizeError
from quantize.formats import reader
from quantize.manifest import Manifest, hash_problems
from quantize.progress import Progress
from quantize.quantized_weight import check_finite
from quantize.shape_check import shape_problems


def verify_folder(folder: Path, progress: Progress) -> list[str]:
    """What is wrong, one line each; nothing when the variant is whole.

    Raises ArtifactDamaged and FormatUnknown when there is no manifest to go by.
    """
    manifest, problems = Manifest.read(folder), hash_problems(folder)
    try:
        checkpoint = Checkpoint(folder)
        problems += [
            f"{path.name} is a weight file that no tensor is read from: remove it, or fetch the folder again"
            for path in checkpoint.unread_files()
        ]
        problems += _misshapen(folder, checkpoint, manifest)
        problems += _not_finite(checkpoint, progress)
    except (QuantizeError, ModelError) as error:
        problems.append(str(error))
    return problems


def _misshapen(folder: Path, checkpoint: Checkpoint, manifest: Manifest) -> list[str]:
    config = read_config(folder)
    if config.quantization is None:
        return ["config.json says nothing of quantization"]
    form = reader(config.quantization)
    return shape_problems(checkpoint.stored, parameter_shapes(config), manifest.layers, form)


def _not_finite(checkpoint: Checkpoint, progress: Progress) -> list[str]:
    problems = []
    for index, name in enumerate(checkpoint.files):
        progress(index, len(checkpoint.files), name)
        if checkpoint.stored[name].dtype.is_floating_point:
            try:
                check_finite(name, checkpoint.tensor(name))
            except NotFinite as error:
                problems.append(str(error))
    progress(len(checkpoint.files), len(checkpoint.files), "")
    return problems
