"""What a drawn scene lies on and is seen through: a textured backdrop, changing light, a sensor's noise.

Knows pictures, (height, width, 3) RGB, and chance. Knows no shape and no path.
"""

from __future__ import annotations

import cv2
import numpy as np

from stream.frame import Pixels


class Backdrop:
    """A dull surface: a slow gradient, cloudy texture, sometimes stripes or tiles."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.base = rng.uniform(40, 170) + rng.uniform(-12, 12, 3)
        self.clouds = rng.normal(0, rng.uniform(4, 18), (int(rng.integers(3, 9)), int(rng.integers(3, 9)), 1))
        self.tilt = rng.uniform(-30, 30, 2)
        self.pattern = str(rng.choice(["none", "none", "stripes", "tiles"]))
        self.contrast = rng.uniform(6, 18)
        self.period = rng.uniform(0.08, 0.3)
        self.angle = rng.uniform(0, np.pi)
        self._drawn: dict[tuple[int, int], Pixels] = {}

    def draw(self, height: int, width: int) -> Pixels:
        """A fresh copy to draw upon."""
        if (height, width) not in self._drawn:
            self._drawn = {(height, width): self._paint(height, width)}
        return self._drawn[height, width].copy()

    def _paint(self, height: int, width: int) -> Pixels:
        y, x = np.meshgrid(np.linspace(-0.5, 0.5, height), np.linspace(-0.5, 0.5, width), indexing="ij")
        x *= width / min(height, width)
        clouds = cv2.resize(self.clouds, (width, height), interpolation=cv2.INTER_CUBIC)
        shade = self.tilt[0] * x + self.tilt[1] * y + clouds
        turned = np.cos(self.angle) * x + np.sin(self.angle) * y
        if self.pattern == "stripes":
            shade = shade + self.contrast * np.sign(np.sin(2 * np.pi * turned / self.period))
        if self.pattern == "tiles":
            across = np.cos(self.angle) * y - np.sin(self.angle) * x
            shade = shade + self.contrast * np.sign(
                np.sin(2 * np.pi * turned / self.period) * np.sin(2 * np.pi * across / self.period)
            )
        painted: Pixels = np.clip(self.base + shade[..., None], 0, 255).astype(np.uint8)
        return painted


class Light:
    """Brightness that swells and fades."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.level = rng.uniform(0.75, 1.1)
        self.swing = rng.uniform(0.0, 0.18)
        self.period = rng.uniform(3.0, 12.0)
        self.phase = rng.uniform(0, 2 * np.pi)

    def shine(self, picture: Pixels, t: float) -> Pixels:
        gain = self.level * (1 + self.swing * np.sin(2 * np.pi * t / self.period + self.phase))
        return np.asarray(cv2.convertScaleAbs(picture, alpha=float(gain)), np.uint8)


class Grain:
    """Sensor noise, cut at a random place from one noise field so that it costs little."""

    FIELD = np.random.default_rng(0).normal(128, 40, (1024, 1024)).clip(0, 255).astype(np.uint8)

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = np.random.default_rng(rng.integers(2**32))
        self.strength = float(rng.uniform(0.02, 0.22))

    def add(self, picture: Pixels) -> Pixels:
        height, width = picture.shape[:2]
        need_rows, need_columns = -(-height // 1024), -(-width // 1024)
        field = np.tile(self.FIELD, (need_rows + 1, need_columns + 1)) if max(height, width) > 512 else self.FIELD
        top, left = self.rng.integers(field.shape[0] - height), self.rng.integers(field.shape[1] - width)
        grain = cv2.cvtColor(field[top : top + height, left : left + width], cv2.COLOR_GRAY2RGB)
        out = cv2.addWeighted(picture, 1.0, grain, self.strength, -128 * self.strength)
        return np.asarray(out, np.uint8)
