"""The error of each quantized layer as a picture. Needs matplotlib, which a device can do without."""

from __future__ import annotations

from pathlib import Path

from quantize.manifest import Manifest


def draw_errors(manifest: Manifest, picture: Path) -> bool:
    """The error of each layer as a picture; False when matplotlib is not installed."""
    try:
        from matplotlib import colormaps
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    axes = figure.subplots()
    kinds: dict[str, list[tuple[int, float]]] = {}
    for place, (name, error) in enumerate(sorted(manifest.errors.items())):
        if error:
            kinds.setdefault(".".join(part for part in name.split(".") if not part.isdigit()), []).append(
                (place, error)
            )
    axes.set_prop_cycle(color=[colormaps["tab20"](shade) for shade in range(20)])
    for kind, points in kinds.items():
        axes.plot(*zip(*points, strict=True), marker="o", markersize=3, linewidth=0.8, label=kind)
    axes.set_yscale("log")
    axes.set_xlabel("layer, sorted by name")
    axes.set_ylabel("squared error / squared output" if manifest.calibration else "squared error / squared weight")
    axes.set_title(f"{manifest.base}: {manifest.preset}, {manifest.method}, {manifest.format}")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(picture, dpi=110)
    return True
