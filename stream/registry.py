"""A class by its name in a registry, or by its import path: "your.package:YourClass". Knows no class."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Collection, Mapping
from typing import Any


def find(name: str, registry: Mapping[str, str]) -> Callable[..., Any]:
    """Raises ValueError for a name that leads nowhere. Runs what it imports: never give it a stranger's text."""
    where = registry.get(name, name)
    if ":" not in where:
        known = ", ".join(sorted(registry))
        raise ValueError(
            f"{name!r} is none of {known}. For your own class write its import path: package.module:Class."
        )
    try:
        found: Callable[..., Any] = pkgutil.resolve_name(where)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{where} cannot be imported ({error}).") from None
    return found


def make(name: str, registry: Mapping[str, str], needs: Collection[str] = ()) -> Any:
    """One of that class, as it is without arguments. Raises ValueError where it wants some, or lacks one of `needs`."""
    found = find(name, registry)
    try:
        made = found()
    except TypeError as error:
        raise ValueError(f"{name} cannot be made without arguments ({error}).") from None
    if lacking := [need for need in needs if not hasattr(made, need)]:
        raise ValueError(f"{name} will not do here: it has no {', no '.join(lacking)}.")
    return made
