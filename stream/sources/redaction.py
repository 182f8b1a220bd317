"""Addresses without their secrets, for every place where a person or a log can read them.

Knows how people write addresses, wrongly too: a password with a raw "@" or "/" in it hides nothing here by
accident. In doubt more is hidden than needed. Knows text only.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

HIDDEN = "***"

# Parts of names whose values are secrets: password, loginpas, access_token, X-Amz-Signature, apiKey ...
_SECRET = re.compile(r"pas|pwd|pw|token|auth|secret|key|sig|cred|user|usr|login|sess|sid|jwt|hash|code", re.I)

_WHOLE = re.compile(r"[a-z][a-z0-9+.-]*://", re.I)
# Inside a text an address begins where a word does: the "a://" in "rtsp://u:a://b@host" is none.
_BEGIN = re.compile(r"(?<![^\s'\"(\[<,;=|])[a-z][a-z0-9+.-]*:/{2,3}", re.I)

_PAIR = re.compile(r"[?&;#](?P<name>[^=?&;#]+)=(?P<value>[^?&;#\s]*)")
# Some cameras take the login as a part of the path: /user=admin_password=x_channel=1_stream=0.sdp
_LOGIN_IN_PATH = re.compile(r"(?<=[/_])(user|usr|pass|pwd)(\w*?)=[^?\s]*", re.I)
_HEADER = re.compile(r"\b(basic|bearer|digest)\s+[a-z0-9+/=_.~-]{6,}", re.I)

_IP = re.compile(r"(\d{1,3}(\.\d{1,3}){3}|\[[0-9a-f:.%]+\])(:\d+)?", re.I)
_NAME_WITH_DOT = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+", re.I)


def redact(text: str) -> str:
    """An address, or any text with addresses in it, without logins and secrets."""
    address = text.strip()
    return _redact_address(address, is_whole=True) if _WHOLE.match(address) else _redact_text(text)


def _redact_text(text: str) -> str:
    begins = [match.start() for match in _BEGIN.finditer(text)]
    ends = [*begins[1:], len(text)]
    addresses = [_redact_address(text[begin:end]) for begin, end in zip(begins, ends, strict=False)]
    return _redact_words(text[: begins[0]] if begins else text) + "".join(addresses)


def _redact_words(text: str) -> str:
    text = re.sub(r"\S+", _redact_bare_login, text)
    return _HEADER.sub(rf"\1 {HIDDEN}", _without_login_in_path(_without_secret(text)))


def _redact_address(text: str, is_whole: bool = False) -> str:
    """One address and, unless it is the whole, the text that follows it."""
    scheme, rest = re.split(r"(?<=:/)/+", text, maxsplit=1)
    at = _end_of_login(rest)
    value, end = _find_secret(rest, is_whole)
    if value <= at < end:  # the "@" stands in the secret, or the secret's "?" in the password
        rest = HIDDEN + rest[end:]
    elif at >= 0:
        rest = HIDDEN + _without_secret(rest[at:], is_whole)
    else:
        rest = _without_secret(rest, is_whole)
        if is_whole:  # it may carry another address as a parameter
            host = len(re.split(r"[/?#]", rest, maxsplit=1)[0])
            rest = rest[:host] + _redact_text(rest[host:])
    return f"{scheme}/{_without_login_in_path(rest)}"


def _end_of_login(rest: str) -> int:
    """Where its "@" is, or -1: the last "@" of all, unless there certainly is no login."""
    authority = re.split(r"[/?#\s]", rest, maxsplit=1)[0]
    is_host = _IP.fullmatch(authority) or _NAME_WITH_DOT.fullmatch(authority)
    return -1 if is_host else rest.rfind("@")


def _find_secret(text: str, to_the_end: bool) -> tuple[int, int]:
    """Where the first secret parameter's value begins, and where the last thing that may belong to it ends.

    A raw "&" in a password looks like the next parameter, so all that follows is hidden too.
    """
    for pair in _PAIR.finditer(text):
        if _SECRET.search(unquote(pair["name"])) or _holds_secret(pair["value"]):
            space = None if to_the_end else re.compile(r"\s").search(text, pair.start("value"))
            return pair.start("value"), space.start() if space else len(text)
    return len(text), len(text)


def _without_secret(text: str, to_the_end: bool = False) -> str:
    value, end = _find_secret(text, to_the_end)
    if value == len(text):
        return text
    return f"{text[:value]}{HIDDEN}{_without_secret(text[end:])}"


def _holds_secret(value: str) -> bool:
    """An escaped address with a login; whatever is escaped twice is not looked into."""
    nested = unquote(value)
    return nested != value and ("%" in nested or redact(nested) != nested)


def _without_login_in_path(text: str) -> str:
    return _LOGIN_IN_PATH.sub(rf"\1\2={HIDDEN}", text)


def _redact_bare_login(word: re.Match[str]) -> str:
    """Without "//" only what looks like user:password@ is a login."""
    login, at, rest = word[0].rpartition("@")
    return f"{HIDDEN}@{rest}" if at and ":" in login else word[0]
