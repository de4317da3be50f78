"""Loopback ports: reserve a free one, and name the program that holds one.

A free port may be taken by another process before the engine listens on it. Each port is therefore reserved: the
process locks the byte at that offset in one file of this user until it ends. Reserved ports lie below the range that
the kernel uses for outgoing connections and for bind(2) to port 0 (32768 to 60999 on Linux, see ip_local_port_range in
ip(7); 49152 to 65535 on macOS), so neither takes the port of an engine that is about to start or is briefly stopped.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
import threading
from itertools import chain

import psutil

LOOPBACK = "127.0.0.1"

#: The ports that :func:`any_free` chooses from.
RANGE = range(20000, 32000)

_reserved: set[int] = set()
_guard = threading.Lock()
_descriptor: int | None = None


class NoFreePort(RuntimeError):
    """Every port of the range is taken; the message gives the range."""


def is_free(port: int) -> bool:
    """Return whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def is_listening(port: int) -> bool:
    """Return whether a server accepts connections on this loopback port; unlike a bind, this disturbs no start."""
    with socket.socket() as probe:
        probe.settimeout(5.0)
        return probe.connect_ex((LOOPBACK, port)) == 0


def reserve(port: int) -> bool:
    """Reserve a loopback port until this process ends; return False if it is reserved or in use."""
    with _guard:
        if port in _reserved or not _lock(port):
            return False
        if not is_free(port):
            fcntl.lockf(_file(), fcntl.LOCK_UN, 1, port)
            return False
        _reserved.add(port)
        return True


def any_free() -> int:
    """Reserve a free loopback port until this process ends, and return it. Raises NoFreePort."""
    start = random.randrange(len(RANGE))
    for port in chain(RANGE[start:], RANGE[:start]):
        if reserve(port):
            return port
    raise NoFreePort(f"no loopback port from {RANGE[0]} to {RANGE[-1]} is free; end a program that listens on one")


def _lock(port: int) -> bool:
    try:
        fcntl.lockf(_file(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except (BlockingIOError, PermissionError):  # POSIX allows EAGAIN and EACCES for a lock of another process
        return False
    return True


def _file() -> int:
    """Return the descriptor of the lock file, which stays open: closing any would release all its locks."""
    global _descriptor
    if _descriptor is None:
        path = os.path.join(tempfile.gettempdir(), f"sensetig-ports-{os.getuid()}.lock")
        _descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    return _descriptor


def holder(port: int) -> str:
    """Name the program that listens on a port; another user's program may not show its name."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        connections = []
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,) and connection.pid:
            try:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
            except psutil.Error:
                break
    return "another program"


def choose(preferred: int) -> tuple[int, str | None]:
    """Reserve the preferred port or a free one; return it, and a sentence with the reason if it is another one."""
    if reserve(preferred):
        return preferred, None
    port = any_free()
    return port, f"port {preferred} is taken by {holder(preferred)}; {port} is used instead"
