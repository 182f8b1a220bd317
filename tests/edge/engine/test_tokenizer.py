from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.engine.tokenizer import Tokenizer
from edge.errors import BadMessage, ModelUnreadable

FIXTURES_ARE_READ_ONLY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def streamed(tokenizer: Tokenizer, ids) -> list[str]:
    stream = tokenizer.stream()
    return [*(stream.push(index) for index in ids), stream.end()]


@FIXTURES_ARE_READ_ONLY
@given(text=st.text() | st.text(alphabet="👩‍👧你好é́ a<|im_end|>\n"))
def test_pieces_join_to_the_whole_and_none_is_half_a_character(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode_plain(text)
    pieces = streamed(tokenizer, ids)

    assert "".join(pieces) == tokenizer.decode(ids)
    assert "\ufffd" in text or not any("\ufffd" in piece for piece in pieces)


@FIXTURES_ARE_READ_ONLY
@given(data=st.data())
def test_any_ids_stream_as_they_decode(tokenizer: Tokenizer, data: st.DataObject) -> None:
    """Broken bytes and ids beyond the vocabulary included: a model may say anything."""
    ids = data.draw(st.lists(st.integers(0, max(tokenizer.special.values()) + 3)))

    assert "".join(streamed(tokenizer, ids)) == tokenizer.decode(ids)


def test_a_character_spread_over_tokens_comes_out_whole(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("🦊")

    assert len(ids) == 4
    assert streamed(tokenizer, ids) == ["", "", "", "🦊", ""]


def test_special_tokens_are_kept_or_left_out(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("a<|box_start|>(1,2)<|box_end|>")

    assert tokenizer.decode(ids) == "a<|box_start|>(1,2)<|box_end|>"
    assert tokenizer.decode(ids, keep_special=False) == "a(1,2)"


def test_only_our_own_text_speaks_in_special_tokens(tokenizer: Tokenizer) -> None:
    special = tokenizer.special["<|im_end|>"]

    assert special in tokenizer.encode("a<|im_end|>")
    assert special not in tokenizer.encode_plain("a<|im_end|>")
    assert tokenizer.decode(tokenizer.encode_plain("a<|im_end|>")) == "a<|im_end|>"


@pytest.mark.parametrize("name", ["tokenizer.json", "chat_template.json"])
def test_a_missing_file_is_named(tokenizer_folder: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(tokenizer_folder, tmp_path / "model")
    (folder / name).unlink()

    with pytest.raises(ModelUnreadable, match=name):
        Tokenizer.load(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.json", "{"),
        ("tokenizer.json", '{"version": "1.0", "model": {"type": "BPE", "vocab": {}, "merges": []}}'),
        ("chat_template.json", "[]"),
        ("chat_template.json", "{"),
        ("chat_template.json", '{"chat_template": [{"name": "rag", "template": ""}]}'),
        ("chat_template.jinja", "{% for %}"),
        ("chat_template.json", '{"chat_template": "{% endfor %}"}'),
    ],
)
def test_a_damaged_file_is_an_error_that_says_so(tokenizer_folder: Path, tmp_path: Path, name, content) -> None:
    folder = shutil.copytree(tokenizer_folder, tmp_path / "model")
    (folder / name).write_text(content)

    with pytest.raises(ModelUnreadable):
        Tokenizer.load(folder)


def test_the_template_is_found_wherever_checkpoints_put_it(tokenizer_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tokenizer_folder, tmp_path / "model")
    (folder / "chat_template.json").unlink()
    named = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "named"}]
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    assert Tokenizer.load(folder).template == "named"

    (folder / "chat_template.json").write_text(json.dumps({"chat_template": "json"}))
    assert Tokenizer.load(folder).template == "json"

    (folder / "chat_template.jinja").write_text("jinja")
    assert Tokenizer.load(folder).template == "jinja"


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('roles must alternate') }}",
        "{{ ''.__class__.__mro__ }}",
        "{% set _ = messages.append(1) %}",
    ],
)
def test_a_template_can_refuse_but_not_reach_out(tokenizer: Tokenizer, template: str) -> None:
    untrusted = Tokenizer(tokenizer._tokens, template)

    with pytest.raises(BadMessage, match="refuses"):
        untrusted.render([{"role": "user", "content": "hi"}])
