"""Straight to InfluxDB 2, in batches, by influxdb-client, which tries again while InfluxDB is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from collectors.messaging.broker import is_loopback
from sensetig.simulator import SimulatorError
from sensetig.simulator.device import BROKEN, Message, Status
from sensetig.simulator.encoding import lines
from sensetig.simulator.transports import Deliveries, Target

#: Points that make a batch full, and seconds after which it goes out in any case.
BATCH_POINTS, BATCH_SECONDS = 5000, 1.0

#: Seconds that a batch is tried again while InfluxDB is away, and that one attempt may take.
RETRY_SECONDS, TIMEOUT_SECONDS = 300, 30


class InfluxDB:
    """The transport. Broken messages and the status of devices are no points and are passed over, uncounted."""

    def __init__(self, target: Target, deliveries: Deliveries) -> None:
        try:
            parts = urlsplit(target.url)
            valid = bool(parts.hostname) and parts.port != 0 and not parts.query and not parts.fragment
        except ValueError:
            valid = False
        if not valid:
            raise SimulatorError(f"--to is {target.url!r}; it must be one such as http://127.0.0.1:8086")
        if parts.username or parts.password:
            raise SimulatorError("the URL of InfluxDB has a user in it; InfluxDB knows tokens alone: --token-file")
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise SimulatorError(
                f"InfluxDB at {parts.hostname} is not on this machine and would be sent the token unencrypted; "
                "use https://"
            )
        if not target.token:
            raise SimulatorError(
                "InfluxDB needs a token that may write: name its file with --token-file, or set SENSETIG_SIMULATE_TOKEN"
            )
        self._target = target
        self._deliveries = deliveries
        self._batch: list[tuple[int, str]] = []
        self._points = 0
        self._writing = asyncio.Lock()
        self._flusher: asyncio.Task[None] | None = None
        self._client: Any = None
        self._api: Any = None

    async def open(self, devices: Sequence[str]) -> None:
        """Connect."""
        del devices
        import influxdb_client
        from influxdb_client.client.write.retry import WritesRetry
        from influxdb_client.client.write_api import SYNCHRONOUS

        # The library logs each failure as well, in several lines; the sentences of the report are enough.
        logging.getLogger("influxdb_client").addHandler(logging.NullHandler())
        made: Any = influxdb_client
        once: Any = made.InfluxDBClient(self._target.url, timeout=int(self._target.wait_seconds * 1000), retries=False)
        try:
            there = await asyncio.to_thread(once.ping)
        finally:
            once.close()
        if not there:
            raise SimulatorError(
                f"no InfluxDB answers at {self._target.url}; start it, or name the right address with --to"
            )
        retry: Any = WritesRetry
        self._client = made.InfluxDBClient(
            self._target.url,
            token=self._target.token,
            org=self._target.organisation,
            timeout=TIMEOUT_SECONDS * 1000,
            retries=retry(
                total=1_000_000,
                retry_interval=1,
                max_retry_delay=10,
                max_retry_time=RETRY_SECONDS,
                allowed_methods=["POST"],
            ),
        )
        self._api = self._client.write_api(write_options=SYNCHRONOUS)
        self._flusher = asyncio.create_task(self._flush_now_and_then())

    async def send(self, message: Message | Status) -> None:
        """Put a message into the batch."""
        if isinstance(message, Status) or message.kind in BROKEN:
            return
        if self._points >= BATCH_POINTS or self._deliveries.ledger.waiting >= self._deliveries.most:
            await self._flush()
        ticket = self._deliveries.ledger.sent(message)
        if self._deliveries.fatal is not None:
            self._deliveries.failed(ticket, self._deliveries.fatal)
            return
        self._batch.append((ticket, lines(message.metrics)))
        self._points += len(message.metrics)

    async def _flush_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(BATCH_SECONDS)
            await self._flush()

    async def _flush(self) -> None:
        from influxdb_client.client.exceptions import InfluxDBError
        from urllib3.exceptions import HTTPError

        async with self._writing:
            batch, self._batch, self._points = self._batch, [], 0
            if not batch:
                return
            body = "\n".join(text for _, text in batch)
            try:
                await asyncio.to_thread(self._api.write, self._target.bucket, self._target.organisation, body)
            except (InfluxDBError, HTTPError) as error:
                reason = self._sentence(error)
                for ticket, _ in batch:
                    self._deliveries.failed(ticket, reason)
            else:
                for ticket, _ in batch:
                    self._deliveries.acknowledged(ticket)

    def _sentence(self, error: Exception) -> str:
        status, said = getattr(error, "status", None), " ".join(str(getattr(error, "message", "")).split())
        if status in (401, 403):
            reason = (
                f"InfluxDB at {self._target.url} does not let this token write to the bucket {self._target.bucket!r}; "
                "give one that may"
            )
            self._deliveries.give_up(reason)
            return reason
        if status is not None:
            reason = f"InfluxDB at {self._target.url} refused points: {said or type(error).__name__} (status {status})"
            if status == 404:
                self._deliveries.give_up(reason)
            return reason
        return f"InfluxDB at {self._target.url} does not answer"

    async def finish(self) -> None:
        """Write what waits."""
        await self._flush()

    async def close(self) -> None:
        """Let go of the connection."""
        if self._flusher is not None:
            self._flusher.cancel()
            await asyncio.gather(self._flusher, return_exceptions=True)
        if self._client is not None:
            self._client.close()
