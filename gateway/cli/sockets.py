"""Where the gateway listens, and how many callers it has descriptors for."""

import math
import os
import resource
import socket
from pathlib import Path
from typing import Final

import structlog

from gateway.errors import ConfigError

log = structlog.get_logger()
BACKLOG: Final = 2048
MOST_UNSENT_BYTES: Final = 128 * 1024
"""Of one connection, in the kernel."""
RESERVED: Final = 16
"""For what comes and goes beside the callers: files, the database, who asks for metrics."""
AT_LEAST: Final = 4
_OPEN: Final = Path("/proc/self/fd")
_GUESSED: Final = 64
_BESIDE: Final = 256


def listen(host: str, port: int, chosen_by: str = "--port") -> socket.socket:
    """Return a socket that listens.

    Raises:
        ConfigError: it cannot, which another value of ``chosen_by`` may mend.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        # Its connections inherit it. Else the kernel keeps megabytes for a caller who reads slowly.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MOST_UNSENT_BYTES)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another with {chosen_by}"
        ) from None
    listener.setblocking(False)
    return listener


def raise_limit(callers: int) -> None:
    """Allow this process the descriptors that so many callers need, as far as the system lets it have them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * callers + _BESIDE
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        log.warning("descriptors_limited", limit=soft)


def room_for_callers() -> float:
    """Return how many callers may be connected: each needs a descriptor, and another one upstream."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return math.inf
    used = len(os.listdir(_OPEN)) if _OPEN.is_dir() else _GUESSED
    return max(AT_LEAST, (limit - used - RESERVED) // 2)
