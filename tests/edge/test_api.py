from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edge
from edge.api import Model
from edge.engine.sampling import Sampling
from edge.errors import AccessDenied
from edge.media.access import UNTRUSTED

SHORT = Sampling(max_tokens=3)


@pytest.fixture(scope="module")
def model() -> Model:
    return edge.load("pocket", device="cpu")


@pytest.fixture
def messages(tmp_path: Path) -> list[dict]:
    file = tmp_path / "picture.png"
    Image.fromarray(np.full((112, 112, 3), 90, np.uint8)).save(file)
    return [{"role": "user", "content": [{"image": str(file)}, {"text": "Describe the picture."}]}]


def test_messages_are_read_and_answered(model: Model, messages: list[dict]) -> None:
    reply = model.chat(messages, sampling=SHORT)

    assert reply.read() and reply.usage.visual_tokens == 16


def test_a_strangers_messages_name_no_files(model: Model, messages: list[dict]) -> None:
    with pytest.raises(AccessDenied, match=r"picture\.png"):
        model.chat(messages, sampling=SHORT, access=UNTRUSTED)


def test_a_model_has_what_its_engine_has(model: Model) -> None:
    assert (model.name, model.variant, model.limits) == ("pocket", model.engine.variant, model.engine.limits)
    assert model.open(2) is not None
