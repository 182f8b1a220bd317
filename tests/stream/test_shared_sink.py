"""One sink for several streams."""

import threading
import time

import pytest

from stream.sinks.shared import share
from stream.testing import FakeSink


def test_the_sink_is_closed_with_the_last_stream():
    sink = FakeSink()
    one, other = share(sink, 2)
    one.close()
    one.close()
    assert not sink.is_closed
    other.publish("event", "picture")
    other.close()

    assert sink.is_closed and sink.events == ["event"]


def test_no_two_calls_are_made_at_once():
    at_work, started = threading.Lock(), threading.Barrier(4)

    class Strict(FakeSink):
        def publish(self, event, picture):
            assert at_work.acquire(blocking=False), "two calls at once"
            time.sleep(0)  # lets the others run
            super().publish(event, picture)
            at_work.release()

    def publish(handle):
        started.wait(20)
        for number in range(100):
            handle.publish(number, None)

    sink = Strict()
    threads = [threading.Thread(target=publish, args=(handle,)) for handle in share(sink, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert len(sink.events) == 400


def test_what_the_sink_raises_is_the_streams_own():
    class Full(FakeSink):
        def publish(self, event, picture):
            raise OSError(28, "No space left on device")

    one, other = share(Full(), 2)
    for handle in (one, other):
        with pytest.raises(OSError, match="No space"):
            handle.publish("event", None)
