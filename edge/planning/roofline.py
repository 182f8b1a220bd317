"""How long a step takes on a device: a roofline model with two terms, fitted to two measurements of the step.

A step reads its weights once and does its operations. No device does either at its best rate, so

    seconds = passes * bytes / bandwidth  +  factor * operations / rate

where bytes and operations come from the model's shape (edge.models.costs), and bandwidth and rate are the device's
best. `passes` and `factor` are 1 for a perfect device; 3 means three times as long as the best it could do. With few
tokens the first term dominates (memory-bound), with many the second (compute-bound).

One measurement gives one equation and cannot tell the two unknowns apart. Two measurements of the same step at two
sizes give two, because operations grow with the number of tokens while the bytes of the weights stay the same.

Knows figures of reports; measures nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from edge.models.costs import Cost
from edge.planning.device import DeviceSpec
from quantize.variant import is_quantized

MIN_GROWTH = 1.5  # two sizes must differ in operations by this much before their difference says something


@dataclass(frozen=True, slots=True)
class RooflineFit:
    """The two coefficients of one kind of step."""

    passes: float  # as long as reading the step's bytes so many times at the device's best bandwidth
    factor: float  # and so many times as long as its operations at the device's best rate

    def seconds(self, cost: Cost, rate: float, bandwidth: float) -> float:
        """`rate` in operations per second, `bandwidth` in bytes per second: the best the device can do."""
        return self.passes * cost.nbytes / bandwidth + self.factor * cost.operations / rate

    @classmethod
    def through(cls, small: Measurement, large: Measurement, rate: float, bandwidth: float) -> Self:
        """The fit that gives exactly the two measured times.

        Noise can make a coefficient of the exact solution negative. Then it is 0, and the other one alone gives the
        larger step's time. Where the sizes are too alike to separate the terms, both coefficients are the same.
        """
        (a, b), (c, d) = small.ideal(rate, bandwidth), large.ideal(rate, bandwidth)
        determinant = a * d - b * c
        if d <= MIN_GROWTH * b or determinant <= 0:
            return cls(large.seconds / (c + d), large.seconds / (c + d))
        # Cramer's rule for a * passes + b * factor = small.seconds, c * passes + d * factor = large.seconds
        passes = (small.seconds * d - large.seconds * b) / determinant
        factor = (large.seconds * a - small.seconds * c) / determinant
        if passes <= 0:
            return cls(0, large.seconds / d)
        return cls(passes, factor) if factor > 0 else cls(large.seconds / c, 0)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One step of one size, as a profile measured it."""

    seconds: float
    cost: Cost

    @classmethod
    def of_stage(cls, row: Mapping[str, Any]) -> Self:
        """From a stage of a report. Raises KeyError for one whose cost is not known."""
        mean = row["total"] / row["n"]
        return cls(row["p50"], Cost(row["operations_per_second"] * mean, row["bytes_per_second"] * mean))

    def ideal(self, rate: float, bandwidth: float) -> tuple[float, float]:
        """Seconds to read, seconds to compute, both at the device's best."""
        return self.cost.nbytes / bandwidth, self.cost.operations / rate


@dataclass(frozen=True, slots=True)
class RooflineFits:
    """One fit for each kind of step that watching consists of."""

    vision: RooflineFit
    append: RooflineFit
    question: RooflineFit
    token: RooflineFit

    @classmethod
    def measured(cls, report: Mapping[str, Any], device: DeviceSpec) -> Self:
        """Fitted to a profile, which measures vision and append at two sizes of frames.

        Raises KeyError naming a stage that the report lacks.
        """
        stages = {row["name"]: Measurement.of_stage(row) for row in report["stages"] if "operations_per_second" in row}
        other = {row["name"]: Measurement.of_stage(row) for row in report["other_size"]["stages"]}
        rate, bandwidth = device.rate(is_quantized(report["model"]["variant"])), device.bandwidth

        def through(*measurements: Measurement) -> RooflineFit:
            small, large = sorted(measurements, key=lambda each: each.cost.operations)
            return RooflineFit.through(small, large, rate, bandwidth)

        return cls(
            vision=through(other["vision tower"], stages["vision tower"]),
            append=through(other["append"], stages["append"]),
            question=through(stages["token"], stages["question"]),  # a token is a question of one token
            token=through(stages["token"], stages["token"]),
        )


# Used where no profile of the device is given, by (kind of device, whether weights are quantized). On the CPU: of the
# 2B shape on two cores of a Xeon with AMX, int4 as in benchmarks/results/latency-short-cpu-xeon-2.json, bfloat16 as in
# peers-cpu.json, both from before the programs of edge/kernels/jit: for those it foretells too long times. For CUDA
# nothing has been measured yet: three times the ideal is an assumption.
DEFAULT_FITS = {
    ("cpu", True): RooflineFits(
        RooflineFit(6.5, 2.2), RooflineFit(43, 0.8), RooflineFit(1.7, 13), RooflineFit(2.2, 2.2)
    ),
    ("cpu", False): RooflineFits(
        RooflineFit(1.6, 1.6), RooflineFit(1.8, 1.8), RooflineFit(1.8, 1.8), RooflineFit(1.6, 1.6)
    ),
    ("cuda", True): RooflineFits(*[RooflineFit(3.0, 3.0)] * 4),
    ("cuda", False): RooflineFits(*[RooflineFit(3.0, 3.0)] * 4),
}
