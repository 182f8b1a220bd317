"""What a viewer asks of an RTSP server, and whether it may: requests and logins.

Knows text and bytes. Knows no clip and no socket.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, Literal

REALM = "loopback camera"

Auth = Literal["digest", "digest-sha256", "basic"]


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    url: str
    headers: Mapping[str, str]  # names in lower case

    @classmethod
    def read(cls, stream: BinaryIO) -> Request | None:
        """The next one; None at the end. RTCP that a viewer sends inside the connection is passed over."""
        while (byte := stream.read(1)) == b"$":
            _, length = struct.unpack("!BH", stream.read(3))
            stream.read(length)
        first = (byte + stream.readline()).decode("utf-8", "replace").split()
        if len(first) != 3:
            return None
        headers = {}
        while line := stream.readline().decode("utf-8", "replace").strip():
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        stream.read(int(headers.get("content-length", 0)))
        return cls(first[0].upper(), first[1], headers)


class Login:
    """One user and password, asked for as HTTP does (RFC 2617; RFC 7616 with SHA-256)."""

    def __init__(self, user: str, password: str, auth: Auth) -> None:
        if auth not in ("digest", "digest-sha256", "basic"):
            raise ValueError(f"auth={auth!r}: known are 'digest', 'digest-sha256' and 'basic'.")
        self._user, self._password = user, password
        self._scheme = auth.partition("-")[0]
        self._hash = _sha256 if auth == "digest-sha256" else _md5
        self._nonce = secrets.token_hex(16)

    @property
    def challenge(self) -> str:
        if self._scheme == "basic":
            return f'Basic realm="{REALM}"'
        algorithm = ", algorithm=SHA-256" if self._hash is _sha256 else ""
        return f'Digest realm="{REALM}", nonce="{self._nonce}"{algorithm}'

    def admits(self, request: Request) -> bool:
        scheme, _, rest = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != self._scheme:
            return False
        expected = self._basic() if self._scheme == "basic" else self._digest(request, _fields(rest).get("uri", ""))
        given = rest.strip() if self._scheme == "basic" else _fields(rest).get("response", "")
        return secrets.compare_digest(given.encode(), expected.encode())

    def _basic(self) -> str:
        return base64.b64encode(f"{self._user}:{self._password}".encode()).decode()

    def _digest(self, request: Request, uri: str) -> str:
        who = self._hash(f"{self._user}:{REALM}:{self._password}")
        return self._hash(f"{who}:{self._nonce}:{self._hash(f'{request.method}:{uri}')}")


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()  # the protocol's choice, not ours


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _fields(header: str) -> dict[str, str]:
    pairs = (field.partition("=") for field in header.split(","))
    return {name.strip(): value.strip().strip('"') for name, _, value in pairs}
