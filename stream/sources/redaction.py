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

# An address begins where a word begins: the "a://" of the password in "rtsp://u:a://b@host" is none.
_BEGIN = re.compile(r"(?<![^\s'\"(\[<,;=|])[a-z][a-z0-9+.-]*:/{2,3}", re.I)
_WHOLE = re.compile(r"[a-z][a-z0-9+.-]*://", re.I)
# Without "//" only a word that looks like user:password@ is one.
_BARE_LOGIN = re.compile(r"\S*:\S*@")

_PAIR = re.compile(r"(?P<begin>[?&;#])(?P<name>[^\s=?&;#]+)=(?P<value>[^&\s]*(?:&(?![^\s=&]+=)[^&\s]*)*)")
_PAIR_IN_ADDRESS = re.compile(r"(?P<begin>[?&;#])(?P<name>[^=?&;#]+)=(?P<value>[^&]*(?:&(?![^=&]+=)[^&]*)*)")
# Some cameras take the login as a part of the path: /user=admin_password=x_channel=1_stream=0.sdp
_LOGIN_IN_PATH = re.compile(r"(?<=[/_])(user|usr|pass|pwd)(\w*?)=[^?\s]*", re.I)
_HEADER = re.compile(r"\b(basic|bearer|digest)\s+[a-z0-9+/=_.~-]{6,}", re.I)

_IP = re.compile(r"(\d{1,3}(\.\d{1,3}){3}|\[[0-9a-f:.%]+\])(:\d+)?", re.I)
_NAME_WITH_DOT = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+", re.I)


def redact(text: str) -> str:
    """An address, or any text with addresses in it, without logins and secrets."""
    text = text.strip() if _WHOLE.match(text.strip()) else text
    begins = [match.start() for match in _BEGIN.finditer(text)]
    if not begins:
        return _redact_words(text)
    pieces = [text[start:end] for start, end in zip(begins, [*begins[1:], len(text)], strict=True)]
    is_address = begins == [0]
    return _redact_words(text[: begins[0]]) + "".join(_redact_one(piece, is_address) for piece in pieces)


def _redact_words(text: str) -> str:
    text = _PAIR.sub(_redact_pair, _BARE_LOGIN.sub(f"{HIDDEN}@", text))
    return _HEADER.sub(rf"\1 {HIDDEN}", _without_login_in_path(text))


def _redact_one(piece: str, is_address: bool) -> str:
    """One address and what follows it."""
    scheme, rest = re.split(r"(?<=:/)/+", piece, maxsplit=1)
    rest = _without_login(rest)
    rest = (_PAIR_IN_ADDRESS if is_address else _PAIR).sub(_redact_pair, rest)
    return f"{scheme}/{_without_login_in_path(rest)}"


def _without_login(rest: str) -> str:
    """Hides all before the last "@", unless a host certainly ends earlier."""
    authority = re.split(r"[/?#\s]", rest, maxsplit=1)[0]
    login, at, host = authority.rpartition("@")
    if at and _IP.fullmatch(host):
        return HIDDEN + rest[len(login) :]
    if not at and (_IP.fullmatch(authority) or _NAME_WITH_DOT.fullmatch(authority)):
        return rest
    _, at, after = rest.rpartition("@")
    return f"{HIDDEN}@{after}" if at else rest


def _without_login_in_path(text: str) -> str:
    return _LOGIN_IN_PATH.sub(rf"\1\2={HIDDEN}", text)


def _redact_pair(pair: re.Match[str]) -> str:
    begin, name, value = pair["begin"], pair["name"], pair["value"]
    nested = unquote(value)
    if _SECRET.search(unquote(name)) or (nested != value and redact(nested) != nested):
        return f"{begin}{name}={HIDDEN}"
    return pair[0]
