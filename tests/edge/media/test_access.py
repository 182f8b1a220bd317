from __future__ import annotations

import base64
import io
import os
import socket
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import httpx
import numpy as np
import pytest
from PIL import Image

from edge.errors import AccessDenied, BadMessage
from edge.media.access import TRUSTED, UNTRUSTED, Access, is_public
from edge.media.fetch import CheckedTransport, fetch
from edge.media.messages import read
from edge.media.pictures import load_image, read_picture
from edge.media.videos import load_video
from edge.models.qwen2_vl import QWEN2_VL
from stream.errors import SourceNotFound, SourceUnreadable

LIMITS = QWEN2_VL.limits
ANY_PUBLIC = replace(UNTRUSTED, hosts=None)


def png(size: tuple[int, int] = (60, 60)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, "red").save(file, "png")
    return file.getvalue()


def data_url(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


# Files


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "open"
    (folder / "below").mkdir(parents=True)
    (folder / "a.png").write_bytes(png())
    (folder / "below" / "b.png").write_bytes(png())
    (tmp_path / "secret.png").write_bytes(png())
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "within.png").symlink_to(folder / "below" / "b.png")
    (folder / "out").symlink_to(tmp_path)
    (folder / "circle.png").symlink_to(folder / "circle.png")
    return folder


@pytest.fixture
def access(open_folder: Path) -> Access:
    return replace(UNTRUSTED, folders=(open_folder,))


@pytest.mark.parametrize("name", ["a.png", "below/b.png", "below/../a.png", "within.png", "out/open/a.png"])
@pytest.mark.parametrize("form", ["{}", "file://{}", "file://localhost{}", "FILE://{}"])
def test_files_in_a_listed_folder_are_read(open_folder: Path, access: Access, name: str, form: str) -> None:
    assert read_picture(form.format(open_folder / name), access).shape == (60, 60, 3)


OUTSIDE = ["../secret.png", "below/../../secret.png", "link.png", "out/secret.png", "circle.png"]


@pytest.mark.parametrize("name", [*OUTSIDE, "../not-there.png", "../open-too/a.png"])
@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_files_outside_are_refused_and_nobody_learns_whether_they_are_there(
    open_folder: Path, access: Access, name: str, form: str
) -> None:
    with pytest.raises(AccessDenied, match="no file that may be read"):
        read_picture(form.format(open_folder / name), access)


def test_a_way_out_that_is_spelled_with_percent_signs_is_refused(open_folder: Path, access: Access) -> None:
    with pytest.raises(AccessDenied, match="no file that may be read"):
        read_picture(f"file://{open_folder}/%2e%2e/secret.png", access)


def test_a_folder_may_be_listed_through_a_link(tmp_path: Path, open_folder: Path) -> None:
    (tmp_path / "alias").symlink_to(open_folder)
    listed = replace(UNTRUSTED, folders=(tmp_path / "alias",))

    assert read_picture(str(open_folder / "a.png"), listed).shape == (60, 60, 3)


def test_what_is_missing_in_a_listed_folder_is_missing(open_folder: Path, access: Access) -> None:
    with pytest.raises(SourceNotFound):
        read_picture(str(open_folder / "nothing.png"), access)


@pytest.mark.parametrize("address", ["file://server/a.png", "file://user:secret@server/a.png"])
@pytest.mark.parametrize("anyone", [TRUSTED, UNTRUSTED])
def test_a_file_of_another_machine_is_refused(address: str, anyone: Access) -> None:
    with pytest.raises(AccessDenied, match="machine") as caught:
        read_picture(address, anyone)
    assert "secret" not in str(caught.value)


def test_pipes_folders_and_large_files_are_refused(open_folder: Path, access: Access) -> None:
    os.mkfifo(open_folder / "pipe.png")
    for name, match in (("pipe.png", "regular"), ("below", "regular")):
        with pytest.raises(AccessDenied, match=match):
            load_video({"video": str(open_folder / name)}, LIMITS, access)
    with pytest.raises(AccessDenied, match="larger"):
        read_picture(str(open_folder / "a.png"), replace(access, max_bytes=20))


@pytest.mark.parametrize(
    "address",
    ["/etc/passwd", "file:///etc/passwd", "synthetic:", "rtsp://u:secret@camera/", "camera:0", "folder:/", "0"],
)
def test_a_stranger_may_name_nothing_on_this_machine(address: str) -> None:
    with pytest.raises(AccessDenied) as caught:
        load_video({"video": address}, LIMITS, UNTRUSTED)
    assert "secret" not in str(caught.value)


def test_what_the_message_carries_is_read_for_anybody() -> None:
    assert read_picture(data_url(png()), UNTRUSTED).shape == (60, 60, 3)

    with pytest.raises(AccessDenied, match="larger than"):
        read_picture(data_url(png()), replace(UNTRUSTED, max_bytes=20))


# Hosts


def refuse(url: str, access: Access, resolved: Sequence[str], *answers: httpx.Response) -> None:
    """Nothing may be sent to an address that is not among the first, allowed answers."""
    steps = iter(answers)
    inner = httpx.MockTransport(lambda request: next(steps))
    fetch(url, access, transport=CheckedTransport(access, inner, lambda host, port: [*resolved]))


PRIVATE = [
    "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1",
    "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%lo", "fc00::1", "ff02::1", "::ffff:127.0.0.1",
    "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2002:c0a8:101::1",
    "fec0::1", "feff::1", "::127.0.0.1", "::10.0.0.1", "::8.8.8.8", "::ffff:0:7f00:1", "64:ff9b:1::7f00:1",
]  # fmt: skip


@pytest.mark.parametrize("ip", PRIVATE)
def test_a_host_that_turns_out_to_be_near_is_refused(ip: str) -> None:
    assert not is_public(ip)
    with pytest.raises(AccessDenied, match=r"pictures\.example"):
        refuse("http://pictures.example/a.png", ANY_PUBLIC, [ip])


@pytest.mark.parametrize("ip", ["93.184.215.14", "2606:2800:21f:cb07::1", "::ffff:93.184.215.14", "64:ff9b::808:808"])
def test_public_addresses_are_public(ip: str) -> None:
    assert is_public(ip)


def test_one_private_address_among_public_ones_is_enough() -> None:
    with pytest.raises(AccessDenied):
        refuse("http://pictures.example/", ANY_PUBLIC, ["93.184.215.14", "127.0.0.1"])


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "[::1]", "[::ffff:7f00:1]"],
)
def test_this_machine_is_refused_however_it_is_written(host: str) -> None:
    with pytest.raises((AccessDenied, BadMessage), match=r"not on the public internet|InvalidURL|ConnectError"):
        fetch(f"http://{host}:9/", ANY_PUBLIC)


def redirect(to: str) -> httpx.Response:
    return httpx.Response(302, headers={"location": to})


def test_a_redirect_is_checked_like_the_first_address() -> None:
    found = {"pictures.example": "93.184.215.14", "inside.example": "10.0.0.1"}
    inner = httpx.MockTransport(lambda request: redirect("http://u:secret@inside.example/"))
    transport = CheckedTransport(ANY_PUBLIC, inner, lambda host, port: [found[host]])

    with pytest.raises(AccessDenied, match=r"inside\.example is 10\.0\.0\.1") as caught:
        fetch("http://pictures.example/", ANY_PUBLIC, transport=transport)
    assert "secret" not in str(caught.value)


def test_only_listed_hosts_are_asked() -> None:
    listed = replace(UNTRUSTED, hosts=frozenset({"pictures.example"}))
    public = ["93.184.215.14"]

    refuse("https://Pictures.example./a.png", listed, public, httpx.Response(200))
    for url in ("https://elsewhere.example/", "https://pictures.example@elsewhere.example/"):
        with pytest.raises(AccessDenied, match=r"elsewhere\.example"):
            refuse(url, listed, public)
    with pytest.raises(AccessDenied, match=r"elsewhere\.example"):
        refuse("https://pictures.example/", listed, public, redirect("https://elsewhere.example/"))
    with pytest.raises(AccessDenied, match=r"is 127\.0\.0\.1"):
        refuse("https://pictures.example/", listed, ["127.0.0.1"])
    with pytest.raises(AccessDenied, match="may not come by 'http'"):
        refuse("http://pictures.example/", replace(listed, schemes=frozenset({"https"})), public)


def test_no_host_is_listed_for_strangers() -> None:
    with pytest.raises(AccessDenied, match="93"):
        read_picture("http://93.184.215.14/a.png", UNTRUSTED)


def test_the_connection_goes_to_the_address_that_was_checked_in_the_name_of_the_host() -> None:
    seen: list[httpx.Request] = []
    inner = httpx.MockTransport(lambda request: seen.append(request) or httpx.Response(200, content=b"found"))
    answers = iter([["93.184.215.14"], ["127.0.0.1"]])  # what the name means changes after it was looked up
    transport = CheckedTransport(ANY_PUBLIC, inner, lambda host, port: next(answers))

    assert fetch("https://pictures.example:8443/a.png", ANY_PUBLIC, transport=transport) == b"found"
    (request,) = seen
    assert str(request.url) == "https://93.184.215.14:8443/a.png"
    assert request.headers["host"] == "pictures.example:8443"
    assert request.extensions["sni_hostname"] == "pictures.example"


def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "2606:2800:21f:cb07::1":
            raise httpx.ConnectError("no route")
        return httpx.Response(200, content=b"found")

    both = CheckedTransport(
        ANY_PUBLIC, httpx.MockTransport(answer), lambda host, port: ["2606:2800:21f:cb07::1", "93.184.215.14"]
    )

    assert fetch("http://pictures.example/", ANY_PUBLIC, transport=both) == b"found"


def test_a_host_that_does_not_exist_is_named_without_credentials() -> None:
    def fails(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror("no such name")

    with pytest.raises(BadMessage, match="ConnectError") as caught:
        fetch("http://u:secret@nowhere.example/", ANY_PUBLIC, transport=CheckedTransport(ANY_PUBLIC, None, fails))
    assert "secret" not in str(caught.value)


class Pictures(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        content = png()
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Pictures) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_over_a_real_connection(port: int) -> None:
    url = f"http://127.0.0.1:{port}/a.png"
    listed = replace(UNTRUSTED, hosts=frozenset({"127.0.0.1"}))

    assert read_picture(url, TRUSTED).shape == (60, 60, 3)
    assert read_picture(url, replace(listed, private_hosts=True)).shape == (60, 60, 3)
    with pytest.raises(AccessDenied, match="not on the public internet"):
        read_picture(url, listed)


# Amounts


def bomb(side: int) -> bytes:
    """A PNG that says it is `side` pixels wide and high, in a hundred bytes; decoding it would fail as damaged."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")

    header = side.to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("access", "side"), [(UNTRUSTED, 7000), (TRUSTED, 11_000), (TRUSTED, 60_000)])
def test_a_picture_that_would_fill_the_memory_is_refused_before_it_is_decoded(access: Access, side: int) -> None:
    with pytest.raises(BadMessage, match="pixels"):
        read_picture(data_url(bomb(side)), access)


def test_a_stranger_gets_no_larger_pictures_than_the_model_is_used_to() -> None:
    part = {"image": data_url(png()), "min_pixels": 9_000_000, "max_pixels": 9_000_000}
    most = LIMITS.image.max_pixels

    (trusted,), (untrusted,) = (load_image(part, LIMITS, who).groups for who in (TRUSTED, UNTRUSTED))
    assert trusted[0].nbytes > 8 * 3 * most and untrusted[0].nbytes < 1.1 * 3 * most


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(40):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 5 * number, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_a_video_may_come_in_a_strangers_message(clip: Path) -> None:
    part = {"video": data_url(clip.read_bytes(), "video/mp4")}

    assert len(load_video(part, LIMITS, UNTRUSTED).groups) == 4
    for narrow, match in (
        (replace(UNTRUSTED, max_frames=6), "6 frames"),
        (replace(UNTRUSTED, decode_seconds=-1), "take longer"),
    ):
        with pytest.raises(AccessDenied, match=match):
            load_video(part, LIMITS, narrow)
    with pytest.raises(SourceUnreadable, match="64x48 is more than"):
        load_video(part, LIMITS, replace(UNTRUSTED, max_pixels=3000))


HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:4,\nclip.mp4\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize("playlist", ["ffconcat version 1.0\nfile clip.mp4\n", HLS])
def test_a_strangers_playlist_opens_no_other_file(clip: Path, tmp_path: Path, playlist: str) -> None:
    for folder in (tmp_path, clip.parent):
        file = folder / "list.m3u8"
        file.write_text(playlist)
        with pytest.raises(SourceUnreadable):
            load_video({"video": str(file)}, LIMITS, replace(UNTRUSTED, folders=(folder,)))
    assert load_video({"video": str(clip.parent / "list.m3u8")}, LIMITS, TRUSTED).groups


@pytest.mark.parametrize("come", ["data", "http"])
def test_a_playlist_from_elsewhere_opens_no_file_of_this_machine_whoever_asked_for_it(
    clip: Path, monkeypatch: pytest.MonkeyPatch, come: str
) -> None:
    content = b"ffconcat version 1.0\nfile clip.mp4\n"
    monkeypatch.setattr("tempfile.tempdir", str(clip.parent))  # so that the playlist lies beside what it names
    monkeypatch.setattr("edge.media.fetch.fetch", lambda url, access: content)
    address = data_url(content, "video/mp4") if come == "data" else "http://pictures.example/list.m3u8"

    with pytest.raises(SourceUnreadable):
        load_video({"video": address}, LIMITS, TRUSTED)


class Counting:
    """A clock that goes on by a second whenever it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1
        return self.now


def test_all_that_a_conversation_names_is_read_within_one_time(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Counting()
    for module in ("access", "messages", "videos"):
        monkeypatch.setattr(f"edge.media.{module}.time", clock)
    part = {"type": "video", "video": data_url(clip.read_bytes(), "video/mp4")}  # of 40 frames

    def seconds(*parts: dict[str, object], allowed: float) -> float:
        began = clock.now
        read([{"role": "user", "content": [*parts]}], LIMITS, replace(UNTRUSTED, decode_seconds=allowed))
        return clock.now - began

    once = seconds(part, allowed=1000)
    seconds(part, allowed=once)
    with pytest.raises(AccessDenied, match=r"messages\[0\].content\[1\]: .*take longer"):
        seconds(part, part, allowed=once)
    with pytest.raises(AccessDenied, match=r"content\[0\]: .*take longer"):
        seconds({**part, "nframes": 4}, allowed=once)  # is read twice
