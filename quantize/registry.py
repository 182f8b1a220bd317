"""From a name that somebody wrote to what it leads to: a line of a registry, or a class or function of their own.

Knows no registry.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from typing import Any


def resolve(name: str, registry: Mapping[str, str], what: str, error: type[Exception]) -> Any:
    """What `name` leads to by the registry (name -> "module:object"), or as such a path itself.

    Raises `error`, which says `what` there is none of and which there are, for a name that leads to nothing callable.
    """
    try:
        found = pkgutil.resolve_name(registry.get(name, name))
        reason = "" if callable(found) else f"a {type(found).__name__} cannot be called"
    except (ValueError, ImportError, AttributeError) as caught:
        reason = str(caught)
    if reason:
        own = f"package.module:name for one of your own ({reason})"
        raise error(f"{name!r} is no {what}; there are {', '.join(registry)}, and {own}.") from None
    return found
