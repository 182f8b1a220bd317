"""The daemon over HTTP, with a real server, a real model and a camera that is drawn."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from edge.daemon.service import Service
from stream.event import Event

QUESTION = [{"role": "user", "content": "Is there a red circle?"}]


def picture() -> dict[str, Any]:
    encoded = io.BytesIO()
    Image.fromarray(np.full((112, 112, 3), 200, np.uint8)).save(encoded, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(encoded.getvalue()).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def shown(address: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": address}}]}]}


def chat(http: httpx.Client, **asked: Any) -> httpx.Response:
    return http.post("/v1/chat/completions", json={"messages": QUESTION, **asked})


def test_a_conversation_is_answered_in_openais_form(http: httpx.Client) -> None:
    content = [picture(), {"type": "text", "text": "Describe the picture."}]
    answer = chat(http, messages=[{"role": "user", "content": content}], max_tokens=8).json()
    assert answer["object"] == "chat.completion" and answer["model"] == "pocket"
    assert answer["choices"][0]["message"]["content"]
    assert answer["choices"][0]["finish_reason"] in ("stop", "length")
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens_details"]["visual_tokens"] == 16


def test_a_streamed_answer_is_the_whole_one_in_pieces(http: httpx.Client) -> None:
    whole = chat(http, max_tokens=12).json()
    lines = [
        line.removeprefix("data: ")
        for line in chat(http, max_tokens=12, stream=True, stream_options={"include_usage": True}).text.split("\n\n")
        if line
    ]
    assert lines[-1] == "[DONE]"
    pieces = [json.loads(line) for line in lines[:-1]]
    text = "".join(choice["delta"].get("content", "") for piece in pieces for choice in piece["choices"])
    assert text == whole["choices"][0]["message"]["content"]
    assert pieces[-1]["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]
    assert len({piece["id"] for piece in pieces}) == 1


@pytest.mark.parametrize(
    "asked, word",
    [
        ({"n": 2}, "n is not known"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "odd"}}}}, "odd"),
        ({"response_format": {"type": "json_object"}, "max_tokens": 1}, "room for 1"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, "audio"),
        ({"messages": [{"role": "robot", "content": "hello"}]}, "robot"),
        (shown("http://10.0.0.1/a.png"), "10.0.0.1"),
        (shown("file:///etc/passwd"), "passwd"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"stop": [""]}, "stop"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused_by_its_name(http: httpx.Client, asked: dict[str, Any], word: str) -> None:
    response = chat(http, **asked)
    assert 400 <= response.status_code < 500
    assert word in response.json()["error"]["message"]


def test_an_answer_is_json_where_that_is_asked_for(http: httpx.Client) -> None:
    schema = {"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]}
    asked = {"type": "json_schema", "json_schema": {"name": "counted", "schema": schema, "strict": True}}
    answer = chat(http, response_format=asked, max_tokens=40).json()
    assert isinstance(json.loads(answer["choices"][0]["message"]["content"])["count"], int)
    answer = chat(http, response_format={"type": "json_object"}, max_tokens=40).json()
    assert isinstance(json.loads(answer["choices"][0]["message"]["content"]), dict)
    assert chat(http, response_format={"type": "text"}, max_tokens=1).status_code == 200


def test_fields_that_change_nothing_are_taken(http: httpx.Client) -> None:
    assert chat(http, max_tokens=1, n=1, user="me", frequency_penalty=0, tools=[]).status_code == 200


def test_a_live_camera_is_asked_as_a_video(http: httpx.Client, answered: Service) -> None:
    video = {"type": "video_url", "video_url": {"url": "stream://front"}}
    messages = [{"role": "user", "content": [video, {"type": "text", "text": "Describe the video."}]}]
    answer = chat(http, messages=messages).json()
    assert answer["choices"][0]["message"]["content"] == answer["event"]["text"]
    assert answer["event"]["stream"] == "front" and answer["event"]["age"] >= 0
    streamed = chat(http, messages=messages, stream=True).text
    assert streamed.endswith("data: [DONE]\n\n")
    refused = chat(http, messages=messages, response_format={"type": "json_object"})
    assert refused.status_code == 400 and "response_format" in refused.json()["error"]["message"]
    beside = [{"role": "user", "content": [video, picture(), {"type": "text", "text": "Which is it?"}]}]
    assert chat(http, messages=beside).status_code == 400
    assert (
        chat(
            http, messages=[{"role": "user", "content": [{**video, "video_url": "stream://nobody"}, {"text": "Who?"}]}]
        ).status_code
        == 404
    )


def test_a_camera_is_asked_what_it_shows_now(http: httpx.Client, answered: Service) -> None:
    said = http.post("/v1/streams/front/ask", json={"question": "Is there a red star?", "yes_or_no": True}).json()
    event = Event.from_dict(said)
    assert event.answer in ("yes", "no") and event.p_yes is not None and event.seq == -1
    assert http.post("/v1/streams/front/ask", json={"question": ""}).status_code == 422
    assert http.post("/v1/streams/nobody/ask", json={"question": "Who?"}).status_code == 404


def test_the_snapshot_is_of_the_answer_that_it_names(http: httpx.Client, answered: Service) -> None:
    response = http.get("/v1/streams/front/snapshot.jpg")
    assert Image.open(io.BytesIO(response.content)).width >= 448
    assert response.headers["x-event-id"] and response.headers["cache-control"] == "no-store"


def test_live_pictures_come_one_after_the_other(http: httpx.Client, answered: Service) -> None:
    with http.stream("GET", "/v1/streams/front/live.mjpg") as response:
        assert "boundary=frame" in response.headers["content-type"]
        received = b""
        for part in response.iter_raw():
            received += part
            if received.count(b"--frame\r\n") == 2:
                break
    assert received.count(b"\xff\xd8\xff") >= 1


def test_events_are_told_and_gone_on_with(http: httpx.Client, answered: Service) -> None:
    def some(count: int, **headers: str) -> list[str]:
        ids: list[str] = []
        with http.stream("GET", "/v1/streams/front/events", headers=headers) as response:
            for line in response.iter_lines():
                if line.startswith("id: "):
                    ids.append(line.removeprefix("id: "))
                if len(ids) == count:
                    return ids
        return ids

    first, second, third = some(3)
    assert some(1, **{"last-event-id": first})[0] == second
    assert some(1, **{"last-event-id": second})[0] == third


def test_stored_events_are_searched_and_come_before_new_ones(http: httpx.Client, answered: Service) -> None:
    found = http.get("/v1/events/search", params={"stream": "front", "task": "ask", "limit": 1}).json()
    assert len(found) == 1 and found[0]["task"] == "ask"
    assert http.get("/v1/events/search", params={"text": "nobody says this"}).json() == []
    assert http.get("/v1/events/search", params={"limit": 0}).status_code == 422
    assert answered.store is not None
    kept = [event["id"] for event in answered.store.after("")]
    with http.stream("GET", "/v1/events", params={"after": kept[0]}) as response:
        told = (line.removeprefix("id: ") for line in response.iter_lines() if line.startswith("id: "))
        ids = [next(told) for _ in range(len(kept) + 2)]
    assert ids[: len(kept) - 1] == kept[1:]
    assert len(set(ids)) == len(ids) and ids == sorted(ids)


def test_cameras_are_added_listed_and_removed(http: httpx.Client) -> None:
    new = {"name": "back", "source": "synthetic://?seed=4&live=1", "ground": ["red square"]}
    assert http.post("/v1/streams", json=new).status_code == 201
    assert http.post("/v1/streams", json=new).status_code == 409
    assert {stream["name"] for stream in http.get("/v1/streams").json()} == {"front", "back"}
    assert http.post("/v1/streams/back/pause").json()["state"] == "paused"
    assert http.post("/v1/streams/back/resume").json()["state"] == "watching"
    changed = http.put("/v1/streams/back", json={"source": "synthetic://?live=1&seed=5", "ask": ["Is it red?"]})
    assert changed.json()["source"] == "synthetic://?live=1&seed=5"
    assert http.put("/v1/streams/back", json={"source": "file:///etc/passwd"}).status_code == 403
    assert http.get("/v1/streams/back").json()["source"] == "synthetic://?live=1&seed=5"
    assert http.put("/v1/streams/nobody", json={"source": "synthetic://?live=1"}).status_code == 404
    assert http.delete("/v1/streams/back").status_code == 204
    assert http.delete("/v1/streams/back").status_code == 404
    for wrong in (
        {"name": "../x"},
        {"source": "/etc/passwd"},
        {"fps": 0},
        {"colour": "red"},
        {"source": "nonsense://"},
    ):
        assert 400 <= http.post("/v1/streams", json=new | wrong).status_code < 500
    assert [stream["name"] for stream in http.get("/v1/streams").json()] == ["front"]


def test_health_readiness_and_numbers(http: httpx.Client, answered: Service) -> None:
    assert http.get("/healthz").json() == {"status": "alive"}
    assert http.get("/readyz").json() == {"status": "ready", "streams": {"front": True}}
    numbers = http.get("/metrics").text
    assert 'edge_frames_total{outcome="analysed",stream="front"}' in numbers
    assert 'edge_answer_age_seconds{stream="front"}' in numbers


def test_the_page_asks_nobody_else(http: httpx.Client) -> None:
    page = http.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "http://" not in page.text and "https://" not in page.text
    assert "innerHTML" not in page.text  # what a model says is text
    assert "default-src 'self'" in page.headers["content-security-policy"]


def test_every_path_is_described(http: httpx.Client) -> None:
    paths = http.get("/openapi.json").json()["paths"]
    assert {"/v1/chat/completions", "/v1/streams/{name}/ask", "/v1/streams/{name}/events", "/healthz"} <= set(paths)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"messages": "hello"}', b"\xff\xfe"])
def test_bodies_that_are_none_are_refused(http: httpx.Client, body: bytes) -> None:
    response = http.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
    assert 400 <= response.status_code < 500
