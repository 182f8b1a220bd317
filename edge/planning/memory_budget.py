"""How much memory a stream takes, from shapes: known before anything is loaded."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from edge.errors import DoesNotFit
from edge.models.costs import Costs

TEXT_TOKENS = 384  # room for the prompt's text, a question and an answer (256 + 128)
OVERHEAD = {"cpu": 450 << 20, "cuda": 700 << 20}  # bytes: Python and PyTorch; a CUDA context and cuBLAS's workspace
# Bytes that allocators retain between steps: on a CPU what glibc's heap keeps, and a matrix unpacked for a product.
RETAINED = {"cpu": (64 << 20) + (64 << 20), "cuda": 0}


@dataclass(frozen=True, slots=True)
class MemoryBudget:
    """Bytes."""

    weights: int
    kv: int  # keys and values of the window, a question and an answer
    embeddings: int  # of the window's groups, kept to fill the cache again when the window slides
    activations: int  # at the worst moment, with what allocators keep of earlier ones
    overhead: int

    @property
    def total(self) -> int:
        return self.weights + self.kv + self.embeddings + self.activations + self.overhead

    def to_dict(self) -> dict[str, int]:
        return {**asdict(self), "total": self.total}

    def check(self, available: int, what: str) -> None:
        """Raises DoesNotFit with the number of bytes short."""
        if self.total > available:
            raise DoesNotFit(
                f"{what} needs {_mb(self.total)} ({_mb(self.weights)} of weights), and {_mb(available)} are free: "
                f"{self.total - available} bytes short. Choose a smaller variant, a shorter window or smaller pictures."
            )


def predict_memory(
    costs: Costs, size: tuple[int, int], window: int, overhead: int, streams: int = 1, retained: int = 0
) -> MemoryBudget:
    """Of `streams` streams with windows of so many groups of two frames, (height, width), for one set of weights."""
    video = window * costs.tokens(*size)
    return MemoryBudget(
        weights=costs.weights.nbytes,
        kv=streams * (video + TEXT_TOKENS) * costs.kv_bytes_per_token,
        embeddings=streams * video * costs.hidden_size * costs.itemsize,
        activations=costs.activation_bytes(*size) + retained,
        overhead=overhead,
    )


def _mb(nbytes: int) -> str:
    return f"{nbytes / 1e6:.0f} MB"
