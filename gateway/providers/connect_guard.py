"""What keeps litellm's process from connecting to anywhere that the configuration does not name.

Below litellm are half a dozen HTTP clients. What they have in common is Python's ``socket``, which tells an audit hook
of every look-up and every connection before it is made (PEP 578). A hook cannot be taken out again, by whomever.
"""

import contextlib
import ipaddress
import json
import os
import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

LOOKED_UP: Final = frozenset({"socket.getaddrinfo", "socket.gethostbyname"})
CONNECTED: Final = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
MOST_ADDRESSES: Final = 10_000


class Destination(NamedTuple):
    """A host, whose labels may be ``*``, and a port; None: any."""

    host: str
    port: int | None


class NotConfigured(ConnectionRefusedError):
    """A connection, or a look-up, that the configuration does not name."""


class ConnectGuard:
    """Reads what is allowed from a file, anew when it has changed and something else is wanted."""

    def __init__(self, file: Path, refused: Callable[[str], None] = lambda host: None) -> None:
        """``refused`` hears the host of each attempt that was not allowed."""
        self._file = file
        self._refused = refused
        self._stamp: tuple[int, int] | None = None
        self._exact: frozenset[tuple[str, int | None]] = frozenset()
        self._patterns: tuple[tuple[re.Pattern[str], int | None], ...] = ()
        self._addresses: dict[str, set[str]] = {}
        """By address: which allowed hosts were found there."""

    def install(self) -> None:
        """Stand before every connection of this process, for good."""
        look_up = socket.getaddrinfo

        def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
            found = look_up(host, *args, **kwargs)
            self._remember(_text(host), found)
            return found

        socket.getaddrinfo = getaddrinfo
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if event in LOOKED_UP:
            host = _text(args[0])
            if host and _address(host) is None and not self._permits(host, None):
                self._refuse(host)
        elif event in CONNECTED:
            address = args[1]
            if address is not None and not self._connects(address):
                self._refuse(str(address[0]) if isinstance(address, tuple) else "a local socket")

    def _connects(self, address: Any) -> bool:
        if not isinstance(address, tuple) or len(address) < 2:
            return False
        host, port = _text(address[0]), address[1]
        # What was not looked up before is an address, or is looked up by connecting.
        return any(self._permits(name, port) for name in (*self._addresses.get(host, ()), host))

    def _permits(self, host: str, port: int | None) -> bool:
        """Tell whether a host is allowed, at a port; None: at any."""
        return self._is_known(host, port) or (self._has_changed() and self._is_known(host, port))

    def _is_known(self, host: str, port: int | None) -> bool:
        host = host.lower().rstrip(".")
        if any(known == host and (port is None or on is None or on == port) for known, on in self._exact):
            return True
        return any(
            (port is None or on is None or on == port) and pattern.fullmatch(host) for pattern, on in self._patterns
        )

    def _has_changed(self) -> bool:
        """Read the file again, if it is another than before."""
        try:
            status = os.stat(self._file)
            stamp = (status.st_mtime_ns, status.st_ino)
            if stamp == self._stamp:
                return False
            rows = [Destination(*row) for row in json.loads(self._file.read_bytes())]
        except (OSError, ValueError, TypeError):
            return False
        self._stamp = stamp
        self._exact = frozenset((_text(row.host).lower(), row.port) for row in rows if "*" not in row.host)
        self._patterns = tuple((_pattern(row.host), row.port) for row in rows if "*" in row.host)
        return True

    def _remember(self, host: str, found: Any) -> None:
        if len(self._addresses) >= MOST_ADDRESSES:
            self._addresses.clear()
        for *_, address in found:
            self._addresses.setdefault(str(address[0]), set()).add(host)

    def _refuse(self, host: str) -> None:
        with contextlib.suppress(Exception):
            self._refused(host[:253])
        raise NotConfigured(f"{host[:253]} is not in the gateway's configuration")


def _pattern(host: str) -> re.Pattern[str]:
    return re.compile(re.escape(host.lower()).replace(r"\*", "[a-z0-9-]+"))


def _text(host: Any) -> str:
    return host.decode("ascii", "replace") if isinstance(host, bytes) else str(host or "")


def _address(host: str) -> Any:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
