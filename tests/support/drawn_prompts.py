"""A person's own data: pictures of drawn scenes, and a JSONL file that asks about them and knows the answers."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from edge.pocket.lessons import ground, observe
from stream.sources.scene import Scene


def write_prompts(folder: Path, num_pictures: int) -> Path:
    """A yes and a box for each picture: `0.png`, `1.png` ... and `prompts.jsonl`."""
    lines = []
    for seed in range(num_pictures):
        scene = Scene(seed, 168, 112, duration=5.0)
        Image.fromarray(scene.render(1.0, 112, 168)).save(folder / f"{seed}.png")
        things = observe(scene, (0.5, 1.0)).things
        label = things[0].label
        for question, answer in {
            f"Is there a {label}?": "Yes.",
            f"Find the {label}.": ground(things[:1], label),
        }.items():
            lines.append(_line(f"{seed}.png", question, answer))
    path = folder / "prompts.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def _line(picture: str, question: str, answer: str) -> str:
    parts = [{"type": "image", "image": picture}, {"type": "text", "text": question}]
    return json.dumps({"messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": answer}]})
