from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import BadAddress, SourceNotFound, UnknownScheme
from stream.sources import SOURCES, address
from stream.sources.address import open_source, parse, redact
from stream.sources.reconnect import Reconnecting

# What is typed, and what may be shown. SECRET, USER and their like never may.
SHOWN = {
    # Nothing to hide
    "rtsp://camera/live": "rtsp://camera/live",
    "rtsp://camera:554/live": "rtsp://camera:554/live",
    "rtsp://10.0.0.10:554/live?channel=1&subtype=0": "rtsp://10.0.0.10:554/live?channel=1&subtype=0",
    "rtsp://[fe80::1]:554/live": "rtsp://[fe80::1]:554/live",
    "rtsp://10.0.0.10:554/cam@1": "rtsp://10.0.0.10:554/cam@1",
    "rtsp://[::1]:554/cam@1": "rtsp://[::1]:554/cam@1",
    "https://example.org/@someone/clip.mp4": "https://example.org/@someone/clip.mp4",
    "http://example.org/clip.mp4?size=small#t=10": "http://example.org/clip.mp4?size=small#t=10",
    "synthetic://?seed=3&size=448x336": "synthetic://?seed=3&size=448x336",
    "synthetic:": "synthetic:",
    "camera:0": "camera:0",
    "/dev/video0": "/dev/video0",
    "clips/my clip.mp4": "clips/my clip.mp4",
    r"C:\clips\a.mp4": r"C:\clips\a.mp4",
    "": "",
    # Plain logins
    "rtsp://USER:SECRET@camera/live": "rtsp://***@camera/live",
    "rtsp://USER:SECRET@camera:554/live": "rtsp://***@camera:554/live",
    "rtsps://USER:SECRET@10.0.0.10:322/live": "rtsps://***@10.0.0.10:322/live",
    "http://USER:SECRET@camera/video.mjpg": "http://***@camera/video.mjpg",
    "https://USER:SECRET@camera": "https://***@camera",
    "RTSP://USER:SECRET@CAMERA/LIVE": "RTSP://***@CAMERA/LIVE",
    "rtsp://USER@camera/live": "rtsp://***@camera/live",
    "rtsp://:SECRET@camera/live": "rtsp://***@camera/live",
    "rtsp://USER:@camera/live": "rtsp://***@camera/live",
    "rtsp://USER:SECRET@[fe80::1]:554/live": "rtsp://***@[fe80::1]:554/live",
    "rtsp://USER:SECRET@[fe80::1]/cam@1": "rtsp://***@1",
    "rtsp://USER:SECRET@10.0.0.10/cam@1": "rtsp://***@1",
    "  rtsp://USER:SECRET@camera/live  ": "rtsp://***@camera/live",
    "rtsp+tcp://USER:SECRET@camera/live": "rtsp+tcp://***@camera/live",
    "unknown://USER:SECRET@camera/live": "unknown://***@camera/live",
    # Passwords that look like parts of an address
    "rtsp://USER:SEC@RET@camera/live": "rtsp://***@camera/live",
    "rtsp://USER:@SECRET@@camera/live": "rtsp://***@camera/live",
    "rtsp://USER:SECRET:SECRET@camera/live": "rtsp://***@camera/live",
    "rtsp://USER:SEC/RET@camera/live": "rtsp://***@camera/live",
    "rtsp://USER:/SECRET@camera/live": "rtsp://***@camera/live",
    "rtsp://USER:SECRET/@camera/live": "rtsp://***@camera/live",
    "rtsp://USER:12/SECRET@camera/live": "rtsp://***@camera/live",
    "rtsp://USER:SEC@RET/SECRET@camera/live": "rtsp://***@camera/live",
    "rtsp://USER:SEC?RET@camera/live": "rtsp://***@camera/live",
    "rtsp://USER:SEC#RET@camera/live": "rtsp://***@camera/live",
    "rtsp://USER:SEC RET@camera/live": "rtsp://***@camera/live",
    "rtsp://USER:SECRET SECRET SECRET@camera/live": "rtsp://***@camera/live",
    "rtsp://USER:SEC&RET@camera/live": "rtsp://***@camera/live",
    "rtsp://USER:SEC=RET@camera/live": "rtsp://***@camera/live",
    "rtsp://USER:SEC'RET\"SECRET@camera/live": "rtsp://***@camera/live",
    "rtsp://USER:SEC\\RET@camera/live": "rtsp://***@camera/live",
    "rtsp://USER:SEC[RET]@camera/live": "rtsp://***@camera/live",
    "rtsp://USER:a://SECRET@camera/live": "rtsp://***@camera/live",
    "rtsp://USER:SECRET%40SECRET@camera/live": "rtsp://***@camera/live",
    "rtsp://USER%3ASECRET@camera/live": "rtsp://***@camera/live",
    "rtsp://USER:SECRET%2FSECRET@camera/live": "rtsp://***@camera/live",
    "rtsp://USÉR:SECRETé密@camera/live": "rtsp://***@camera/live",
    "rtsp://corp.org\\USER:SECRET@camera/live": "rtsp://***@camera/live",
    "rtsp://USER@corp.org:SECRET@camera/live": "rtsp://***@camera/live",
    "rtsp:///USER:SECRET@camera/live": "rtsp://***@camera/live",
    # Written wrongly
    "rtsp:USER:SECRET@camera/live": "***@camera/live",
    "rtsp:/USER:SECRET@camera/live": "***@camera/live",
    r"rtsp:\\USER:SECRET@camera\live": r"***@camera\live",
    "USER:SECRET@camera/live": "***@camera/live",
    # Secrets in the query
    "http://camera/live?token=SECRET": "http://camera/live?token=***",
    "http://camera/live?a=1&password=SECRET&b=2": "http://camera/live?a=1&password=***",
    "http://camera/live?user=USER&pwd=SECRET": "http://camera/live?user=***",
    "http://camera/live?auth=SECRET": "http://camera/live?auth=***",
    "http://camera/live?Access_Token=SECRET": "http://camera/live?Access_Token=***",
    "http://camera/live?apiKey=SECRET": "http://camera/live?apiKey=***",
    "http://camera/live?X-Amz-Signature=SECRET": "http://camera/live?X-Amz-Signature=***",
    "http://camera/live?loginuse=USER&loginpas=SECRET": "http://camera/live?loginuse=***",
    "http://camera/live?pass%77ord=SECRET": "http://camera/live?pass%77ord=***",
    "http://camera/live?password=SEC/RET:SECRET": "http://camera/live?password=***",
    "http://camera/live?password=SEC&RET&b=2": "http://camera/live?password=***",
    "http://camera/live?password=SEC RET&b=2": "http://camera/live?password=***",
    "http://camera/live?password=SEC#RET": "http://camera/live?password=***",
    "http://camera/live?token=SEC_RET==": "http://camera/live?token=***",
    "http://camera/live;password=SECRET": "http://camera/live;password=***",
    "http://camera/live#access_token=SECRET": "http://camera/live#access_token=***",
    "http://USER:SECRET@camera/live?token=SECRET": "http://***@camera/live?token=***",
    # Addresses in addresses
    "http://proxy.lan/?src=rtsp://USER:SECRET@camera/live": "http://proxy.lan/?src=rtsp://***@camera/live",
    "http://proxy.lan/?src=rtsp%3A%2F%2FUSER%3ASECRET%40camera": "http://proxy.lan/?src=***",
    "http://proxy.lan/?src=rtsp%253A%252F%252FUSER%253ASECRET%2540camera": "http://proxy.lan/?src=***",
    "http://proxy.lan/?name=my%20cam": "http://proxy.lan/?name=my%20cam",
    # Logins in the path, as XMEye cameras want them
    "rtsp://camera:554/user=USER_password=SECRET_channel=1_stream=0.sdp": "rtsp://camera:554/user=***",
    "rtsp://camera:554/user=USER&password=SECRET&channel=1": "rtsp://camera:554/user=***",
}

TEXTS = {
    "[Errno 1] Unauthorized: 'rtsp://USER:SECRET@camera/live'": ("[Errno 1] Unauthorized: 'rtsp://***@camera/live'"),
    "cannot open rtsp://USER:SEC@RET@camera/live (401)": "cannot open rtsp://***@camera/live (401)",
    'in "http://camera/?password=SECRET" at once': 'in "http://camera/?password=*** at once',
    "rtsp://USER:SECRET@one/a, rtsp://USER:SECRET@two/b": "rtsp://***@two/b",  # could be one password
    "at rtsp://USER:SECRET@one/a, rtsp://USER:SECRET@two/b": "at rtsp://***@one/a, rtsp://***@two/b",
    "first rtsp://one/a then rtsp://USER:SECRET@two/b": "first rtsp://one/a then rtsp://***@two/b",
    "source=rtsp://USER:SECRET@one/a": "source=rtsp://***@one/a",
    "<rtsp://USER:SECRET@one/a>": "<rtsp://***@one/a>",
    "login USER:SECRET@one failed": "login ***@one failed",
    "Authorization: Basic VVNFUjpTRUNSRVQ=": "Authorization: Basic ***",
    "nothing happened at 10:30": "nothing happened at 10:30",
}


@pytest.mark.parametrize(("typed", "shown"), [*SHOWN.items(), *TEXTS.items()])
def test_no_secret_is_shown(typed: str, shown: str) -> None:
    assert redact(typed) == shown
    for secret in ("USER", "SEC", "RET", "VVNF"):
        assert secret not in redact(typed)


@pytest.mark.parametrize("typed", [*SHOWN, *TEXTS])
def test_what_is_redacted_stays_as_it_is(typed: str) -> None:
    assert redact(redact(typed)) == redact(typed)


passwords = st.text(st.sampled_from("@:/?#&=% '\"\\[]();,<>\n\tab.1-_|~$é"), max_size=12).map(lambda text: f"«{text}»")


@given(passwords)
def test_no_password_is_so_strange_that_it_shows(password: str) -> None:
    for typed in (
        f"rtsp://user:{password}@10.0.0.10:554/live",
        f"rtsp://user:{password}@camera/live",
        f"http://camera/live?a=1&password={password}&b=2",
        f"http://user:{password}@camera.lan/live?password={password}",
    ):
        assert "«" not in redact(typed) and "»" not in redact(typed)


@pytest.mark.timeout(10)  # it takes milliseconds; a pattern that tries every way would take minutes
@pytest.mark.parametrize("part", [":", "a:", "@", "a:@", "://", "a://", "&a=", "?a=", "/user", "%25", "?a=%25"])
def test_a_very_long_text_takes_no_time(part: str) -> None:
    redact(f"rtsp://camera/{part * 20_000}")
    redact(part * 20_000)


def test_in_doubt_more_is_hidden_than_needed() -> None:
    """It could be the path "cam@1" of a camera; it could be the user "camera" with the password "554/cam"."""
    assert redact("rtsp://camera:554/cam@1") == "rtsp://***@1"
    assert redact("http://camera/live?password=half@half") == "http://***"


@pytest.mark.parametrize(
    ("typed", "scheme", "target"),
    [
        ("rtsp://u:p@camera/live", "rtsp", "rtsp://u:p@camera/live"),
        ("RTSP://Camera/Live", "rtsp", "rtsp://Camera/Live"),
        (" rtsps://camera/live ", "rtsps", "rtsps://camera/live"),
        ("http://camera/video.mjpg", "http", "http://camera/video.mjpg"),
        ("https://camera/clip.mp4", "https", "https://camera/clip.mp4"),
        ("camera:0", "camera", "0"),
        ("camera://0", "camera", "0"),
        ("camera:/dev/video2", "camera", "/dev/video2"),
        ("/dev/video0", "camera", "/dev/video0"),
        ("/dev/v4l/by-id/usb-cam", "camera", "/dev/v4l/by-id/usb-cam"),
        ("0", "camera", "0"),
        ("synthetic:", "synthetic", "synthetic:"),
        ("synthetic://?seed=3", "synthetic", "synthetic://?seed=3"),
        ("clip.mp4", "file", "clip.mp4"),
        ("file:clip.mp4", "file", "clip.mp4"),
        ("file:///tmp/my%20clip.mp4", "file", "/tmp/my clip.mp4"),
        ("C:\\clips\\a.mp4", "file", "C:\\clips\\a.mp4"),
        ("folder:pictures", "folder", "pictures"),
    ],
)
def test_an_address_names_its_source(typed: str, scheme: str, target: str) -> None:
    found = parse(typed)
    assert (found.scheme, found.target) == (scheme, target)


def test_a_folder_is_known_by_looking(tmp_path: Path) -> None:
    assert parse(str(tmp_path)).scheme == parse(f"file://{tmp_path}").scheme == "folder"


def test_a_file_that_is_there_may_have_a_strange_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("concat:a").touch()
    Path("7").touch()
    assert parse("concat:a").scheme == "file"
    assert parse("7").scheme == "file"


@pytest.mark.parametrize(
    "typed",
    [
        "exec:rm -rf /",
        "concat:a.mp4|b.mp4",
        "pipe:0",
        "data:image/png;base64,AAAA",
        "lavfi://testsrc",
        "ftp://camera/clip.mp4",
        "subfile,,start,0,end,0,,://clip.mp4",
        "os:system://ls",
        "camera.lan:554/live",
    ],
)
def test_only_registered_schemes_are_opened(typed: str) -> None:
    with pytest.raises((UnknownScheme, SourceNotFound)) as caught:
        open_source(typed)
    if caught.type is UnknownScheme:
        assert all(scheme in str(caught.value) for scheme in SOURCES)


@pytest.mark.parametrize(
    ("typed", "encoded"),
    [
        ("rtsp://user:se#cret@camera/live", "%23"),
        ("rtsp://user:#secret@camera/live", "%23"),
        ("rtsp://user#1:secret@camera/live", "%23"),
        ("rtsp://user:12#secret@camera/live", "%23"),
        ("rtsp://user:se/cret@camera/live", "%2F"),
        ("http://user:se?cret@camera/live", "%3F"),
    ],
)
def test_a_password_with_a_raw_delimiter_says_how_to_write_it(typed: str, encoded: str) -> None:
    with pytest.raises(BadAddress, match=f"Percent-encode it: {encoded}") as caught:
        open_source(typed)
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    "typed",
    [
        "rtsp://user:se%23cret@camera/live#main",
        "rtsp://user:se@cret@camera/live?a=@",
        "rtsp://camera:554/cam@1",
        "rtsp://[::1]:554/cam@1",
        "https://example.org/@someone/clip.mp4#t=10",
        "rtsp://camera?name=a@b",
    ],
)
def test_an_at_sign_elsewhere_is_no_password(typed: str) -> None:
    assert parse(typed).target == typed


def test_an_unknown_scheme_is_reported_without_its_password() -> None:
    with pytest.raises(UnknownScheme) as caught:
        parse("rstp://user:secret@camera/live")
    assert "secret" not in str(caught.value) and "'rstp'" in str(caught.value)


def test_a_missing_file_is_reported_as_such() -> None:
    with pytest.raises(SourceNotFound, match=r"nothing\.mp4"):
        open_source("nothing.mp4")
    with pytest.raises(SourceNotFound, match="empty"):
        open_source("  ")


def test_the_representation_of_an_address_hides_the_login() -> None:
    found = parse("rtsp://user:secret@camera/live")
    assert "secret" not in repr(found)
    assert found.name == "rtsp://***@camera/live"


class Own:
    """Somebody's own source."""

    live = True

    def __init__(self, target: str, **options: object) -> None:
        self.name, self.options = target, options


def test_an_own_class_takes_the_place_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "Own", Own, raising=False)
    source = open_source("drone:7", source="stream.sources.address:Own", speed=3)
    assert isinstance(source, Own)
    assert (source.name, source.options) == ("drone:7", {"speed": 3})


def test_an_own_class_can_be_registered_under_a_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "Own", Own, raising=False)
    monkeypatch.setitem(SOURCES, "drone", "stream.sources.address:Own")
    assert isinstance(open_source("drone:7"), Own)


@pytest.mark.parametrize("source", ["nowhere", "no.such.module:Class", "stream.sources:Nothing"])
def test_a_source_that_cannot_be_imported_is_a_named_error(source: str) -> None:
    with pytest.raises(UnknownScheme, match=source):
        open_source("x", source=source)


@pytest.mark.parametrize("typed", ["rtsp://u:p@camera/live", "https://camera/live.mjpg", "camera:0"])
def test_live_sources_reconnect(typed: str) -> None:
    source = open_source(typed)
    assert isinstance(source, Reconnecting) and source.live
    assert ":p@" not in source.name
    source.close()


def test_a_recording_on_the_network_is_not_live() -> None:
    assert not open_source("https://camera/clip.mp4?a=1").live
    assert open_source("https://camera/clip.mp4", live=True).live


def test_an_option_that_a_source_does_not_know_is_an_error() -> None:
    with pytest.raises(TypeError, match="colour"):
        open_source("rtsp://camera/live", colour="red")


@pytest.mark.parametrize("password", ["s3cr3t\uff0f", "s3cr3t\uff20", "[s3cr3t"])
@pytest.mark.parametrize("scheme", ["rtsp", "http", "https"])
def test_a_password_that_no_address_can_hold_is_refused_and_not_shown(
    scheme: str, password: str, shows_nothing: Callable[..., None]
) -> None:
    text = f"{scheme}://viewer:{password}@camera/live"
    with pytest.raises(BadAddress, match="percent-encoded") as caught:
        parse(text)
    shows_nothing(caught.value)
    with pytest.raises(BadAddress, match="percent-encoded") as caught:
        open_source(text, source=scheme)
    shows_nothing(caught.value)
