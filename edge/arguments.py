"""What programs hand over is looked at where they do so: a wrong type is named there, and not found deep inside."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from types import NoneType

from edge.errors import BadArgument


def require(name: str, value: object, kinds: type | tuple[type, ...], advice: str) -> None:
    """Raises BadArgument where `value` is of none of `kinds`; `advice` says what to give, as a sentence.

    >>> require("sampling", {"temperature": 1}, str, "Give a text.")
    Traceback (most recent call last):
    ...
    edge.errors.BadArgument: sampling is a dict. Give a text.
    """
    if not isinstance(value, kinds):
        raise BadArgument(f"{name} is {described(value)}. {advice}")


def check_shape(name: str, value: object, needs: Sequence[str], advice: str) -> None:
    """Raises BadArgument where `value` lacks one of the attributes."""
    if lacking := [need for need in needs if not hasattr(value, need)]:
        raise BadArgument(f"{name} is {described(value)}, and has no {', no '.join(lacking)}. {advice}")


def number(name: str, value: object) -> None:
    """Raises BadArgument for what is neither a number nor None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Real, NoneType)):
        raise BadArgument(f"{name} is {described(value)}. Give a number.")


def texts(name: str, value: str | Sequence[str] | None, advice: str) -> list[str]:
    """One text or several as a list; none for None. Raises BadArgument."""
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    require(name, value, (list, tuple), advice)
    for item in value:
        require(f"a part of {name}", item, str, advice)
    return list(value)


def described(value: object) -> str:
    """Its type in words, and the shape of an array."""
    if value is None:
        return "None"
    shape = getattr(value, "shape", None)
    kind = type(value).__name__
    article = "an" if kind[0] in "aeiouAEIO" else "a"
    return f"{article} {kind}" if shape is None else f"an array of shape {tuple(shape)}"
