"""Examples that cannot be used: each is told of as it is met, and how many they were at the end."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge.cli.terminal import notes
from edge.examples.example import Unusable
from stream.printable import printable


@dataclass
class LeftOut:
    """Called with each of them."""

    found: list[Unusable] = field(default_factory=list)

    def __call__(self, unusable: Unusable) -> None:
        self.found.append(unusable)
        notes.print(printable(str(unusable)), style="yellow", markup=False, soft_wrap=True)

    def tell_count(self, num_used: int) -> None:
        if self.found:
            notes.print(f"{num_used} examples were used, {len(self.found)} left out (above)", style="yellow")
