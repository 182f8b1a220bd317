"""Nothing acknowledged is lost, whatever happens to the daemon, its disk and its clock."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.daemon.store import EventStore
from edge.errors import SearchTooSlow, StoreUnreadable
from stream.errors import SinkUnwritable
from stream.event import Box, Event, rfc3339

WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
from edge.daemon.store import EventStore
from stream.event import Event
store = EventStore(Path(sys.argv[1]))
first = int(sys.argv[2])
for number in range(first, first + 100_000):
    store.publish(Event("front", "ask", number, (0, 0), 0, 0, "arrival", 0, "said", "stop", id=f"{number:08d}"))
    print(number, flush=True)
"""
NOW = 1_800_000_000.0


def event(number: int, text: str = "nothing", stream: str = "front", task: str = "ask", at: float = NOW) -> Event:
    return Event(
        stream, task, number, (0, 0), 0.0, 0.5, "arrival", 0.1, text, "stop",
        id=f"{number:08d}", time=rfc3339(at + number),
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    store = EventStore(tmp_path / "events.sqlite", clock=lambda: NOW)
    yield store
    store.close()


def ids(found: list[dict[str, object]]) -> list[int]:
    return [int(str(each["id"])) for each in found]


def test_a_writer_that_is_killed_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    path, acknowledged = tmp_path / "events.sqlite", -1
    for _ in range(6):
        command = [sys.executable, "-c", WRITER, str(path), str(acknowledged + 2)]  # one may be there unacknowledged
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            lines = [int(writer.stdout.readline()) for _ in range(20)]
            writer.send_signal(signal.SIGKILL)
            lines += [int(line) for line in writer.stdout if line.endswith("\n")]
        acknowledged = lines[-1]
        store = EventStore(path)
        kept = set(ids(store.after("", limit=1_000_000)))
        store.close()
        assert set(lines) <= kept


def test_an_event_comes_back_as_it_was(store: EventStore) -> None:
    whole = replace(event(1), boxes=(Box("dog", 0.1, 0.2, 0.3, 0.4),), p_yes=0.25, flags=("cut",))
    store.publish(whole)
    assert Event.from_dict(store.after("")[0]) == whole


def test_it_goes_on_after_an_id_also_of_an_event_that_is_gone(store: EventStore) -> None:
    for number in range(0, 10, 2):
        store.publish(event(number, stream="front" if number % 4 else "back"))
    assert ids(store.after("00000004")) == [6, 8]
    assert ids(store.after("00000005")) == [6, 8]
    assert ids(store.after("00000002", stream="front")) == [6]
    assert ids(store.after("", limit=2)) == [0, 2]


def test_a_clock_that_is_set_back_changes_no_order(store: EventStore) -> None:
    for number, at in enumerate((0.0, 10.0, -3600.0, -3590.0)):
        store.publish(event(number, at=NOW + at))
    assert ids(store.after("00000001")) == [2, 3]
    assert ids(store.search()) == [3, 2, 1, 0]


def test_words_cameras_tasks_and_times_are_found(store: EventStore) -> None:
    store.publish(event(1, "A brown dog sleeps."))
    store.publish(event(2, "A dog barks.", stream="yard"))
    store.publish(replace(event(3, "found", task="ground:parcel"), boxes=(Box("parcel", 0, 0, 1, 1),)))
    assert ids(store.search("dog")) == [2, 1]
    assert ids(store.search("DOG sle")) == [1]
    assert ids(store.search("parcel")) == [3]
    assert ids(store.search(stream="yard")) == [2]
    assert ids(store.search(task="ground:parcel")) == [3]
    assert ids(store.search(start=NOW + 2, end=NOW + 2)) == [2]
    assert ids(store.search(limit=1)) == [3]
    assert store.search("cat") == []


HOSTILE = ['"', "a OR b", "said:x", "NEAR(", "*", "a*b", "'; DROP TABLE events", "-a", "^"]


@given(text=st.text(max_size=40) | st.sampled_from(HOSTILE))
def test_no_text_is_a_search_of_its_own_language(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    store = EventStore(tmp_path_factory.mktemp("store") / "events.sqlite")
    store.publish(event(1, f"before {text} after".replace("\0", "")))
    found = store.search(text)
    assert ids(found) in ([], [1])
    store.close()


def test_a_search_that_takes_too_long_is_ended_by_name(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.daemon.store.STEPS", 10)
    for number in range(300):
        store.publish(event(number, "dog " * 200))
    with pytest.raises(SearchTooSlow, match="shorter time"):
        store.search("dog", start=0, timeout=-1)


def test_the_oldest_go_by_age_and_by_size(tmp_path: Path) -> None:
    now = [NOW]
    aged = EventStore(tmp_path / "aged.sqlite", max_age=60, clock=lambda: now[0])
    for number in (0, 50, 100):
        aged.publish(event(number))
    now[0] += 130
    assert aged.trim() == 2
    assert ids(aged.after("")) == [100] and aged.search("nothing") and aged.status()["events"] == 1
    aged.close()
    full = EventStore(tmp_path / "full.sqlite", max_bytes=300_000)
    for number in range(900):
        full.publish(event(number, "word " * 100))
    full.trim()
    assert full.status()["bytes"] <= 300_000
    kept = ids(full.after("", limit=10_000))
    assert kept and kept == list(range(kept[0], 900))
    full.close()


def test_a_full_disk_is_told_and_passes(store: EventStore) -> None:
    pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
    store._writer.execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(SinkUnwritable, match="Make room"):
        for number in range(200):
            store.publish(event(number, "word " * 200))
    before = ids(store.after(""))
    store._writer.execute("PRAGMA max_page_count = 100000")
    store.publish(event(999))
    assert ids(store.after("")) == [*before, 999]


def test_a_damaged_file_is_kept_aside_and_a_new_one_begun(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite"
    path.write_bytes(b"this was never a database, but it is as long as one" * 100)
    store = EventStore(path, clock=lambda: NOW)
    store.publish(event(1))
    store.close()
    assert (tmp_path / f"events.sqlite.damaged-{int(NOW)}").read_bytes().startswith(b"this was never")


def test_one_of_a_newer_version_and_no_place_at_all_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite"
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(StoreUnreadable, match="version 99"):
        EventStore(path)
    with pytest.raises(StoreUnreadable, match="another file"):
        EventStore(tmp_path / "nowhere" / "events.sqlite")


def test_many_read_while_one_writes(store: EventStore) -> None:
    failed: list[BaseException] = []

    def read() -> None:
        try:
            for _ in range(20):
                found = ids(store.after(""))
                assert found == sorted(found)
                store.search("nothing")
        except BaseException as error:
            failed.append(error)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for number in range(100):
        store.publish(event(number))
    for reader in readers:
        reader.join()
    assert not failed
    assert len(store.after("")) == 100
