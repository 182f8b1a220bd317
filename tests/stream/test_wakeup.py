import threading
import time

from stream.wakeup import Wakeup

LONG = 20.0  # seconds; only a failing test waits that long


def sleeper(wakeup: Wakeup) -> tuple[threading.Thread, threading.Event]:
    """A thread that waits for ever, and whether it was woken."""
    woken = threading.Event()
    thread = threading.Thread(target=lambda: (wakeup.wait(float("inf")), woken.set()), daemon=True)
    thread.start()
    return thread, woken


def test_a_call_before_the_wait_is_not_missed_and_lasts_for_one():
    wakeup = Wakeup()
    wakeup.set()
    wakeup.set()

    _, woken = sleeper(wakeup)
    assert woken.wait(LONG)
    _, woken = sleeper(wakeup)
    assert not woken.wait(0.05)
    wakeup.set()
    assert woken.wait(LONG)


def test_a_call_from_another_thread_ends_the_wait():
    wakeup = Wakeup()
    thread, woken = sleeper(wakeup)
    assert not woken.wait(0.05)
    wakeup.set()

    assert woken.wait(LONG)
    thread.join()


def test_without_a_call_the_wait_ends_with_its_time():
    began = time.monotonic()
    Wakeup().wait(0.01)
    Wakeup().wait(-1.0)
    assert 0.01 <= time.monotonic() - began < LONG
