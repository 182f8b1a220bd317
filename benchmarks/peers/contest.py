"""Who is measured, in which order: round one of every engine, then round two of every engine.

A machine that is slower for ten minutes is then slower for all of them. Knows neither tables nor files of results.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.known_quality import known_quality
from benchmarks.peers import PEERS
from benchmarks.peers.adapter import REPETITIONS, Adapter, Unavailable
from benchmarks.peers.launch import Failed, Finished, launch
from benchmarks.peers.rows import Measured, Row
from benchmarks.peers.workload import Run

Interpreter = Callable[[type[Adapter]], Path]
"""The Python that has an adapter's engine. Raises Unavailable."""

Say = Callable[[str], None]


@dataclass(slots=True)
class Contestant:
    name: str
    module: str
    adapter: type[Adapter]
    python: Path | None = None
    measured: list[Measured] = field(default_factory=list)
    failure: str = ""  # why it is out

    @classmethod
    def enter(cls, name: str) -> Contestant:
        """By a name of the registry, or as "your.package:YourAdapter"."""
        path = PEERS.get(name, name)
        return cls(name, path.partition(":")[0], pkgutil.resolve_name(path))

    def row(self) -> Row:
        quality = known_quality(self.adapter.grid)
        if self.measured:
            return Row.of(self.name, self.measured, quality, self.failure)
        return Row(self.name, self.adapter.engine, self.adapter.variant, quality, unavailable=self.failure)


@dataclass(frozen=True, slots=True)
class Contest:
    model: Path
    interpreter: Interpreter
    bandwidth: Callable[[], float]
    logs: Path
    limit: float  # seconds for a run
    convert_limit: float
    say: Say
    repetitions: int = REPETITIONS

    def hold(self, names: Sequence[str], rounds: int) -> list[Row]:
        contestants = [Contestant.enter(name) for name in names]
        for one in contestants:
            self._attempt(one, self._prepare)
        for number in range(rounds):
            for one in contestants:
                if not one.failure:
                    self.say(f"round {number + 1} of {rounds}: {one.name}")
                    self._attempt(one, partial(self._measure, number=number))
        return [one.row() for one in contestants]

    def _attempt(self, one: Contestant, step: Callable[[Contestant], None]) -> None:
        """A contestant that fails is out, and keeps what was measured of it."""
        try:
            step(one)
        except (Unavailable, Failed) as reason:
            one.failure = str(reason)
            self.say(f"{one.name}: {reason}")

    def _prepare(self, one: Contestant) -> None:
        self.say(f"{one.name}: environment and conversion, if they are not there")
        one.python = self.interpreter(one.adapter)
        self._launch(one, "convert", self.convert_limit, "--convert")

    def _measure(self, one: Contestant, number: int) -> None:
        bandwidth = self.bandwidth()
        first = str(number * self.repetitions)
        options = ["--repetitions", str(self.repetitions), "--first", first]
        finished = self._launch(one, "run", self.limit, *options)
        try:
            run = Run.from_json(finished.last_line)
        except ValueError as error:
            raise Failed(f"its last line is no result: {error}") from None
        one.measured.append(Measured(run, finished.others, bandwidth))
        self.say(f"  {_summary(run)}, others {finished.others:.0%}, read bandwidth {bandwidth:.0f} GB/s")

    def _launch(self, one: Contestant, what: str, limit: float, *options: str) -> Finished:
        log = self.logs / f"{one.name.replace(':', '-')}-{what}.log"
        return launch([str(one.python), "-m", one.module, str(self.model), *options], limit, log)


def _summary(run: Run) -> str:
    last = run.times[-1]
    first = f"prefill {last.prefill_ms:.0f} ms" if last.ttft_ms is None else f"first token {last.ttft_ms:.0f} ms"
    return f"{first}, {last.decode_tps:.1f} tokens/s, {run.peak_rss_mib:.0f} MiB"
