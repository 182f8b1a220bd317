"""Answers in JSON follow their schema, whatever a model would rather say and wherever they are cut."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import edge
from edge.engine.generation import Prefill, Reply
from edge.engine.json_form import JsonForm
from edge.engine.sampling import Sampling
from edge.engine.tokenizer import Tokenizer
from edge.errors import BadArgument, BadSchema

OUTSIDE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
STOP = (500, 498)
PLACE = {"type": "integer", "minimum": 0, "maximum": 1000}
PERSON = {
    "type": "object",
    "properties": {
        "label": {"type": "string"},
        "colour": {"enum": ["red", "green", "none of these"]},
        "box": {"type": "array", "items": PLACE, "minItems": 4, "maxItems": 4},
        "sure": {"type": "boolean"},
        "note": {"type": ["string", "null"]},
    },
    "required": ["label", "colour", "box", "sure"],
    "additionalProperties": False,
}  # fmt: skip
SCHEMAS = [
    PERSON,
    {"type": "object"},
    {"type": "array", "items": PERSON},
    {"type": "array", "items": {"type": "number"}},
    {"anyOf": [{"type": "string", "minLength": 2}, {"type": "array", "items": {"type": "string"}}]},
    {"const": {"a": [1, 2, "drei"]}},
]


class Wishes:
    """A model in which every token has a likelihood of its own, anew each time, and some strange taste."""

    def __init__(self, seed: int, taste: float) -> None:
        self._random = np.random.default_rng(seed)
        self._taste = self._random.random(512) ** 8 * taste
        self.write(0)

    def write(self, token: int) -> Wishes:
        self._logits = (self._random.random(512) + self._taste).astype(np.float32)[None]
        return self

    @property
    def best(self) -> np.ndarray:
        return self._logits.argmax(axis=1)

    def logits(self) -> np.ndarray:
        return self._logits


@pytest.fixture(scope="module")
def pocket() -> edge.Model:
    return edge.load("pocket", device="cpu")


@pytest.fixture(scope="module")
def tokenizer(pocket: edge.Model) -> Tokenizer:
    return pocket.engine.tokenizer


def reply_of(tokenizer: Tokenizer, schema: dict[str, Any], seed: int, taste: float, sampling: Sampling) -> Reply:
    wishes = Wishes(seed, taste)
    prefill = Prefill(wishes, np.zeros(1, dtype=np.int64), 0, 0, room=1000)
    form = JsonForm(tokenizer, STOP, schema, sampling.max_tokens)
    return Reply(tokenizer, prefill, wishes.write, STOP, sampling, form=form)


def check(found: Any, schema: dict[str, Any]) -> None:
    if schema is PERSON:
        assert {"label", "colour", "box", "sure"} <= set(found) <= set(PERSON["properties"])
        assert found["colour"] in ("red", "green", "none of these") and found["sure"] in (True, False)
        assert len(found["box"]) == 4 and all(type(n) is int and 0 <= n <= 1000 for n in found["box"])
    elif "const" in schema:
        assert found == schema["const"]
    elif "anyOf" in schema:
        assert isinstance(found, list) or len(found) >= 2
    else:
        assert isinstance(found, list if schema["type"] == "array" else dict)
        for each in found if isinstance(found, list) else ():
            check(each, PERSON) if schema["items"] is PERSON else float(each)


@OUTSIDE
@given(
    schema=st.sampled_from(SCHEMAS), seed=st.integers(0, 2**32 - 1), taste=st.sampled_from([0.0, 1.0, 10.0]),
    room=st.integers(1, 120), temperature=st.sampled_from([0.0, 1.0]),
)  # fmt: skip
def test_every_answer_is_whole_and_follows_its_schema(
    tokenizer: Tokenizer, schema: dict[str, Any], seed: int, taste: float, room: int, temperature: float
) -> None:
    sampling = Sampling(max_tokens=room, temperature=temperature, seed=seed)
    try:
        reply = reply_of(tokenizer, schema, seed, taste, sampling)
    except BadSchema as error:
        assert room < 100 and f"room for {room}." in str(error)
        return
    check(json.loads(reply.read()), schema)
    assert reply.finish in ("stop", "length") and reply.usage.generated_tokens <= room


def test_what_repeats_itself_is_ended_and_is_whole(tokenizer: Tokenizer) -> None:
    class Nines(Wishes):
        def write(self, token: int) -> Wishes:
            self._logits = np.zeros((1, 512), dtype=np.float32)
            self._logits[0, tokenizer.encode_plain("9")] = 1
            return self

    wishes, sampling = Nines(0, 0), Sampling(max_tokens=400)
    form = JsonForm(tokenizer, STOP, {"type": "array", "items": {"type": "string"}}, sampling.max_tokens)
    prefill = Prefill(wishes, np.zeros(1, dtype=np.int64), 0, 0, room=1000)
    reply = Reply(tokenizer, prefill, wishes.write, STOP, sampling, form=form)
    json.loads(reply.read())
    assert reply.usage.generated_tokens < 100


@pytest.mark.parametrize(
    "schema, said",
    [
        ({"type": "nonsense"}, "nonsense"),
        ({"type": "object", "properties": {"a": object()}}, "no JSON schema"),
        ({"$ref": "https://example.org/schema.json"}, "cannot be followed"),
        ({"type": "string", "pattern": "("}, "cannot be followed"),
        ({"type": "string", "minLength": 5000}, "no answer of at most 512 tokens"),
    ],
)
def test_what_is_no_schema_is_refused(tokenizer: Tokenizer, schema: dict[str, Any], said: str) -> None:
    with pytest.raises(BadSchema, match=said):
        JsonForm(tokenizer, STOP, schema, 128)


def test_a_model_answers_in_json(pocket: edge.Model) -> None:
    question = {"role": "user", "content": "Is there a red circle?"}
    found = json.loads(pocket.chat([question], schema=PERSON, sampling=Sampling(max_tokens=90)).read())
    check(found, PERSON)
    with pytest.raises(BadSchema, match="room for 3"):
        pocket.chat([question], schema=PERSON, sampling=Sampling(max_tokens=3))
    with pytest.raises(BadArgument, match="schema"):
        pocket.chat([question], schema="object")  # type: ignore[arg-type]
