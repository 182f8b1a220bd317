"""A configuration to a daemon's cameras, also while it runs: only those that changed notice."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from edge.config.keys import Camera, Config
from edge.daemon.service import Service
from edge.errors import BadConfig

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Changes:
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()  # watched anew
    waiting: tuple[str, ...] = ()  # "model", "server": what goes for the next start only

    def __str__(self) -> str:
        parts = {"added": self.added, "removed": self.removed, "changed": self.changed, "next start": self.waiting}
        return "; ".join(f"{word}: {', '.join(names)}" for word, names in parts.items() if names) or "nothing changed"


def changes(old: Config, new: Config) -> Changes:
    before, after = _watched(old), _watched(new)
    return Changes(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed=tuple(name for name in after if name in before and after[name] != before[name]),
        waiting=tuple(part for part in ("model", "server", "store") if getattr(old, part) != getattr(new, part)),
    )


def apply(service: Service, old: Config, new: Config) -> Changes:
    """Raises BadConfig for a camera that can never work, and then has changed nothing."""
    found, cameras = changes(old, new), _watched(new)
    wanted = {}
    for name in (*found.added, *found.changed):
        try:
            wanted[name] = cameras[name].wanted()
        except Exception as error:
            raise BadConfig(f"cameras.{name}: {error}") from error
    for name in (*found.removed, *found.changed):
        service.remove(name)
    for name, its in wanted.items():
        service.add(name, its)
    log.info("configuration: %s", found)
    return found


def _watched(config: Config) -> dict[str, Camera]:
    return {name: camera for name, camera in config.cameras.items() if camera.enabled}
