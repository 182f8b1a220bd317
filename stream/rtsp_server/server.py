"""A small loopback RTSP server: serves a clip like a camera, and misbehaves on request.

For tests, demonstrations and fault drills. Knows RTSP (RFC 2326), over TCP and UDP, with Basic or Digest
login. Every viewer sees the clip from its beginning, over and over, with times that only grow.

    python -m stream.rtsp_server clip.mp4 --port 8554 --user viewer --password secret
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self
from urllib.parse import quote, unquote, urlsplit

from stream.rtsp_server.clip import Clip
from stream.rtsp_server.messages import Auth, Login, Request
from stream.rtsp_server.playback import Playback, Transport, choose_transport

Answer = tuple[str, dict[str, str], str]
"""Status, headers, body."""

PATH = "/live"
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
        auth: Auth = "digest",
        transports: Collection[str] = ("tcp", "udp"),  # that viewers may choose
        join: int = 0,  # pictures of the clip that a viewer has missed
        loop: bool = True,
        host: str = "127.0.0.1",
    ) -> None:
        self.join = join
        self.clip = self._read(clip)
        self.loop = loop
        self.transports = frozenset(transports)
        self.login = Login(user, password or "", auth) if user else None
        self.lost_every = 0  # every so many packets of pictures one is lost on its way; 0: none
        self.flowing = threading.Event()  # cleared: connected, but nothing is sent
        self.flowing.set()
        self._host, self._port = host, port
        self._user, self._password = user, password
        self.num_goodbyes = 0  # viewers that left with TEARDOWN
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

    def lose(self, every: int) -> None:
        """Every so many packets of pictures one is lost, as on a bad line; 0: none any more."""
        self.lost_every = every

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
        self.clip = self._read(clip)

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

    def _read(self, path: str | Path) -> Clip:
        clip = Clip.read(path)
        clip.after(self.join)  # now, and not in the thread of the first viewer
        return clip

    def _listen(self) -> None:
        listener = socket.create_server((self._host, self._port))
        self._port = listener.getsockname()[1]  # kept, so that a server that comes back is found again
        self._listener = listener
        self._accepting = threading.Thread(target=self._accept, args=(listener,), name="rtsp server", daemon=True)
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
            self.num_goodbyes += viewer.said_goodbye
            self._viewers.discard(viewer)
            self._changed.notify_all()


def with_login(url: str, user: str, password: str) -> str:
    scheme, rest = url.split("://", 1)
    return f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{rest}"


class _Viewer:
    """One connection: a thread that answers requests and, once it plays, a thread that sends pictures."""

    def __init__(self, server: RtspServer, connection: socket.socket) -> None:
        self._server = server
        self._connection = connection
        self.said_goodbye = False
        self._session = secrets.token_hex(8)
        self._writing = threading.Lock()
        self._closed = threading.Event()
        self._transport: Transport | None = None
        self._playback: Playback | None = None
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
        with self._connection, self._connection.makefile("rb") as stream:
            try:
                self._converse(stream)
            except (OSError, ValueError, struct.error):
                pass  # the viewer went away in the middle of a word, or speaks another language
            finally:
                self.close()
                for sender in self._threads[1:]:
                    sender.join()
        if self._transport is not None:
            self._transport.close()
        self._server.forget(self)

    def _converse(self, stream: BinaryIO) -> None:
        while (request := Request.read(stream)) and self._wait_while_stalled():
            self.said_goodbye = request.method == "TEARDOWN"  # before the answer, for which few viewers wait
            self._answer(request)
            if self.said_goodbye:
                return

    def _wait_while_stalled(self) -> bool:
        """False when the connection was closed meanwhile."""
        while not self._closed.is_set():
            if self._server.flowing.wait(timeout=0.1):  # two events to wait for: one of them is looked at
                return not self._closed.is_set()
        return False

    def _hold(self) -> float:
        """Waits while the server is stalled; returns for how many seconds."""
        if self._server.flowing.is_set():
            return 0.0
        began = time.monotonic()
        self._wait_while_stalled()
        return time.monotonic() - began

    def _is_lost(self, number: int) -> bool:
        every = self._server.lost_every
        return every > 0 and number % every == 0

    def _rounds(self) -> Iterator[Clip]:
        yield self._server.clip.after(self._server.join)
        while self._server.loop:
            yield self._server.clip

    def _answer(self, request: Request) -> None:
        status, headers, body = self._respond(request)
        headers = {"CSeq": request.headers.get("cseq", "0"), "Server": "loopback", **headers}
        if body:
            headers |= {"Content-Type": "application/sdp", "Content-Length": str(len(body))}
        lines = [f"RTSP/1.0 {status}", *(f"{name}: {value}" for name, value in headers.items()), "", body]
        self.send("\r\n".join(lines).encode())
        if request.method == "PLAY" and status.startswith("200"):
            self._play()

    def _respond(self, request: Request) -> Answer:
        if request.method == "OPTIONS":
            return "200 OK", {"Public": METHODS}, ""
        login = self._server.login
        if login is not None and not login.admits(request):
            return "401 Unauthorized", {"WWW-Authenticate": login.challenge}, ""
        if not unquote(urlsplit(request.url).path).startswith(PATH):
            return "404 Not Found", {}, ""
        respond: dict[str, Callable[[Request], Answer]] = {
            "DESCRIBE": self._describe,
            "SETUP": self._set_up,
            "PLAY": self._agree_to_play,
            "GET_PARAMETER": lambda _: ("200 OK", {"Session": self._session}, ""),
            "TEARDOWN": lambda _: ("200 OK", {"Session": self._session}, ""),
        }
        if request.method not in respond:
            return "501 Not Implemented", {"Public": METHODS}, ""
        return respond[request.method](request)

    def _describe(self, request: Request) -> Answer:
        host = self._connection.getsockname()[0]
        return "200 OK", {"Content-Base": f"{request.url.rstrip('/')}/"}, self._server.clip.sdp(host)

    def _set_up(self, request: Request) -> Answer:
        if self._transport is not None:
            return "455 Method Not Valid in This State", {}, ""
        wanted = request.headers.get("transport", "")
        transport = choose_transport(wanted, self.send, self._connection.getpeername()[0])
        if transport is None:
            return "461 Unsupported Transport", {}, ""
        if transport.name not in self._server.transports:
            transport.close()
            return "461 Unsupported Transport", {}, ""
        self._transport = transport
        session = f"{self._session};timeout=60"
        return "200 OK", {"Transport": self._transport.description, "Session": session}, ""

    def _agree_to_play(self, request: Request) -> Answer:
        if self._transport is None:
            return "455 Method Not Valid in This State", {}, ""
        if self._playback is None:
            self._playback = Playback(self._transport, self._rounds(), self._closed, self._hold, self._is_lost)
        track = f"{request.url.rstrip('/')}/track0"
        headers = {
            "Session": self._session,
            "Range": "npt=0.000-",
            "RTP-Info": f"url={track};{self._playback.begin}",
        }
        return "200 OK", headers, ""

    def _play(self) -> None:
        if len(self._threads) == 1:  # a second PLAY changes nothing
            self._threads.append(threading.Thread(target=self._send_pictures, name="rtsp pictures", daemon=True))
            self._threads[1].start()

    def _send_pictures(self) -> None:
        assert self._playback is not None  # PLAY was agreed to
        try:
            self._playback.run()
        except OSError:
            pass  # the viewer is gone
        finally:
            self.close()
