"""What people write for a camera, and what it is called then."""

import pytest

from stream.naming import file_form, name_cameras, split_name


@pytest.mark.parametrize(
    ("word", "name", "address"),
    [
        ("front=rtsp://10.0.0.7/live", "front", "rtsp://10.0.0.7/live"),
        (" front door = rtsp://10.0.0.7/live ", "front door", "rtsp://10.0.0.7/live"),
        ("Küche-2.links=0", "Küche-2.links", "0"),
        ("camera=camera:0", "camera", "camera:0"),
        ("a=http://10.0.0.7/now.jpg?size=2=x", "a", "http://10.0.0.7/now.jpg?size=2=x"),
        ("rtsp://10.0.0.7/live?channel=1", None, "rtsp://10.0.0.7/live?channel=1"),
        ("synthetic:?seed=3", None, "synthetic:?seed=3"),
        ("./clips/a=b.mp4", None, "./clips/a=b.mp4"),
        ("file:a=b.mp4", None, "file:a=b.mp4"),
        ("clip.mp4", None, "clip.mp4"),
    ],
)
def test_a_name_is_told_from_an_address(word, name, address):
    found = split_name(word)

    assert (found.name, found.address) == (name, address)


def test_what_exists_as_a_file_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "front=1.mp4").touch()

    assert split_name("front=1.mp4").name is None


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("=rtsp://10.0.0.7/live", "is empty"),
        ("  =rtsp://10.0.0.7/live", "is empty"),
        ("front=", "has no address"),
        ("front= ", "has no address"),
        ("0=rtsp://10.0.0.7/live", "cannot be told from an address"),
        ("front:door=rtsp://10.0.0.7/live", "cannot be told from an address"),
        ("user@host=rtsp://10.0.0.7/live", "cannot be told from an address"),
        ("-front=rtsp://10.0.0.7/live", "cannot be told from an address"),
    ],
)
def test_a_bad_name_is_refused_with_what_to_write(word, says):
    with pytest.raises(ValueError, match=says):
        split_name(word)


@pytest.mark.parametrize("word", ["=rtsp://u:s3cr3t@h/live", "u:s3cr3t@h=1"])
def test_a_refusal_shows_no_password(word):
    with pytest.raises(ValueError) as refused:
        split_name(word)

    assert "s3cr3t" not in str(refused.value)


@pytest.mark.parametrize("second", ["front", "Front", "FRONT"])
def test_a_name_given_twice_is_refused(second):
    with pytest.raises(ValueError, match="given twice"):
        name_cameras(["front=rtsp://10.0.0.7/live", f"{second}=rtsp://10.0.0.8/live"])


def test_two_names_that_make_one_file_are_refused():
    with pytest.raises(ValueError, match="as 'front door'"):
        name_cameras(["front door=rtsp://10.0.0.7/live", "front-door=rtsp://10.0.0.8/live"])


def test_who_has_no_name_gets_one_without_a_password_and_of_its_own():
    words = ["rtsp://u:s3cr3t@h.de/live", "back=clip.mp4", "rtsp://v:s3cr3t@h.de/live", "clip.mp4", "BACK"]
    cameras = name_cameras(words)

    assert [camera.name for camera in cameras] == [
        "rtsp://***@h.de/live", "back", "rtsp://***@h.de/live #2", "clip.mp4", "BACK #2",
    ]  # fmt: skip
    assert "s3cr3t" not in repr(cameras)
    assert len({file_form(camera.name).casefold() for camera in cameras}) == len(words)


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "..", "***", "a\x1b[2J\nb", "c:\\d"])
def test_no_name_leads_out_of_a_folder(name):
    form = file_form(name)

    assert form and not set(form) & set("/\\:*\x1b\n") and not form.startswith(".")
