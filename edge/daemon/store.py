"""Events on disk: what was said survives the daemon, can be searched, and resumed from.

SQLite with a write-ahead log. `publish` returns once an event is on the disk (synchronous=FULL): a daemon that is
killed the moment after has lost nothing that it acknowledged. Order is that of publication, whatever the wall clock did
since. Knows events and no HTTP.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from edge.errors import SearchTooSlow, StoreUnreadable
from stream.errors import SinkUnwritable
from stream.event import Event
from stream.frame import Pixels

log = logging.getLogger(__name__)

VERSION = 1  # of the tables
TABLES = """
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,  -- in the order of publication, never given twice
    id TEXT NOT NULL UNIQUE, stream TEXT NOT NULL, task TEXT NOT NULL,
    time REAL NOT NULL,                     -- of the newest frame, seconds since 1970
    body TEXT NOT NULL                      -- the event's JSON
);
CREATE INDEX by_stream ON events (stream, seq);
CREATE INDEX by_time ON events (time);
CREATE VIRTUAL TABLE words USING fts5 (said);  -- rowid is seq
"""
TRIMMED_EACH = 200  # events
SHARE = 20  # of what is too much, the oldest twentieth goes at a time
STEPS = 10_000  # of SQLite's machine between two looks at the clock


class EventStore:
    """For any thread.

    Args:
        max_age: seconds after which an event goes.
        max_bytes: of the file; the oldest events make room.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_age: float | None = None,
        max_bytes: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises StoreUnreadable for one of a newer version, and where nothing can be written. A damaged file is moved
        aside, and a new one begun."""
        self.path = path
        self._max_age, self._max_bytes, self._clock = max_age, max_bytes, clock
        self._lock = threading.Lock()  # of the writer
        self._since_trim = 0
        try:
            self._writer = self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise StoreUnreadable(f"{path}: no events can be kept there ({error}). Choose another file.") from error
            self._move_aside(error)
            self._writer = self._open()
        self.trim()

    def publish(self, event: Event, picture: Pixels | None = None) -> None:
        """Raises SinkUnwritable for a full disk; there may be room for the next one."""
        said = " ".join([event.text, event.question, *(box.label for box in event.boxes)])
        taken = datetime.fromisoformat(event.time).timestamp() if event.time else self._clock()
        row = (event.id, event.stream, event.task, taken, event.to_json())
        try:
            with self._lock, self._writer:
                seq = self._writer.execute(
                    "INSERT INTO events (id, stream, task, time, body) VALUES (?, ?, ?, ?, ?)", row
                ).lastrowid
                self._writer.execute("INSERT INTO words (rowid, said) VALUES (?, ?)", (seq, said))
        except sqlite3.Error as error:
            raise SinkUnwritable(f"{self.path}: an event could not be kept ({error}). Make room.") from error
        self._since_trim += 1
        if self._since_trim >= TRIMMED_EACH:
            self.trim()

    def after(self, event_id: str, *, stream: str | None = None, limit: int = 1000) -> list[dict[str, Any]]:
        """The oldest events published later than that one. Of an id that is not here any more: those whose ids are
        greater."""
        query = """
            SELECT body FROM events WHERE seq > coalesce(
                (SELECT seq FROM events WHERE id = :id), (SELECT max(seq) FROM events WHERE id < :id), 0
            ) AND (:stream IS NULL OR stream = :stream) ORDER BY seq LIMIT :limit"""
        asked = {"id": event_id, "stream": stream, "limit": limit}
        with self._reader() as reader:
            return [json.loads(body) for (body,) in reader.execute(query, asked)]

    def search(
        self,
        text: str = "",
        *,
        stream: str | None = None,
        task: str | None = None,
        start: float | None = None,
        end: float | None = None,
        limit: int = 50,
        timeout: float = 2.0,
    ) -> list[dict[str, Any]]:
        """The newest events that say all words of `text`, the last one perhaps begun; times are seconds since 1970.

        Raises SearchTooSlow after `timeout` seconds.
        """
        query = """
            SELECT body FROM events WHERE (:stream IS NULL OR stream = :stream) AND (:task IS NULL OR task = :task)
            AND (:start IS NULL OR time >= :start) AND (:end IS NULL OR time <= :end)
            AND (:words = '' OR seq IN (SELECT rowid FROM words WHERE said MATCH :words))
            ORDER BY seq DESC LIMIT :limit"""
        asked = {
            "stream": stream, "task": task, "start": start, "end": end, "limit": limit, "words": _quoted(text),
        }  # fmt: skip
        deadline = time.monotonic() + timeout
        with self._reader() as reader:
            reader.set_progress_handler(lambda: time.monotonic() > deadline, STEPS)
            try:
                return [json.loads(body) for (body,) in reader.execute(query, asked)]
            except sqlite3.OperationalError as error:
                if "interrupt" not in str(error):
                    raise
                raise SearchTooSlow(
                    f"the search took more than {timeout:g} s. Name a stream, or a shorter time."
                ) from error

    def trim(self) -> int:
        """Lets the oldest go, by age and by size; how many went."""
        self._since_trim = 0
        gone = 0
        try:
            if self._max_age is not None:
                gone += self._forget("time < ?", self._clock() - self._max_age)
            while self._max_bytes is not None and (count := self._count()) and self._size() > self._max_bytes:
                oldest = "seq IN (SELECT seq FROM events ORDER BY seq LIMIT ?)"
                gone += self._forget(oldest, max(1, count // SHARE))
        except sqlite3.Error as error:
            log.warning("%s: old events could not go: %s", self.path, error)
        return gone

    def status(self) -> dict[str, Any]:
        return {"path": str(self.path), "events": self._count(), "bytes": self._size()}

    def close(self) -> None:
        """Idempotent."""
        with self._lock:
            self._writer.close()

    def _open(self) -> sqlite3.Connection:
        writer = sqlite3.connect(self.path, check_same_thread=False)
        try:
            version = writer.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise StoreUnreadable(
                    f"{self.path}: its tables are of version {version}, and this program reads {VERSION}. "
                    "Install a newer one, or choose another file."
                )
            writer.execute("PRAGMA auto_vacuum = INCREMENTAL")
            writer.execute("PRAGMA journal_mode = WAL")
            writer.execute("PRAGMA synchronous = FULL")
            if version == 0:
                writer.executescript(f"BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
            writer.execute("SELECT count(*) FROM events").fetchone()
        except BaseException:
            writer.close()
            raise
        return writer

    def _move_aside(self, error: sqlite3.DatabaseError) -> None:
        aside = self.path.with_name(f"{self.path.name}.damaged-{int(self._clock())}")
        self.path.rename(aside)
        for end in ("-wal", "-shm"):  # they belong to the damaged one
            self.path.with_name(self.path.name + end).unlink(missing_ok=True)
        log.warning("%s is damaged (%s): it is kept as %s, and a new one begun", self.path, error, aside.name)

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True)) as reader:
            yield reader

    def _forget(self, which: str, value: float) -> int:
        with self._lock, self._writer:
            self._writer.execute(f"DELETE FROM words WHERE rowid IN (SELECT seq FROM events WHERE {which})", (value,))
            gone = self._writer.execute(f"DELETE FROM events WHERE {which}", (value,)).rowcount
        with self._lock:
            self._writer.execute("PRAGMA incremental_vacuum").fetchall()
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return gone

    def _count(self) -> int:
        with self._reader() as reader:
            count: int = reader.execute("SELECT count(*) FROM events").fetchone()[0]
            return count

    def _size(self) -> int:
        """Bytes of the pages in use."""
        with self._reader() as reader:
            pages, free, size = (
                reader.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
            )
            return int((pages - free) * size)


class Stored:
    """A camera's handle on the store: a sink."""

    name = "store"

    def __init__(self, store: EventStore) -> None:
        self._store = store

    def publish(self, event: Event, picture: Pixels) -> None:
        self._store.publish(event)

    def close(self) -> None:
        """The store goes on for the others."""


def _quoted(text: str) -> str:
    """Words as a search for all of them, whatever signs of the search's own language they hold."""
    words = [word.replace('"', '""').replace("\0", "") for word in text.split()]
    quoted = [f'"{word}"' for word in words if any(sign.isalnum() for sign in word)]
    return " ".join(quoted) + "*" if quoted else ""
