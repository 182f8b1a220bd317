import math
import threading
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from stream.mailbox import Mailbox, num_frames
from stream.testing import group
from stream.wakeup import Wakeup


def indices(groups):
    return [group.index for group in groups]


def wait_and_take(mailbox, arrival, limit=None):
    """Groups as soon as there are some; nothing at the end."""
    while not (taken := mailbox.take(limit)) and not mailbox.ended:
        arrival.wait(10)
    return taken


def in_thread(work):
    """The work's result, once the thread has ended."""
    results = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()

    def result():
        thread.join(10)
        return results[0]

    return result


def test_live_keeps_the_newest_and_drops_the_oldest_whole_with_the_reason():
    dropped = Counter()
    mailbox = Mailbox(2, live=True, on_drop=lambda reason, frames: dropped.update({reason: frames}))
    mailbox.put([group(0), group(1, num_frames=1)])
    mailbox.put([group(2), group(3)])

    assert dropped == {"overrun": 3}
    assert mailbox.pending == 4
    assert indices(mailbox.take()) == [2, 3]


def test_take_gives_everything_or_up_to_a_limit():
    mailbox = Mailbox(9, live=True)
    mailbox.put([group(index) for index in range(5)])

    assert indices(mailbox.take(limit=2)) == [0, 1]
    assert indices(mailbox.take(limit=9)) == [2, 3, 4]


def test_take_never_waits_and_nothing_is_not_the_end():
    mailbox = Mailbox(2, live=True)

    assert mailbox.take() == []
    assert not mailbox.ended


@pytest.mark.parametrize("live", [True, False])
def test_whoever_takes_is_told_of_every_group_and_of_the_end(live):
    told = []
    mailbox = Mailbox(2, live, on_arrival=lambda: told.append(mailbox.pending))
    mailbox.put([group(0), group(1)])
    mailbox.close()

    assert len(told) == 3


def test_the_wait_of_the_first_group_is_not_shortened_by_dropping_it():
    now = iter([10.0, 11.0, 12.0, 20.0, 30.0])
    mailbox = Mailbox(1, live=True, clock=lambda: next(now))
    assert mailbox.waiting_since == math.inf
    mailbox.put([group(0), group(1), group(2)])
    assert mailbox.waiting_since == 10.0
    mailbox.take()
    assert mailbox.waiting_since == math.inf
    mailbox.put([group(3)])
    assert mailbox.waiting_since == 20.0
    mailbox.take()
    mailbox.close()
    mailbox.take()
    assert mailbox.waiting_since == 30.0  # the end waits to be found, however often it is


def test_a_file_loses_nothing_however_slow_the_taker():
    arrival = Wakeup()
    mailbox = Mailbox(1, live=False, on_drop=lambda *drop: pytest.fail(f"dropped {drop}"), on_arrival=arrival.set)

    def read():
        for start in range(0, 40, 2):
            mailbox.put([group(start), group(start + 1)])
        mailbox.close()

    reader = in_thread(read)
    taken = []
    while some := wait_and_take(mailbox, arrival):
        taken += indices(some)
    reader()

    assert taken == list(range(40))


def test_groups_at_the_door_are_pending():
    arrival = Wakeup()
    mailbox = Mailbox(1, live=False, on_arrival=arrival.set)
    put = in_thread(lambda: mailbox.put([group(0), group(1), group(2)]))
    wait_and_take(mailbox, arrival, limit=1)

    assert mailbox.pending == 4
    wait_and_take(mailbox, arrival, limit=1)
    wait_and_take(mailbox, arrival, limit=1)
    assert put() is True
    assert mailbox.pending == 0


def test_closing_frees_whoever_waits_at_the_door_and_counts_what_was_left_there():
    dropped = Counter()
    mailbox = Mailbox(1, live=False, on_drop=lambda reason, frames: dropped.update({reason: frames}))
    mailbox.put([group(0)])
    put = in_thread(lambda: mailbox.put([group(1), group(2)]))
    mailbox.close()

    assert put() is False
    assert dropped == {"stopped": 4}
    assert indices(mailbox.take()) == [0]
    assert mailbox.ended


def test_closing_frees_whoever_waits_for_a_group():
    arrival = Wakeup()
    mailbox = Mailbox(1, live=True, on_arrival=arrival.set)
    taken = in_thread(lambda: wait_and_take(mailbox, arrival))
    mailbox.close()

    assert taken() == []
    assert mailbox.ended


def test_nothing_can_be_put_into_a_closed_mailbox():
    for live in (True, False):
        dropped = Counter()
        mailbox = Mailbox(1, live=live, on_drop=lambda reason, n, seen=dropped: seen.update({reason: n}))
        mailbox.close()

        assert mailbox.put([group(0)]) is False
        assert dropped == {"stopped": 2}


def test_an_error_is_raised_after_what_came_before_it_and_then_every_time():
    mailbox = Mailbox(2, live=True)
    mailbox.put([group(0)])
    mailbox.close(ValueError("cable"))
    mailbox.close()

    assert indices(mailbox.take()) == [0]
    for _ in range(2):
        with pytest.raises(ValueError, match="cable"):
            mailbox.take()


def test_the_first_close_counts():
    mailbox = Mailbox(2, live=True)
    mailbox.close()
    mailbox.close(ValueError("too late"))

    assert mailbox.take() == []


def test_discarding_drops_with_the_reason_given():
    dropped = Counter()
    mailbox = Mailbox(3, live=True, on_drop=lambda reason, frames: dropped.update({reason: frames}))
    mailbox.put([group(0), group(1, num_frames=0)])
    mailbox.discard("stopped")

    assert dropped == {"stopped": 2}
    assert mailbox.pending == 0


def test_a_mailbox_without_room_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        Mailbox(0, live=True)


class LiveMailbox(RuleBasedStateMachine):
    """Against a list, in one thread: order kept, newest kept, every frame counted."""

    def __init__(self):
        super().__init__()
        self.dropped = 0
        self.given = self.taken = self.index = 0
        self.mailbox = Mailbox(3, live=True, on_drop=self.drop)
        self.model = []
        self.closed = False

    def drop(self, reason, frames):
        self.dropped += frames

    @rule(sizes=st.lists(st.integers(0, 2), max_size=5))
    def put(self, sizes):
        new = [group(self.index + number, size) for number, size in enumerate(sizes)]
        self.index += len(new)
        self.given += num_frames(new)
        assert self.mailbox.put(new) is not self.closed
        if not self.closed:
            self.model = (self.model + indices(new))[-3:]

    @rule(limit=st.none() | st.integers(1, 4))
    def take(self, limit):
        taken = self.mailbox.take(limit)
        self.taken += num_frames(taken)
        assert indices(taken) == self.model[:limit]
        self.model = self.model[len(taken) :]

    @rule()
    def discard(self):
        self.mailbox.discard("stopped")
        self.model = []

    @rule()
    def close(self):
        self.mailbox.close()
        self.closed = True

    @invariant()
    def every_frame_is_somewhere(self):
        assert self.given == self.taken + self.dropped + self.mailbox.pending


LiveMailbox.TestCase.settings = settings(max_examples=50, deadline=None)
TestLiveMailbox = LiveMailbox.TestCase
