"""Text to token ids and back, and the model's own chat template.

Wraps the `tokenizers` library and renders the template as transformers does. Knows no message format beyond
what the template reads; which text may speak in special tokens is decided in `prompt`.
"""

from __future__ import annotations

import codecs
import json
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jinja2
import numpy as np
import tokenizers
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import decoders

from edge.errors import BadMessage, ModelUnreadable
from edge.models.family import Tokens


class Tokenizer:
    """Thread-safe: one serves every context of an engine."""

    def __init__(self, tokens: tokenizers.Tokenizer, template: str) -> None:
        self.template = template
        self.special: Mapping[str, int] = {
            token.content: index for index, token in tokens.get_added_tokens_decoder().items() if token.special
        }
        self._tokens = tokens
        self._spelled: dict[str, Mapping[int, str]] = {}
        self._lock = threading.Lock()  # the library keeps the choice "special or plain" as state
        self._compiled = _compile(template)
        longest_first = sorted(self.special, key=len, reverse=True)
        self._pattern = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """The tokenizer of a model folder. Raises ModelUnreadable naming the file."""
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise ModelUnreadable(f"{folder} holds no tokenizer.json. Fetch the file, or the whole folder again.")
        try:
            tokens = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises plain Exception
            raise ModelUnreadable(f"{path} is not a readable tokenizer: {error}. Fetch it again.") from None
        if not isinstance(tokens.decoder, decoders.ByteLevel):
            raise ModelUnreadable(f"{path} is not a byte-level tokenizer, and Qwen2's is. Fetch it again.")
        return cls(tokens, load_template(folder))

    def spelled_with(self, characters: str) -> Mapping[int, str]:
        """All tokens that consist of these ASCII characters alone, with what they say."""
        if characters not in self._spelled:
            wanted = frozenset(characters)  # such characters stand for themselves among the bytes of a token
            vocabulary = self._tokens.get_vocab(with_added_tokens=False)
            self._spelled[characters] = {token: text for text, token in vocabulary.items() if wanted.issuperset(text)}
        return self._spelled[characters]

    def to_json(self) -> str:
        """As a tokenizer.json has it."""
        text: str = self._tokens.to_str()
        return text

    def encode(self, text: str) -> Tokens:
        """Text we wrote ourselves: special tokens in it count."""
        return self._encode(text, plain=False)

    def encode_plain(self, text: str) -> Tokens:
        """Text of somebody else: `<|im_end|>` in it is a few ordinary characters."""
        return self._encode(text, plain=True)

    def _encode(self, text: str, plain: bool) -> Tokens:
        with self._lock:
            self._tokens.encode_special_tokens = plain
            return np.array(self._tokens.encode(text, add_special_tokens=False).ids, dtype=np.int64)

    def decode(self, ids: Iterable[int], keep_special: bool = True) -> str:
        text: str = self._tokens.decode([int(index) for index in ids], skip_special_tokens=not keep_special)
        return text

    def stream(self) -> Stream:
        return Stream(self)

    def token_bytes(self, index: int) -> bytes:
        """What one token adds to the text, b"" for an id the vocabulary does not use."""
        token = self._tokens.id_to_token(int(index)) or ""
        try:
            return bytes(BYTE_OF[character] for character in token)
        except KeyError:  # an added token is stored as it reads
            return token.encode()

    def split(self, text: str) -> list[str]:
        """Text cut at its special tokens: plain, special, plain, ..., plain; plain pieces may be empty."""
        return self._pattern.split(text)

    def render(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """The chat template's text, ending where the assistant is to speak."""
        try:
            return self._compiled.render(messages=messages, add_generation_prompt=True)
        except jinja2.TemplateError as error:
            raise BadMessage(f"the model's chat template refuses these messages: {error}.") from None


class Stream:
    """Decodes as tokens arrive; a character whose bytes are spread over tokens comes out whole."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, index: int) -> str:
        return self._decoder.decode(self._tokenizer.token_bytes(index))

    def end(self) -> str:
        """What an unfinished character leaves behind: U+FFFD, as in `decode`, or nothing."""
        return self._decoder.decode(b"", final=True)


def load_template(folder: Path) -> str:
    """The chat template of a model folder, from whichever of the usual files holds it."""
    for name in ("chat_template.jinja", "chat_template.json", "tokenizer_config.json"):
        if (folder / name).is_file() and (template := _template_in(folder / name)):
            return template
    raise ModelUnreadable(
        f"{folder} holds no chat template: looked for chat_template.jinja, chat_template.json and "
        "`chat_template` in tokenizer_config.json. Fetch one of them."
    )


def _template_in(path: Path) -> str | None:
    try:
        text = path.read_text(encoding="utf-8")
        template = text if path.suffix == ".jinja" else json.loads(text).get("chat_template")
        if isinstance(template, list):  # several, by name
            template = next(entry["template"] for entry in template if entry["name"] == "default")
    except (OSError, ValueError, AttributeError, LookupError, TypeError, StopIteration) as error:
        raise ModelUnreadable(f"{path} does not hold a readable chat template: {error!r}. Fetch it again.") from None
    return template if isinstance(template, str) else None


def _compile(template: str) -> jinja2.Template:
    """Sandboxed and set up as in transformers, for templates come with the weights, from anybody."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    try:
        return environment.from_string(template)
    except jinja2.TemplateSyntaxError as error:
        raise ModelUnreadable(f"the model's chat template is not valid Jinja: {error}. Fetch it again.") from None


def _to_json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)  # jinja's own would escape HTML


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _byte_of() -> dict[str, int]:
    """GPT-2's spelling of bytes as visible characters: printable ones stand for themselves."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {chr(256 + n): byte for n, byte in enumerate(hidden)}


BYTE_OF = _byte_of()
