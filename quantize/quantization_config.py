"""Where a model folder says how its weights are quantized: in config.json, or in a file of its own.

Today every writer puts `quantization_config` into config.json. Older ones left config.json as it was and wrote a file
beside it: AutoGPTQ `quantize_config.json`, AutoAWQ `quant_config.json`, neither with the name of the method.
Knows no format; what is found goes to `formats.reader`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantize.errors import CheckpointUnreadable

KEY = "quantization_config"
FILES = {"quantize_config.json": "gptq", "quant_config.json": "awq"}


def with_quantization(folder: Path, config: Any) -> Any:
    """The content of config.json, with the `quantization_config` of the folder where it has none itself.

    Raises CheckpointUnreadable naming the file that cannot be read.
    """
    if not isinstance(config, Mapping) or _says(config) or _says(config.get("text_config")):
        return config
    for name, method in FILES.items():
        if (folder / name).is_file():
            return {**config, KEY: {"quant_method": method, **_read(folder / name)}}
    return config


def _says(config: object) -> bool:
    return isinstance(config, Mapping) and bool(config.get(KEY))


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointUnreadable(f"{path} cannot be read: {error}. Fetch it again.") from None
    if not isinstance(found, dict):
        raise CheckpointUnreadable(f"{path} holds no JSON object. Fetch it again.")
    return found
