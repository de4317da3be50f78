"""Messages to systemd: a service is ready, or alive."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


class Notifier:
    """The notification socket of a service with ``Type=notify``; without one, nothing is sent.

    Protocol: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html

    Args:
        environ: the process's environment.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        # A leading @ denotes the abstract namespace.
        self._path = "\0" + path[1:] if path.startswith("@") else path
        microseconds = environ.get("WATCHDOG_USEC", "")
        #: Seconds between watchdog messages: half of systemd's timeout. None without a watchdog.
        self.interval: float | None = int(microseconds) / 2e6 if self._path and microseconds.isdecimal() else None

    def ready(self) -> None:
        """Report that the service accepts requests."""
        self._send(b"READY=1")

    def alive(self) -> None:
        """Report that the service makes progress."""
        self._send(b"WATCHDOG=1")

    def _send(self, message: bytes) -> None:
        if self._path:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as client:
                client.connect(self._path)
                client.sendall(message)
