"""A small loopback RTSP server: serves a clip like a camera, and misbehaves on request.

For tests, demonstrations and fault drills. Knows RTSP (RFC 2326), over TCP and UDP, with Basic or Digest
login. Every viewer sees the clip from its beginning, over and over, with times that only grow.

    python -m stream.rtsp_server clip.mp4 --port 8554 --user viewer --password secret
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import logging
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self
from urllib.parse import quote, unquote, urlsplit

from stream.rtp import CLOCK_RATE, Packet, interleaved, packetize, sender_report
from stream.rtsp_clip import Clip

log = logging.getLogger(__name__)

PATH = "/live"
REALM = "loopback camera"
REPORT_EVERY = 1.0  # seconds between two sender reports
METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN"


class RtspServer:
    """Serves from construction to `close`. Faults act on every viewer and can be called from any thread."""

    def __init__(
        self,
        clip: str | Path,
        *,
        port: int = 0,  # 0: any free one
        user: str | None = None,
        password: str | None = None,
        auth: Literal["digest", "basic"] = "digest",
        loop: bool = True,
        host: str = "127.0.0.1",
    ) -> None:
        self.clip = Clip.read(clip)
        self.loop = loop
        self.login = Login(user, password or "", auth) if user else None
        self.flowing = threading.Event()  # cleared: connected, but nothing is sent
        self.flowing.set()
        self._host, self._port = host, port
        self._user, self._password = user, password
        self._lock = threading.Lock()
        self._viewers: set[_Viewer] = set()
        self._listener: socket.socket | None = None
        self._accepting: threading.Thread | None = None
        self._changed = threading.Condition(self._lock)
        self._listen()

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        """Without user and password."""
        return f"rtsp://{self._host}:{self._port}{PATH}"

    @property
    def url_with_login(self) -> str:
        if self._user is None:
            return self.url
        return with_login(self.url, self._user, self._password or "")

    @property
    def num_viewers(self) -> int:
        """Connections, playing or not."""
        with self._lock:
            return len(self._viewers)

    def wait_for_viewers(self, count: int, timeout: float | None = None) -> bool:
        """Until exactly `count` are connected; False after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._viewers) == count, timeout)

    # Faults

    def stall(self) -> None:
        """Stays connected and sends nothing any more, answers neither."""
        self.flowing.clear()

    def resume(self) -> None:
        """Goes on where `stall` began; the times say how long it was."""
        self.flowing.set()

    def drop(self) -> None:
        """Closes every connection at once."""
        with self._lock:
            viewers = list(self._viewers)
        for viewer in viewers:
            viewer.close()

    def refuse(self, refusing: bool = True) -> None:
        """New connections are refused, as if nothing listened; viewers keep what they have."""
        if refusing:
            self._stop_listening()
        elif self._listener is None:
            self._listen()

    def restart(self) -> None:
        self.refuse()
        self.drop()
        self.refuse(False)

    def switch(self, clip: str | Path) -> None:
        """Another clip, for viewers from their next round on."""
        self.clip = Clip.read(clip)

    # Life

    def close(self) -> None:
        """Ends all connections and threads. Idempotent."""
        self._stop_listening()
        self.drop()
        with self._lock:
            viewers = list(self._viewers)
        for viewer in viewers:
            viewer.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _listen(self) -> None:
        listener = socket.create_server((self._host, self._port))
        self._port = listener.getsockname()[1]  # kept, so that a server that comes back is found again
        self._listener = listener
        self._accepting = threading.Thread(
            target=self._accept, args=(listener,), name="rtsp server", daemon=True
        )
        self._accepting.start()

    def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is None or self._accepting is None:
            return
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # closing alone does not wake the thread that accepts
        self._accepting.join()
        listener.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            viewer = _Viewer(self, connection)
            with self._changed:
                self._viewers.add(viewer)
                self._changed.notify_all()
            viewer.start()

    def forget(self, viewer: _Viewer) -> None:
        with self._changed:
            self._viewers.discard(viewer)
            self._changed.notify_all()


def with_login(url: str, user: str, password: str) -> str:
    scheme, rest = url.split("://", 1)
    return f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{rest}"


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
    """One user and password, asked for as HTTP does (RFC 2617)."""

    def __init__(self, user: str, password: str, scheme: Literal["digest", "basic"]) -> None:
        if scheme not in ("digest", "basic"):
            raise ValueError(f"auth={scheme!r}: known are 'digest' and 'basic'.")
        self._user, self._password, self._scheme = user, password, scheme
        self._nonce = secrets.token_hex(16)

    @property
    def challenge(self) -> str:
        if self._scheme == "basic":
            return f'Basic realm="{REALM}"'
        return f'Digest realm="{REALM}", nonce="{self._nonce}"'

    def admits(self, request: Request) -> bool:
        scheme, _, rest = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != self._scheme:
            return False
        expected = (
            self._basic() if self._scheme == "basic" else self._digest(request, _fields(rest).get("uri", ""))
        )
        given = rest.strip() if self._scheme == "basic" else _fields(rest).get("response", "")
        return secrets.compare_digest(given.encode(), expected.encode())

    def _basic(self) -> str:
        return base64.b64encode(f"{self._user}:{self._password}".encode()).decode()

    def _digest(self, request: Request, uri: str) -> str:
        who = _md5(f"{self._user}:{REALM}:{self._password}")
        return _md5(f"{who}:{self._nonce}:{_md5(f'{request.method}:{uri}')}")


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()  # the protocol's choice, not ours


def _fields(header: str) -> dict[str, str]:
    pairs = (field.partition("=") for field in header.split(","))
    return {name.strip(): value.strip().strip('"') for name, _, value in pairs}


class _Viewer:
    """One connection: a thread that answers requests and, once it plays, a thread that sends pictures."""

    def __init__(self, server: RtspServer, connection: socket.socket) -> None:
        self._server = server
        self._connection = connection
        self._session = secrets.token_hex(8)
        self._writing = threading.Lock()
        self._closed = threading.Event()
        self._transport: _Interleaved | _Datagrams | None = None
        self._playback: _Playback | None = None
        self._threads = [threading.Thread(target=self._serve, name="rtsp requests", daemon=True)]

    def start(self) -> None:
        self._threads[0].start()

    def close(self) -> None:
        self._closed.set()
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def send(self, message: bytes) -> None:
        with self._writing:
            self._connection.sendall(message)

    def _serve(self) -> None:
        try:
            with self._connection, self._connection.makefile("rb") as stream:
                while (request := Request.read(stream)) and self._wait_while_stalled():
                    self._answer(request)
                    if request.method == "TEARDOWN":
                        break
                self.close()
                for sender in self._threads[1:]:
                    sender.join()
        except (OSError, struct.error):
            self.close()  # the viewer went away in the middle of a word
        finally:
            if self._transport is not None:
                self._transport.close()
            self._server.forget(self)

    def _wait_while_stalled(self) -> bool:
        """False when the connection was closed meanwhile."""
        while not self._closed.is_set():
            if self._server.flowing.wait(timeout=0.1):  # two events to wait for: one of them is looked at
                return not self._closed.is_set()
        return False

    def _answer(self, request: Request) -> None:
        status, headers, body = self._respond(request)
        headers = {"CSeq": request.headers.get("cseq", "0"), "Server": "loopback", **headers}
        if body:
            headers |= {"Content-Type": "application/sdp", "Content-Length": str(len(body))}
        lines = [f"RTSP/1.0 {status}", *(f"{name}: {value}" for name, value in headers.items()), "", body]
        self.send("\r\n".join(lines).encode())
        if request.method == "PLAY" and status.startswith("200"):
            self._play()

    def _respond(self, request: Request) -> tuple[str, dict[str, str], str]:
        if request.method == "OPTIONS":
            return "200 OK", {"Public": METHODS}, ""
        login = self._server.login
        if login is not None and not login.admits(request):
            return "401 Unauthorized", {"WWW-Authenticate": login.challenge}, ""
        if not unquote(urlsplit(request.url).path).startswith(PATH):
            return "404 Not Found", {}, ""
        respond: dict[str, Callable[[Request], tuple[str, dict[str, str], str]]] = {
            "DESCRIBE": self._describe,
            "SETUP": self._set_up,
            "PLAY": self._agree_to_play,
            "GET_PARAMETER": lambda _: ("200 OK", {"Session": self._session}, ""),
            "TEARDOWN": lambda _: ("200 OK", {"Session": self._session}, ""),
        }
        if request.method not in respond:
            return "501 Not Implemented", {"Public": METHODS}, ""
        return respond[request.method](request)

    def _describe(self, request: Request) -> tuple[str, dict[str, str], str]:
        host = self._connection.getsockname()[0]
        return "200 OK", {"Content-Base": f"{request.url.rstrip('/')}/"}, self._server.clip.sdp(host)

    def _set_up(self, request: Request) -> tuple[str, dict[str, str], str]:
        if self._transport is not None:
            return "455 Method Not Valid in This State", {}, ""
        wanted = request.headers.get("transport", "")
        if "RTP/AVP/TCP" in wanted:
            self._transport = _Interleaved(self.send, _ports(wanted, "interleaved", (0, 1)))
        elif "client_port=" in wanted and "multicast" not in wanted:
            host = self._connection.getpeername()[0]
            self._transport = _Datagrams(host, _ports(wanted, "client_port", (0, 0)))
        else:
            return "461 Unsupported Transport", {}, ""
        return (
            "200 OK",
            {"Transport": self._transport.description, "Session": f"{self._session};timeout=60"},
            "",
        )

    def _agree_to_play(self, request: Request) -> tuple[str, dict[str, str], str]:
        if self._transport is None:
            return "455 Method Not Valid in This State", {}, ""
        if self._playback is None:
            stalled = self._wait_while_stalled
            self._playback = _Playback(self._server, self._transport, self._closed, stalled)
        track = f"{request.url.rstrip('/')}/track0"
        headers = {
            "Session": self._session,
            "Range": "npt=0.000-",
            "RTP-Info": f"url={track};{self._playback.begin}",
        }
        return "200 OK", headers, ""

    def _play(self) -> None:
        if len(self._threads) == 1:  # a second PLAY changes nothing
            self._threads.append(
                threading.Thread(target=self._send_pictures, name="rtsp pictures", daemon=True)
            )
            self._threads[1].start()

    def _send_pictures(self) -> None:
        assert self._playback is not None  # PLAY was agreed to
        try:
            self._playback.run()
        except OSError:
            pass  # the viewer is gone
        finally:
            self.close()


class _Playback:
    """The clip, round after round, on one growing clock."""

    def __init__(
        self,
        server: RtspServer,
        transport: _Interleaved | _Datagrams,
        closed: threading.Event,
        wait_while_stalled: Callable[[], bool],
    ) -> None:
        self._server = server
        self._transport = transport
        self._closed = closed
        self._wait_while_stalled = wait_while_stalled
        self._ssrc = secrets.randbits(32)
        self._base = secrets.randbits(31)  # of the timestamps; RTP wants them to begin anywhere
        self._sequence = secrets.randbits(16)
        self._num_packets = self._num_bytes = 0
        self._reported = -REPORT_EVERY

    @property
    def begin(self) -> str:
        """For a viewer to know the first packet by."""
        return f"seq={self._sequence};rtptime={self._base}"

    def run(self) -> None:
        start = time.monotonic()
        begin = 0.0  # seconds from start to the first picture of this round
        while True:
            clip = self._server.clip
            for picture in clip.pictures:
                self._closed.wait(start + begin + picture.due - time.monotonic())
                stalled = time.monotonic()
                if not self._server.flowing.is_set() and self._wait_while_stalled():
                    begin += time.monotonic() - stalled
                if self._closed.is_set():
                    return
                self._report(begin + picture.due)
                self._send(picture.nals, begin + picture.pts)
            begin += clip.seconds
            if not self._server.loop:
                return

    def _send(self, nals: tuple[bytes, ...], seconds: float) -> None:
        payloads = [payload for nal in nals for payload in packetize(nal)]
        for number, payload in enumerate(payloads, start=1):
            last = number == len(payloads)
            packet = Packet(payload, self._sequence, self._timestamp(seconds), self._ssrc, marker=last)
            self._transport.send(packet.to_bytes())
            self._sequence += 1
            self._num_packets += 1
            self._num_bytes += len(payload)

    def _report(self, seconds: float) -> None:
        if seconds - self._reported >= REPORT_EVERY:
            self._reported = seconds
            numbers = (self._timestamp(seconds), self._num_packets, self._num_bytes)
            self._transport.send_report(sender_report(self._ssrc, time.time(), *numbers))

    def _timestamp(self, seconds: float) -> int:
        return self._base + round(seconds * CLOCK_RATE)


class _Interleaved:
    """RTP inside the RTSP connection."""

    def __init__(self, write: Callable[[bytes], None], channels: tuple[int, int]) -> None:
        self._write = write
        self._channels = channels
        self.description = f"RTP/AVP/TCP;unicast;interleaved={channels[0]}-{channels[1]}"

    def send(self, packet: bytes) -> None:
        self._write(interleaved(self._channels[0], packet))

    def send_report(self, report: bytes) -> None:
        self._write(interleaved(self._channels[1], report))

    def close(self) -> None:
        pass  # the connection is the viewer's


class _Datagrams:
    """RTP in UDP packets from two sockets of our own."""

    def __init__(self, host: str, ports: tuple[int, int]) -> None:
        self._targets = [(host, port) for port in ports]
        self._sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in ports]
        for own in self._sockets:
            own.bind(("", 0))
        rtp, rtcp = (own.getsockname()[1] for own in self._sockets)
        self.description = f"RTP/AVP;unicast;client_port={ports[0]}-{ports[1]};server_port={rtp}-{rtcp}"

    def send(self, packet: bytes) -> None:
        self._sockets[0].sendto(packet, self._targets[0])

    def send_report(self, report: bytes) -> None:
        self._sockets[1].sendto(report, self._targets[1])

    def close(self) -> None:
        for own in self._sockets:
            own.close()


def _ports(transport: str, name: str, default: tuple[int, int]) -> tuple[int, int]:
    """ "...;client_port=5000-5001;..." -> (5000, 5001)"""
    for field in transport.split(";"):
        key, _, value = field.partition("=")
        if key.strip() == name:
            first, _, second = value.partition("-")
            return int(first), int(second or int(first) + 1)
    return default


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m stream.rtsp_server", description="Serves a clip as RTSP."
    )
    parser.add_argument("clip", help="a video with h264 pictures")
    parser.add_argument("--port", type=int, default=8554)
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("--auth", choices=["digest", "basic"], default="digest")
    wanted = parser.parse_args()
    login = {"user": wanted.user, "password": wanted.password, "auth": wanted.auth}
    with RtspServer(wanted.clip, port=wanted.port, **login) as server:
        print(f"Serving {wanted.clip} at {server.url} until Ctrl-C", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
