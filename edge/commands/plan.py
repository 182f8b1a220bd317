"""`edge plan`: from a device's data, or the report of a profile, to what it could watch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.commands.profile import make_target, read_report
from edge.errors import OptionRefused, ReportUnreadable
from edge.loading import RANDOM
from edge.planning.device import DEVICES, DeviceSpec, amount
from edge.planning.forecast import Forecast, Workload, make_forecast
from edge.planning.roofline import DEFAULT_FITS, RooflineFits
from quantize.variant import is_quantized

Amounts = Mapping[str, float | None]
"""Of a device: its memory, its bandwidth ...; None: nothing was said."""


@dataclass(frozen=True, slots=True)
class DeviceForecast:
    device: DeviceSpec
    forecast: Forecast
    model: str
    variant: str
    source: str  # of the roofline fits, for people
    is_measured: bool  # are the fits of this device?

    def to_dict(self) -> dict[str, Any]:
        about = {
            "device": self.device.name, "model": self.model, "variant": self.variant, "source": self.source,
            "measured": self.is_measured,
        }  # fmt: skip
        return {**about, **self.forecast.to_dict()}


def read_amounts(texts: Mapping[str, str | None]) -> Amounts:
    """Of a device, as people write them. Raises ValueError for those that mean nothing."""
    return {name: None if text is None else amount(text, UNIT[name]) for name, text in texts.items()}


def forecast_for(
    model: str | None,
    variant: str | None,
    device: str | None,
    like: Path | None,
    amounts: Amounts,
    workload: Workload,
) -> DeviceForecast:
    """Without a model that of the report, or random:2b. Nothing of this machine's own devices is asked or touched.

    Raises OptionRefused, ReportUnreadable, ModelError, BadVariant.
    """
    report = None if like is None else read_report(like)
    if report is not None and model is None:
        model, variant = report["model"]["name"], variant or report["model"].get("asked")
    model = model or f"{RANDOM}2b"
    if report is not None:
        spec = DeviceSpec.measured(report, amounts["memory"] or report["memory"]["available"])
    else:
        spec = _named(device, amounts)
    target = make_target(model, variant, spec.kind, "auto", elsewhere=True)
    _check_size(workload.size, target.costs.cell)
    if report is not None:
        fits, source = _fits(report, spec), f"from {like}, measured with {_measured_with(report)}"
        if is_quantized(report["model"]["variant"]) != target.is_quantized:
            source += "; these are other weights, so expect it to be far off"
    else:
        fits, source = DEFAULT_FITS[spec.kind, target.is_quantized], SOURCE[spec.kind]
    spec = spec.changed(amounts["memory"], amounts["bandwidth"], amounts["tflops"], amounts["int8_tops"])
    forecast = make_forecast(target.costs, spec, fits, workload, target.is_quantized)
    return DeviceForecast(spec, forecast, model, target.variant, source, report is not None)


def _check_size(size: tuple[int, int], cell: int) -> None:
    if any(side % cell for side in size):
        raise OptionRefused(f"{size[1]}x{size[0]}: the model takes frames whose sides are multiples of {cell}.")


def _measured_with(report: dict[str, Any]) -> str:
    return f"{report['model']['name']}, {report['model']['variant']}"


INT8_TO_BF16 = 2  # operations a second, in every tensor core so far: what is assumed where only one is given
SOURCE = {
    "cpu": "as on the two cores of benchmarks/results/latency-short-cpu-xeon-2.json",
    "cuda": "assumed: no GPU has been measured yet",
}
UNIT = {"memory": "B", "bandwidth": "B/s", "tflops": "FLOPS", "int8_tops": "OPS"}


def _named(device: str | None, given: Amounts) -> DeviceSpec:
    if device is None:
        missing = [name for name in ("memory", "bandwidth") if given[name] is None]
        if given["tflops"] is given["int8_tops"] is None:
            missing.append("tflops")
        if missing:
            options = ", ".join(f"--{name}" for name in missing)
            raise OptionRefused(f"Which device? Give --device, --like, or {options} as well.")
        return DeviceSpec("this device", "cuda", 0, 0, (given["int8_tops"] or 0) / INT8_TO_BF16)
    if device not in DEVICES:
        raise OptionRefused(
            f"{device!r} is not on file; there are {', '.join(DEVICES)}. Or say what it is: --memory 8GB ..."
        )
    return DEVICES[device]


def _fits(report: dict[str, Any], device: DeviceSpec) -> RooflineFits:
    try:
        return RooflineFits.measured(report, device)
    except KeyError as error:
        raise ReportUnreadable(f"the profile lacks {error}; it did not come to its end.") from None
