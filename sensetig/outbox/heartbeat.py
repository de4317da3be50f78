"""A heartbeat to an external address, sent while InfluxDB accepts points, so that its absence reports a dead hub."""

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
        silence: returns the seconds since InfluxDB last accepted points.
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
        """Send a heartbeat every :data:`INTERVAL_SECONDS`."""
        self._thread.start()

    def stop(self) -> None:
        """Stop sending."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL_SECONDS):
            self.beat()

    def beat(self) -> bool:
        """Send a heartbeat if InfluxDB accepts points; return whether it arrived. The secret address is not logged."""
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
