"""Where an export gets the numbers of a layer from: a method that needs only the weight, or a finished calibration.

Both are called like `quantize.export.QuantizeLayer` and remember the error of every layer for the manifest.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from torch import Tensor

from quantize.calibration_store import CalibrationStore
from quantize.export import weight_error
from quantize.manifest import Calibration
from quantize.methods import Method
from quantize.methods.rtn import rtn
from quantize.quantized_weight import QuantizedWeight
from quantize.variant import Variant


class DataFreeQuantizer:
    """Quantizes layers as they are read, from the weights alone."""

    calibration: Calibration | None = None
    changed: Mapping[str, Tensor] = {}  # tensors that stand in place of the checkpoint's, by name

    def __init__(self, method: Method) -> None:
        self.method = method
        self.errors: dict[str, float] = {}

    def quantize(self, name: str, weight: Tensor, variant: Variant) -> QuantizedWeight:
        quantized = self.method(weight, variant)
        self.errors[name] = weight_error(weight, quantized)
        return quantized

    def remove_store(self) -> None:
        """There is none."""


class CalibratedQuantizer(DataFreeQuantizer):
    """Fetches the layers that calibration has quantized; what it does not reach (the head) is rounded to nearest."""

    def __init__(self, store: CalibrationStore, calibration: Calibration) -> None:
        super().__init__(rtn)
        self.store, self.calibration, self.changed = store, calibration, store.changed()
        self.errors = {name: error for name, (_, _, error) in store.layers.items()}

    def quantize(self, name: str, weight: Tensor, variant: Variant) -> QuantizedWeight:
        if name in self.store.layers:
            return self.store.load(name)
        return super().quantize(name, weight, variant)

    def remove_store(self) -> None:
        """For when everything is exported."""
        shutil.rmtree(self.store.folder)
