"""Cameras that fail are tried again, those that are removed are not; nobody else notices."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

import edge
from edge.daemon.service import Service
from edge.daemon.wanted import Wanted, wanted
from edge.errors import AccessDenied, NameTaken, NoSuchStream
from stream.errors import AuthenticationFailed
from stream.sources import Source
from stream.tasks.describe import Describe
from stream.testing import FakeSource, frame


@pytest.fixture
def own(model: edge.Model) -> Iterator[Service]:
    service = Service(model, retries=(0.0,))
    yield service
    service.close()


def test_a_camera_that_fails_is_opened_again_and_its_answers_go_on(own: Service) -> None:
    tries, answered = [0], threading.Event()

    def open_source() -> Source:
        tries[0] += 1
        if tries[0] < 3:
            return FakeSource([AuthenticationFailed("the server wants another password.")], live=True)
        return FakeSource([frame(0.0), frame(0.5), threading.Event()], live=True)

    own.hub._wakers.add(answered.set)
    own.add("door", Wanted("rtsp://***@10.0.0.7", open_source, lambda: [Describe("Describe the video.")]))
    assert answered.wait(20)
    assert tries[0] == 3
    assert own.status("door")["failures"] == 2


def test_names_are_taken_once_and_unknown_ones_are_told_what_there_is(service: Service) -> None:
    with pytest.raises(NameTaken, match="front"):
        service.add("front", wanted("synthetic://?live=1"))
    for ask in (
        service.status,
        service.remove,
        service.judged,
        service.pause,
        service.resume,
        lambda name: service.ask(name, "Who?"),
    ):
        with pytest.raises(NoSuchStream, match=r"nobody.*front"):
            ask("nobody")


def test_a_removed_camera_is_gone_and_its_name_free(own: Service) -> None:
    for _ in range(2):
        own.add("door", wanted("synthetic://?live=1&seed=3"))
        own.remove("door")
    assert own.names() == []


def test_a_paused_camera_is_let_go_not_tried_and_watched_again(own: Service) -> None:
    opened, answered = [0], threading.Event()

    def open_source() -> Source:
        opened[0] += 1
        return FakeSource([frame(0.0), frame(0.5), threading.Event()], live=True)

    own.hub._wakers.add(answered.set)
    own.add("door", Wanted("rtsp://10.0.0.7", open_source, lambda: [Describe("Describe the video.")]))
    assert answered.wait(20)
    for _ in range(2):
        own.pause("door")
    status = own.status("door")
    assert (status["state"], status["counts"], own.is_fresh("door")) == ("paused", None, True)
    with pytest.raises(NoSuchStream, match=r"paused.*Resume"):
        own.ask("door", "Who is there?")
    answered.clear()
    for _ in range(2):
        own.resume("door")
    assert answered.wait(20) and opened[0] == 2
    assert own.status("door")["state"] == "watching"


def test_a_change_that_cannot_be_changes_nothing(own: Service) -> None:
    def refuse() -> Source:
        raise AuthenticationFailed("no.")

    own.add("door", wanted("synthetic://?live=1&seed=3"))
    with pytest.raises(AuthenticationFailed):
        own.change("door", Wanted("rtsp://10.0.0.7", refuse, lambda: [Describe("Describe the video.")]))
    assert own.status("door")["source"] == "synthetic://?live=1&seed=3"
    assert own.status("door")["state"] == "watching"


def test_a_camera_that_waits_to_be_tried_is_not_tried_while_it_is_paused(model: edge.Model) -> None:
    tries, failed = [0], threading.Semaphore(0)

    def open_source() -> Source:
        tries[0] += 1
        failed.release()
        return FakeSource([AuthenticationFailed("the server wants another password.")], live=True)

    service = Service(model, retries=(3600.0,))
    try:
        service.add("door", Wanted("rtsp://10.0.0.7", open_source, lambda: [Describe("Describe the video.")]))
        assert failed.acquire(timeout=20)
        service.pause("door")
        service._retry(service._streams["door"])  # as a timer would that had begun already
        assert tries[0] == 1
        service.resume("door")
        assert failed.acquire(timeout=20)
    finally:
        service.close()


def test_what_was_asked_for_is_checked_before_anything_is_opened(own: Service) -> None:
    with pytest.raises(ValueError, match="fps"):
        wanted("synthetic://?live=1", fps=0)
    with pytest.raises(ValueError):
        wanted("synthetic://?live=1", ask=[" "])
    assert own.names() == []


@pytest.mark.parametrize("source", ["/etc/passwd", "file:///etc/passwd", "camera:0", "os:system", "clip.mp4", "a/"])
def test_from_afar_no_file_device_or_program_of_this_machine_can_be_named(source: str) -> None:
    with pytest.raises((AccessDenied, ValueError)):
        wanted(source, is_trusted=False)


def test_a_password_is_not_told(own: Service) -> None:
    assert "hunter2" not in repr(wanted("rtsp://viewer:hunter2@10.0.0.7/live"))


def test_where_the_engine_has_ended_no_camera_is_tried(own: Service) -> None:
    own.add("door", wanted("synthetic://?live=1"))
    own._scheduler.stop()
    own._thread.join(20)
    stream = own._streams["door"]
    with own._lock:  # whoever tried it meanwhile is done
        before = stream.failures
    own._retry(stream)
    assert stream.failures == before and not own.is_alive


def test_a_service_that_has_ended_says_so(model: edge.Model) -> None:
    service = Service(model)
    assert service.is_alive
    service.close()
    service.close()
    assert not service.is_alive
