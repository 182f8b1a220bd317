"""How a server wants a login, asked without one: FFmpeg says "unauthorized" for a login that it cannot give, too.

Knows the first lines of RTSP and HTTP. Sends no password.
"""

from __future__ import annotations

import re
import socket
import ssl
from urllib.parse import urlsplit

from stream.sources.web_look import within

PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
HEADERS = 2**16  # bytes that are read, at most

_CHALLENGE = re.compile(r"^www-authenticate:\s*(\S.*?)\s*$", re.I | re.M)
_ALGORITHM = re.compile(r"algorithm\s*=\s*\"?([a-z0-9-]+)", re.I)


def wants_unknown_digest(address: str, timeout: float = 2.0) -> bool:
    """True if the server takes no login that FFmpeg can give: neither Basic nor Digest with MD5."""
    challenges = within(timeout, lambda: _challenges(address, timeout)) or []
    return bool(challenges) and not any(_is_known(challenge) for challenge in challenges)


def _is_known(challenge: str) -> bool:
    scheme = challenge.partition(" ")[0].lower()
    if scheme != "digest":
        return scheme == "basic"
    algorithm = _ALGORITHM.search(challenge)
    return algorithm is None or algorithm[1].upper() in ("MD5", "MD5-SESS")


def _challenges(address: str, timeout: float) -> list[str]:
    parts = urlsplit(address)
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme.lower()]
    with socket.create_connection((host, port), timeout) as plain:
        if parts.scheme.lower() in ("rtsps", "https"):
            with _unverified().wrap_socket(plain, server_hostname=host) as encrypted:
                return _ask(encrypted, address)
        return _ask(plain, address)


def _ask(connection: socket.socket, address: str) -> list[str]:
    parts = urlsplit(address)
    target = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="")
    if parts.scheme.lower().startswith("rtsp"):
        request = f"DESCRIBE {target.geturl()} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n"
    else:
        path = target._replace(scheme="", netloc="").geturl() or "/"
        request = f"GET {path} HTTP/1.0\r\nHost: {target.netloc}\r\n\r\n"
    connection.sendall(request.encode())
    answer = bytearray()
    while b"\r\n\r\n" not in answer and len(answer) < HEADERS and (more := connection.recv(4096)):
        answer += more
    return _CHALLENGE.findall(answer.partition(b"\r\n\r\n")[0].decode("utf-8", "replace").replace("\r\n", "\n"))


def _unverified() -> ssl.SSLContext:
    """Cameras sign their own certificates, and nothing secret is sent here."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
