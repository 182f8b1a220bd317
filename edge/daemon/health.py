"""`/healthz`, `/readyz` and `/metrics`: for supervisors and for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from edge.daemon.service import Service


def health_routes(service: Service) -> APIRouter:
    routes = APIRouter(tags=["health"])
    registry = CollectorRegistry()
    registry.register(Numbers(service))

    @routes.get("/healthz")
    def healthz() -> Response:
        """Whether the daemon lives: 503 says that it should be started anew."""
        if service.is_alive:
            return JSONResponse({"status": "alive"})
        return JSONResponse({"status": "dead", "error": "the engine's thread has ended; see the log"}, 503)

    @routes.get("/readyz")
    def readyz() -> Response:
        """Whether answers advance, camera by camera."""
        fresh = {name: service.is_fresh(name) for name in service.names()}
        is_ready = service.is_alive and all(fresh.values())
        said: dict[str, Any] = {"status": "ready" if is_ready else "not ready", "streams": fresh}
        return JSONResponse(said, 200 if is_ready else 503)

    @routes.get("/metrics", response_class=Response)
    def metrics() -> Response:
        return Response(generate_latest(registry), media_type="text/plain; version=0.0.4")

    return routes


class Numbers:
    """Asked at each scrape. Labels are the cameras' names and known reasons, so there are never many."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        age = GaugeMetricFamily(
            "edge_answer_age_seconds", "Since the newest frame that was spoken of.", labels=["stream"]
        )
        watched = GaugeMetricFamily("edge_stream_watched", "1: watched; 0: tried again later.", labels=["stream"])
        frames = CounterMetricFamily("edge_frames", "By what became of them.", labels=["stream", "outcome"])
        events = CounterMetricFamily("edge_answers", "Given in this session.", labels=["stream"])
        for name in self._service.names():
            status = self._service.status(name)
            watched.add_metric([name], float(status["state"] == "watching"))
            if status["answer_age"] is not None:
                age.add_metric([name], status["answer_age"])
            if (counts := status["counts"]) is not None:
                events.add_metric([name], counts["events"])
                frames.add_metric([name, "analysed"], counts["analysed"])
                for reason, number in counts["dropped"].items():
                    frames.add_metric([name, reason], number)
        yield from (age, watched, frames, events)
