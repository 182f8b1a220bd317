"""Tells systemd that the daemon is there, that its engine goes on, and that it ends: sd_notify(3), `Type=notify`.

The watchdog is fed only while the engine's thread takes turns. A camera that is off is no reason to start all anew.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

ADDRESS, WATCHDOG = "NOTIFY_SOCKET", "WATCHDOG_USEC"  # in the environment, by systemd
FEEDINGS = 3  # in the time after which the watchdog bites


class Supervisor:
    """Does nothing where nobody asked to be told.

    Args:
        advances: whether the engine has taken a turn since it was asked last.
    """

    def __init__(self, environ: Mapping[str, str], advances: Callable[[], bool]) -> None:
        self._address = environ.get(ADDRESS, "")
        self._advances = advances
        microseconds = environ.get(WATCHDOG, "")
        self._seconds = int(microseconds) / 1e6 / FEEDINGS if microseconds.isdigit() else 0.0
        self._is_over = threading.Event()

    def ready(self) -> None:
        self._tell("READY=1")
        if self._address and self._seconds:
            threading.Thread(target=self._feed, name="edge.watchdog", daemon=True).start()

    def ending(self) -> None:
        self._is_over.set()
        self._tell("STOPPING=1")

    def _feed(self) -> None:
        while not self._is_over.wait(self._seconds):
            if self._advances():
                self._tell("WATCHDOG=1")
            else:
                log.warning("the engine has not taken a turn for %.0f s", self._seconds)

    def _tell(self, said: str) -> None:
        if not self._address:
            return
        # A name that begins with @ lies in no folder: the kernel wants a zero there.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
                to.connect(address)
                to.send(said.encode())
        except OSError as error:
            log.warning("systemd does not hear %s: %s", said, error)
