"""What every test may use: where test data lies, and a torchvision that lets transformers import."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# A busy machine is slow, which is no failure; and the same examples everywhere, so that a red run can be repeated.
settings.register_profile("everywhere", deadline=None, derandomize=True)
settings.load_profile("everywhere")

# Without a GPU Triton's programs run under its interpreter. Triton reads this when it is imported, which other
# libraries do of their own accord, so it stands before any test's imports.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

REPOSITORY = Path(__file__).parents[1]
SHARED = REPOSITORY.parent / "shared"


def _declare_missing_operators() -> None:
    """A torchvision whose C extension does not load cannot be imported until its two operators are declared."""
    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None:
        return
    try:
        for extension in Path(found.origin).parent.glob("_C*"):
            torch.ops.load_library(str(extension))
            return
    except OSError:
        pass
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _KEEP.append(library)  # its operators live as long as it does


_KEEP: list[torch.library.Library] = []
_declare_missing_operators()


@pytest.fixture(scope="session")
def clips() -> Path:
    """The folder of real camera clips."""
    folder = SHARED / "data" / "clips"
    if not folder.is_dir():
        pytest.skip("the real camera clips are not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def qwen2_tokenizer() -> Path:
    """The folder of the real Qwen2 tokenizer."""
    folder = SHARED / "data" / "qwen2-tokenizer"
    if not folder.is_dir():
        pytest.skip("the real Qwen2 tokenizer is not beside this checkout")
    return folder
