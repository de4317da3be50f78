"""Messages to systemd: that a service is ready, and that it is alive."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


class Notifier:
    """The socket that systemd gives to a service with ``Type=notify``; without one, nothing is sent.

    Protocol: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html

    Args:
        environ: the process's environment.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        # A name that begins with @ is in the abstract namespace.
        self._path = "\0" + path[1:] if path.startswith("@") else path
        microseconds = environ.get("WATCHDOG_USEC", "")
        #: Seconds between signs of life: half of what systemd waits for. None without a watchdog.
        self.interval: float | None = int(microseconds) / 2e6 if self._path and microseconds.isdecimal() else None

    def ready(self) -> None:
        """The service takes requests."""
        self._send(b"READY=1")

    def alive(self) -> None:
        """The service makes progress."""
        self._send(b"WATCHDOG=1")

    def _send(self, message: bytes) -> None:
        if self._path:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as client:
                client.connect(self._path)
                client.sendall(message)
