import threading

from stream.wakeup import Wakeup

LONG = 20.0  # seconds; only a failing test waits that long


def test_a_call_before_the_wait_is_not_missed():
    wakeup = Wakeup()
    wakeup.set()
    wakeup.set()
    wakeup.wait(float("inf"))


def test_a_call_from_another_thread_ends_the_wait():
    wakeup = Wakeup()
    woken = threading.Event()
    thread = threading.Thread(target=lambda: (wakeup.wait(float("inf")), woken.set()))
    thread.start()
    wakeup.set()

    assert woken.wait(LONG)
    thread.join()


def test_without_a_call_the_wait_ends_with_its_time():
    Wakeup().wait(0.01)
    Wakeup().wait(-1.0)
