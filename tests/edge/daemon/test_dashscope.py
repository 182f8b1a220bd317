"""DashScope's form of chat."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from edge.daemon.dashscope import PATH
from tests.edge.daemon.test_ollama import picture

TEXT = {"text": "Describe the video."}


def ask(http: httpx.Client, *content: Any, sse: bool = False, **parameters: Any) -> httpx.Response:
    asked = {"model": "pocket", "input": {"messages": [{"role": "user", "content": [*content, TEXT]}]}}
    headers = {"X-DashScope-SSE": "enable"} if sse else {}
    return http.post(PATH, json={**asked, "parameters": parameters}, headers=headers)


def said(answer: dict[str, Any]) -> str:
    text = answer["output"]["choices"][0]["message"]["content"][0]["text"]
    assert isinstance(text, str)
    return text


def streamed(http: httpx.Client, **parameters: Any) -> list[dict[str, Any]]:
    lines = ask(http, sse=True, **parameters).text.splitlines()
    return [json.loads(line.removeprefix("data:")) for line in lines if line.startswith("data:")]


def test_a_picture_is_seen_and_its_tokens_are_counted_apart(http: httpx.Client) -> None:
    answer = ask(http, {"image": f"data:image/png;base64,{picture('PNG')}"}, max_tokens=6).json()
    used = answer["usage"]
    assert said(answer) and answer["request_id"] and answer["output"]["choices"][0]["finish_reason"] == "length"
    assert used["image_tokens"] == 16 and used["output_tokens"] == 6
    assert used["input_tokens"] == used["image_tokens"] + used["input_tokens_details"]["text_tokens"]


def test_pieces_alone_or_all_that_was_said_so_far(http: httpx.Client) -> None:
    whole = said(ask(http, max_tokens=12).json())
    so_far = streamed(http, max_tokens=12)
    assert said(so_far[-1]) == whole and so_far[-1]["output"]["choices"][0]["finish_reason"] == "length"
    assert all(whole.startswith(said(each)) for each in so_far)
    assert {each["output"]["choices"][0]["finish_reason"] for each in so_far[:-1]} == {"null"}
    pieces = streamed(http, max_tokens=12, incremental_output=True)
    assert "".join(map(said, pieces)) == whole


@pytest.mark.parametrize(
    "content, parameters, word",
    [
        ({"audio": "data:audio/wav;base64,AA"}, {}, "messages[0].content[0]"),
        ({"image": "http://10.0.0.1/a.png"}, {}, "10.0.0.1"),
        (TEXT, {"top_k": 3}, "top_k"),
        (TEXT, {"max_tokens": 0}, "max_tokens"),
        (TEXT, {"result_format": "text"}, "result_format"),
    ],
)
def test_what_is_not_understood_is_refused_by_its_name(
    http: httpx.Client, content: Any, parameters: dict[str, Any], word: str
) -> None:
    response = ask(http, content, **parameters)
    assert 400 <= response.status_code < 500 and word in response.json()["error"]["message"]
