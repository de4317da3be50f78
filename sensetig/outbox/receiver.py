"""A hub's receiver: forwards the writes of devices to InfluxDB while its disk has space, and stores nothing itself.

Points that it does not forward stay in the outboxes of the devices, which retry.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from sensetig.outbox.batch import Destination
from sensetig.outbox.upstream import Answer, Unreachable, Upstream


class Receiver:
    """Forwards writes, and counts them.

    Args:
        upstream: InfluxDB, with the check of its disk.
        save: stores the counts for the collector; it may raise OSError.
        log: receives one sentence.
    """

    def __init__(
        self, upstream: Upstream, save: Callable[[Mapping[str, int | str]], None], log: Callable[[str], None]
    ) -> None:
        self._upstream = upstream
        self._save = save
        self._log = log
        self._lock = threading.Lock()
        self._passed = self._held = 0
        self._reason = ""

    def relay(self, destination: Destination, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Forward a body to InfluxDB; return the response. Raises Unreachable."""
        try:
            answer = self._upstream.relay(destination, body, headers)
        except Unreachable as error:
            self._count(0, 1, str(error))
            raise
        self._count(1, 0, "")
        return answer

    def _count(self, passed: int, held: int, reason: str) -> None:
        with self._lock:
            self._passed += passed
            self._held += held
            changed = bool(reason) != bool(self._reason)
            self._reason = reason
        if changed:
            self._log(f"{reason}; writes are held" if reason else "InfluxDB takes points again")
            self.save()

    def save(self) -> None:
        """Save the counts. A failing disk is reported; the counts stay in memory for the next attempt."""
        with self._lock:
            counts: dict[str, int | str] = {
                "passed_writes": self._passed,
                "held_writes": self._held,
                "reason": self._reason,
            }
        try:
            self._save(counts)
        except OSError as error:
            self._log(f"the receiver's counts cannot be saved: {error.strerror or error}")
