"""A heartbeat to an address outside: it is sent while InfluxDB takes points, so that its absence reports a dead hub."""

from __future__ import annotations

import threading
from collections.abc import Callable

import urllib3
from urllib3.exceptions import HTTPError

#: Seconds between heartbeats.
INTERVAL_SECONDS = 60.0

#: Seconds without a stored point after which no heartbeat is sent.
MAX_SILENCE_SECONDS = 300.0


class Heartbeat:
    """Sends requests on a thread.

    Args:
        pool: the connection pool.
        url: of the service that expects the heartbeat.
        silence: seconds since InfluxDB last took points.
        log: receives one sentence.
    """

    def __init__(
        self, pool: urllib3.PoolManager, url: str, silence: Callable[[], float], log: Callable[[str], None]
    ) -> None:
        self._pool = pool
        self._url = url
        self._silence = silence
        self._log = log
        self._failed = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Send one every :data:`INTERVAL_SECONDS`."""
        self._thread.start()

    def stop(self) -> None:
        """Send no more."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL_SECONDS):
            self.beat()

    def beat(self) -> bool:
        """Send one if InfluxDB takes points; whether it arrived. The address is a secret, and not in the log."""
        if self._silence() > MAX_SILENCE_SECONDS:
            return False
        try:
            status = self._pool.request("GET", self._url, redirect=False).status
            fault = "" if status < 400 else f"status {status}"
        except HTTPError as error:
            fault = type(error).__name__
        if fault and not self._failed:
            self._log(f"the heartbeat's address does not answer ({fault}); check it and the network")
        self._failed = bool(fault)
        return not fault
