"""Chat in Ollama's form."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

QUESTION = {"role": "user", "content": "Describe the picture."}


def picture(kind: str = "PNG") -> str:
    encoded = io.BytesIO()
    Image.fromarray(np.full((112, 112, 3), 200, np.uint8)).save(encoded, kind)
    return base64.b64encode(encoded.getvalue()).decode()


def chat(http: httpx.Client, **asked: Any) -> httpx.Response:
    return http.post("/api/chat", json={"model": "pocket", "messages": [QUESTION], **asked})


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_pictures_are_seen_and_counted(http: httpx.Client, kind: str) -> None:
    asked = {"messages": [{**QUESTION, "images": [picture(kind)]}], "options": {"num_predict": 6, "num_ctx": 4096}}
    answer = chat(http, stream=False, **asked).json()
    assert answer["done"] and answer["message"]["role"] == "assistant" and answer["message"]["content"]
    assert answer["prompt_eval_count"] > 16 and 1 <= answer["eval_count"] <= 6


def test_pieces_are_the_whole_answer(http: httpx.Client) -> None:
    options = {"num_predict": 12, "temperature": 0}
    whole = chat(http, stream=False, options=options).json()
    lines = [json.loads(line) for line in chat(http, options=options).text.splitlines()]
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert "".join(line["message"]["content"] for line in lines) == whole["message"]["content"]
    assert lines[-1]["eval_count"] == whole["eval_count"]


@pytest.mark.parametrize("form", ["json", {"type": "object", "required": ["a"], "properties": {"a": {"const": 1}}}])
def test_an_answer_is_json_where_that_is_asked_for(http: httpx.Client, form: object) -> None:
    found = json.loads(chat(http, stream=False, format=form, options={"num_predict": 40}).json()["message"]["content"])
    assert isinstance(found, dict) and (form == "json" or found["a"] == 1)


def test_the_model_is_listed(http: httpx.Client) -> None:
    assert [model["name"] for model in http.get("/api/tags").json()["models"]] == ["pocket"]
    assert http.get("/api/version").json()["version"]


@pytest.mark.parametrize(
    "asked, word",
    [
        ({"options": {"mirostat": 1}}, "mirostat"),
        ({"format": "xml"}, "format"),
        ({"format": {"type": "odd"}}, "odd"),
        ({"tools": [{}]}, "tools"),
        ({"messages": [{**QUESTION, "images": ["not base64"]}]}, "base64"),
        ({"messages": [{**QUESTION, "images": ["/9j/broken"]}]}, "messages[0]"),
        ({"messages": [{**QUESTION, "video": "x"}]}, "video"),
        ({"messages": []}, "messages"),
        ({"options": {"top_p": 7}}, "top_p"),
        ({"options": {"seed": "many"}}, "many"),
    ],
)
def test_what_is_not_understood_is_refused_by_its_name(http: httpx.Client, asked: dict[str, Any], word: str) -> None:
    response = chat(http, stream=False, **asked)
    assert 400 <= response.status_code < 500
    assert word in response.json()["error"]["message"]
