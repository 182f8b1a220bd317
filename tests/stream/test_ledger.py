import threading

import pytest

from stream.ledger import FramesUnaccounted, Ledger


def test_the_law_holds_while_every_frame_is_somewhere():
    held = [0]
    ledger = Ledger(lambda: held[0])
    for refused in (None, None, "between_samples", None):
        ledger.receive(refused)
    held[0] = 3
    ledger.check()
    held[0] = 0
    ledger.analyse(2)
    ledger.drop("overrun", 1)
    counts = ledger.check()

    assert (counts.received, counts.sampled, counts.analysed, counts.num_groups) == (4, 3, 2, 1)
    assert counts.dropped == {"between_samples": 1, "overrun": 1}
    assert counts.pending == 0


@pytest.mark.parametrize("pending", [0, 2, -1])
def test_a_frame_lost_or_counted_twice_is_a_named_error(pending):
    ledger = Ledger(lambda: pending)
    ledger.receive()

    with pytest.raises(FramesUnaccounted, match="1 frames received"):
        ledger.check()


def test_nobody_can_borrow_frames_to_make_the_sum_right():
    ledger = Ledger(lambda: -1)
    ledger.receive("between_samples")
    ledger.analyse(1)

    with pytest.raises(FramesUnaccounted):
        ledger.check()


def test_dropping_a_group_of_repetitions_is_no_drop():
    ledger = Ledger()
    ledger.drop("overrun", 0)

    assert ledger.counts().dropped == {}


def test_counts_are_a_value_of_their_own():
    ledger = Ledger()
    before = ledger.counts()
    ledger.receive("between_samples")
    ledger.change_resolution(3)

    assert before.received == 0
    assert before.dropped == {}
    assert ledger.counts().resolution_changes == 3


def test_threads_lose_no_count():
    ledger = Ledger()

    def work():
        for _ in range(500):
            with ledger.lock:  # one move: in and out at once
                ledger.receive("between_samples")
            ledger.check()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ledger.check().dropped == {"between_samples": 2000}
