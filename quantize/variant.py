"""How the weights of one matrix are stored: bits, group size, zero points. Not how the numbers are chosen."""

from __future__ import annotations

import re
from dataclasses import dataclass

from quantize.errors import BadVariant, DoesNotDivide

BITS = (4, 8)
GROUPS = (32, 64, 128, None)

SHORT = ("int4", "int8")  # as people say it, of a whole model
SPELLING = re.compile(r"int(?P<bits>\d+)-(?:g(?P<group>\d+)|channel)(?P<asymmetric>-asym)?")


def is_quantized(stored: str) -> bool:
    """Whether what a model's weights are stored as is a variant, or several, and no plain number type.

    >>> is_quantized("int4-g128+int8-channel"), is_quantized("int4"), is_quantized("bfloat16")
    (True, True, False)
    """
    return all(part in SHORT or SPELLING.fullmatch(part) for part in stored.split("+"))


@dataclass(frozen=True, slots=True)
class Variant:
    """Whole numbers of `bits` bits, with one scale and one zero point for every `group` weights of a row.

    >>> Variant.parse("int4-g128")
    Variant(bits=4, group=128, symmetric=True)
    >>> str(Variant(8, None, symmetric=False))
    'int8-channel-asym'
    """

    bits: int
    group: int | None = 128  # None: the whole row
    symmetric: bool = True  # every zero point is the middle of the range, and need not be stored

    def __post_init__(self) -> None:
        if self.bits not in BITS:
            raise BadVariant(f"{self.bits} bits; this version stores weights in 4 or 8.")
        if self.group not in GROUPS:
            raise BadVariant(f"groups of {self.group}; choose 32, 64, 128 or the whole channel.")

    def __str__(self) -> str:
        group = "channel" if self.group is None else f"g{self.group}"
        return f"int{self.bits}-{group}{'' if self.symmetric else '-asym'}"

    @classmethod
    def parse(cls, text: str) -> Variant:
        """The inverse of `str`. Raises BadVariant."""
        match = SPELLING.fullmatch(text)
        if match is None:
            raise BadVariant(f"{text!r} is no variant; write it like int4-g128, int8-channel or int4-g64-asym.")
        group = match["group"]
        return cls(int(match["bits"]), int(group) if group else None, match["asymmetric"] is None)

    @property
    def top(self) -> int:
        """The largest stored number."""
        return (1 << self.bits) - 1

    @property
    def middle(self) -> int:
        """The stored number that means zero when symmetric."""
        return 1 << (self.bits - 1)

    def nbytes(self, n: int, k: int) -> int:
        """Bytes of an (n, k) matrix: its numbers, and for each group a scale of two bytes, and a zero point of one byte
        where it need not be the middle."""
        return n * k * self.bits // 8 + n * self.num_groups(k) * (2 if self.symmetric else 3)

    def num_groups(self, width: int, name: str = "a matrix") -> int:
        """Groups in a row of `width` weights. Raises DoesNotDivide."""
        if self.group is None:
            return 1
        if width % self.group:
            raise DoesNotDivide(
                f"{name} is {width} wide, which groups of {self.group} do not divide. "
                "Choose a smaller group, the whole channel, or keep this layer as it is."
            )
        return width // self.group
