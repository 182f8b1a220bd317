"""What a message may make this machine open, fetch and decode, by who wrote it.

`TRUSTED` is for people at their own machine: all they could open themselves. `UNTRUSTED` is for strangers: what
the message carries in itself, as data URLs and arrays. To let strangers name more, list it:

    replace(UNTRUSTED, hosts=frozenset({"pictures.example"}), folders=(Path("/srv/pictures"),))

Knows rules. Opens nothing, and asks no network: who opens and fetches, asks here.
"""

from __future__ import annotations

import ipaddress
import math
import time
from dataclasses import dataclass
from pathlib import Path

from edge.errors import AccessDenied
from stream.sources.redaction import redact

PATH = "path"
"""The scheme of an address that has none."""

NAT64 = ipaddress.ip_network("64:ff9b::/96")  # the last four bytes are an IPv4 address

# Nothing public lies there, though the standard library calls it global.
NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "::/96",  # IPv4 addresses as they were once written (RFC 4291, 2.5.5.1)
        "::ffff:0:0:0/96",  # IPv4 addresses for a translator (RFC 2765)
        "64:ff9b:1::/48",  # the same, of one's own network (RFC 8215)
        "fec0::/10",  # one's own network, as it was once written (RFC 3879)
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """None means any. Without arguments: what strangers may."""

    schemes: frozenset[str] | None = frozenset({"data", "http", "https", "file", PATH})
    hosts: frozenset[str] | None = frozenset()  # names, in lower case; each hop of a redirect is asked about
    private_hosts: bool = False  # may a host be this machine, or one of its own network?
    folders: tuple[Path, ...] | None = ()  # files in them and below, wherever a symbolic link seems to lead
    above_limits: bool = False  # may a message ask for larger pictures than the model is used to?
    max_bytes: int = 32 * 2**20  # of a data URL or a download; of a file where `folders` are listed
    fetch_seconds: float = 20.0  # of a download, from its beginning
    decode_seconds: float = 60.0  # of a conversation: to fetch and read all that it names
    max_pixels: int = 40_000_000  # of a picture as it is stored, and of a frame of a video
    max_frames: int = 256  # of all videos of a conversation together; a picture counts as two, which show the same

    @property
    def files_are_trusted(self) -> bool:
        return self.folders is None

    @property
    def any_host(self) -> bool:
        return self.hosts is None and self.private_hosts

    def check_scheme(self, scheme: str, address: str) -> None:
        if self.schemes is not None and scheme not in self.schemes:
            raise AccessDenied(f"{_named(address)}: pictures and videos may not come by {scheme!r} here.")

    def check_host(self, host: str) -> None:
        if self.hosts is not None and host.lower().rstrip(".") not in self.hosts:
            raise AccessDenied(f"the host {_named(host)} is none that pictures and videos may be fetched from here.")

    def check_ip(self, ip: str, host: str) -> None:
        """The address that is connected to, whatever the host's name makes believe."""
        if not self.private_hosts and not is_public(ip):
            raise AccessDenied(f"the host {_named(host)} is {ip}, which is not on the public internet.")

    def real_path(self, path: Path) -> Path:
        """What is to be opened instead of `path`: with every symbolic link followed."""
        if self.folders is None:
            return path
        try:
            real = path.resolve()
        except (OSError, RuntimeError):  # links in a circle, a name too long
            raise AccessDenied(f"{_named(str(path))} is no file that may be read here.") from None
        if not any(real.is_relative_to(folder.resolve()) for folder in self.folders):
            raise AccessDenied(f"{_named(str(path))} is no file that may be read here.")
        return real

    def check_file(self, path: Path) -> None:
        """A pipe or a device may never end, and a folder may hold links that lead out of it."""
        if self.folders is None:
            return
        if not path.is_file():
            raise AccessDenied(f"{_named(str(path))} is no regular file.")
        self.check_bytes(path.stat().st_size, str(path))

    def check_bytes(self, count: float, what: str) -> None:
        if count > self.max_bytes:
            raise AccessDenied(f"{_named(what)} is larger than {self.max_bytes / 2**20:g} MB. Send a smaller file.")

    def check_frames(self, count: int) -> None:
        if count > self.max_frames:
            raise AccessDenied(
                f"the pictures and videos of a conversation may have {self.max_frames} frames together. "
                "Send fewer pictures, or lower 'fps'."
            )

    def check_time(self, deadline: float) -> None:
        """`deadline` is on the clock of time.monotonic()."""
        if time.monotonic() > deadline:
            raise AccessDenied(
                "the pictures and videos of the conversation take longer to read than is allowed here. "
                "Send fewer, or shorter ones."
            )


UNTRUSTED = Access()
TRUSTED = Access(
    schemes=None, hosts=None, private_hosts=True, folders=None, above_limits=True, max_bytes=256 * 2**20,
    fetch_seconds=60.0, decode_seconds=math.inf, max_pixels=100_000_000, max_frames=2**31,
)  # fmt: skip


def is_public(ip: str) -> bool:
    """False for this machine, its network and whatever else the internet does not route to, however it is written."""
    address = ipaddress.ip_address(ip)
    if isinstance(address, ipaddress.IPv6Address):
        inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in NAT64:
            inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if not all(is_public(str(each)) for each in inner if each is not None):
            return False
        if address.ipv4_mapped is not None:
            return True
        if any(address in network for network in NOT_PUBLIC):
            return False
    return address.is_global and not address.is_multicast


def _named(text: str) -> str:
    """Without credentials; a long one may be the base64 of a picture."""
    shown = redact(text)
    return shown if len(shown) <= 200 else f"{shown[:40]}... ({len(text)} characters)"
