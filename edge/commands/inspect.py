"""`edge inspect`: what a model folder stores, how, and what it will take at run time. Reads headers, no weights."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge.commands.watch import WatchOptions
from edge.media.limits import Limits
from edge.models.architecture import Config, costs_of, parameter_shapes, read_config
from edge.models.costs import is_second_embedding
from quantize.checkpoint import Checkpoint, Stored
from quantize.errors import QuantizeError
from quantize.formats import Format, layout, reader
from quantize.layer_names import EMBEDDING, HEAD, official_name
from quantize.manifest import MANIFEST, Manifest
from quantize.variant import BITS, GROUPS, Variant

WINDOW = 8  # groups: the window whose keys and values are counted
TEXT = 512  # tokens of questions and answers beside them


@dataclass(frozen=True, slots=True)
class StorageRow:
    """Layers of one kind that are stored in one way."""

    part: str
    stored: str  # "int4-g128", "bfloat16" ...
    num_layers: int
    num_weights: int
    nbytes: int

    @property
    def bits_per_weight(self) -> float:
        return 8 * self.nbytes / self.num_weights


@dataclass(frozen=True, slots=True)
class Inspection:
    rows: tuple[StorageRow, ...]
    weights: int  # bytes
    cache: int  # bytes of keys and values for WINDOW groups of the pictures that are usual and TEXT tokens
    limits: Limits
    manifest: Manifest | None

    def summary(self) -> str:
        """What it takes at run time, and how it was made."""
        lines = [
            f"at run time {self.weights / 1e6:.0f} MB of weights where they are computed with as they are stored, and "
            f"{self.cache / 1e6:.0f} MB of keys and values for {WINDOW} groups",
            f"looks at {self.limits}",
        ]
        if made := self.manifest:
            seen = f", calibrated with {made.calibration.num_samples} prompts" if made.calibration else ""
            lines.append(f"made from {made.base} by {made.tool}: {made.preset}, {made.method}, {made.format}{seen}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        rows = [
            {
                "part": row.part, "stored": row.stored, "layers": row.num_layers, "weights": row.num_weights,
                "bytes": row.nbytes, "bits_per_weight": round(row.bits_per_weight, 3),
            }
            for row in self.rows
        ]  # fmt: skip
        made = None
        if self.manifest is not None:
            made = {name: value for name, value in self.manifest.to_dict().items() if name not in ("layers", "files")}
        return {
            "rows": rows, "weights_bytes": self.weights, "cache_bytes": self.cache, "pixels": asdict(self.limits),
            "made": made,
        }  # fmt: skip


def inspect_folder(folder: Path) -> Inspection:
    """Raises ModelError for a folder that is no Qwen2-VL, QuantizeError for one whose files disagree."""
    config, checkpoint = read_config(folder), Checkpoint(folder)
    form = None if config.quantization is None else reader(config.quantization)
    tensors = {official_name(name): stored for name, stored in checkpoint.stored.items()}
    layers: defaultdict[str, dict[str, Stored]] = defaultdict(dict)
    for name, stored in tensors.items():
        layer, _, suffix = name.rpartition(".")
        layers[layer][suffix] = stored
    shapes, manifest = _shapes(config), _manifest(folder)
    said = {} if manifest is None else manifest.layers  # whether zeros are all the middle cannot be told from shapes
    counts: Counter[str] = Counter()
    for name, shape in shapes.items():
        counts[name.rpartition(".")[0]] += math.prod(shape)
    found: defaultdict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for layer, parts in layers.items():
        count = counts[layer]
        nbytes = sum(stored.nbytes for stored in parts.values())
        how = _how(parts, shapes.get(f"{layer}.weight"), form, [*filter(None, [said.get(layer)]), *_variants()])
        found[_part(layer), how].append((count, nbytes))
    rows = tuple(
        StorageRow(part, how, len(members), sum(count for count, _ in members), sum(nbytes for _, nbytes in members))
        for (part, how), members in sorted(found.items())
    )
    weights = sum(row.nbytes for row in rows)
    if config.tie_word_embeddings and is_second_embedding(tensors):
        weights -= tensors[f"{HEAD}.weight"].nbytes
    return Inspection(rows, weights, _cache_bytes(config), Limits.load(folder, config.family.limits), manifest)


def _shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Of all tensors that a folder may hold, the head's too: it may be stored by itself though it is tied."""
    shapes = parameter_shapes(config)
    return {f"{HEAD}.weight": shapes[f"{EMBEDDING}.weight"], **shapes}


def _how(
    parts: Mapping[str, Stored], shape: tuple[int, ...] | None, form: Format | None, variants: Iterable[Variant]
) -> str:
    """The first of these variants that the layer's files can be."""
    if form is not None and len(shape or ()) == 2 and parts.keys() & form.suffixes:
        n, k = shape or (0, 0)
        packed = {suffix: stored for suffix, stored in parts.items() if suffix in form.suffixes}
        for variant in variants:
            if form.refusal(variant) is None and _fits(form, variant, (n, k), packed):
                return str(variant)
        return "unknown"
    return "+".join(sorted({str(stored.dtype).removeprefix("torch.") for stored in parts.values()}))


def _variants() -> list[Variant]:
    return [Variant(bits, group, symmetric) for symmetric in (True, False) for bits in BITS for group in GROUPS]


def _fits(form: Format, variant: Variant, shape: tuple[int, int], packed: Mapping[str, Stored]) -> bool:
    try:
        expected = layout(form, variant, shape)
    except QuantizeError:
        return False
    return all(packed.get(suffix) == stored for suffix, stored in expected.items() if suffix in packed)


def _part(layer: str) -> str:
    if layer in (EMBEDDING, HEAD):
        return "embedding and head"
    if layer.startswith("visual."):
        return "vision tower"
    return "language model"


def _cache_bytes(config: Config) -> int:
    """Keys and values in 16 bits."""
    tokens = WINDOW * WatchOptions().max_pixels // config.cell**2 + TEXT
    return costs_of(config).kv_bytes_per_token * tokens


def _manifest(folder: Path) -> Manifest | None:
    return Manifest.read(folder) if (folder / MANIFEST).exists() else None
