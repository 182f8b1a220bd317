"""OpenAI's own client, as its users have it."""

from __future__ import annotations

import pytest

from edge.daemon.service import Service
from tests.edge.daemon.conftest import Daemon

openai = pytest.importorskip("openai", reason="openai's client is not installed: pip install openai")


def test_it_lists_asks_streams_and_looks_at_a_live_camera(daemon: Daemon, answered: Service) -> None:
    client = openai.OpenAI(base_url=f"{daemon.address}/v1", api_key="none")
    assert [model.id for model in client.models.list()] == ["pocket"]
    question = [{"role": "user", "content": "Describe the video."}]
    whole = client.chat.completions.create(model="pocket", messages=question, max_tokens=6)
    assert whole.choices[0].finish_reason == "length" and whole.usage.completion_tokens == 6
    pieces = client.chat.completions.create(model="pocket", messages=question, max_tokens=6, stream=True)
    said = "".join(piece.choices[0].delta.content or "" for piece in pieces)
    assert said == whole.choices[0].message.content
    parts = [
        {"type": "video_url", "video_url": {"url": "stream://front"}},
        {"type": "text", "text": "Describe the video."},
    ]
    live = client.chat.completions.create(model="pocket", messages=[{"role": "user", "content": parts}])
    assert live.choices[0].message.content


def test_a_refusal_is_its_own_error(daemon: Daemon) -> None:
    client = openai.OpenAI(base_url=f"{daemon.address}/v1", api_key="none", max_retries=0)
    with pytest.raises(openai.BadRequestError, match="n is not known"):
        client.chat.completions.create(model="pocket", messages=[{"role": "user", "content": "Hello"}], n=2)
