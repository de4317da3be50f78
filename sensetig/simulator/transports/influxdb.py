"""Direct writes to InfluxDB 2, in batches, with influxdb-client, which retries while InfluxDB is unreachable."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from collectors.messaging.broker import is_loopback
from sensetig.errors import BucketMissing, InfluxDBError, TokenRefused
from sensetig.influxdb.client import Client
from sensetig.simulator import SimulatorError
from sensetig.simulator.device import BROKEN, Message, Status
from sensetig.simulator.encoding import lines
from sensetig.simulator.transports import Deliveries, Target

#: Number of points in a full batch, and seconds after which an incomplete one is sent.
BATCH_POINTS, BATCH_SECONDS = 5000, 1.0

#: Seconds that a batch is retried while InfluxDB is unreachable, and time limit of one attempt.
RETRY_SECONDS, TIMEOUT_SECONDS = 300, 30


class InfluxDB:
    """The transport. Broken messages and online status are not points; they are skipped without being counted."""

    def __init__(self, target: Target, deliveries: Deliveries) -> None:
        self._client = Client(
            target.url,
            target.token,
            origin="this token",
            organisation=target.organisation,
            ca_file=Path(target.ca_file) if target.ca_file else None,
            timeout_seconds=TIMEOUT_SECONDS,
            option="--to",
        )
        parts = urlsplit(self._client.url)
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
        self._typed: Any = None
        self._api: Any = None

    async def open(self, devices: Sequence[str]) -> None:
        """Connect."""
        del devices
        from influxdb_client.client.write.retry import WritesRetry
        from influxdb_client.client.write_api import SYNCHRONOUS

        # The library also logs each failure, in several lines; the report's sentences are sufficient.
        logging.getLogger("influxdb_client").addHandler(logging.NullHandler())
        await asyncio.to_thread(self._client.request, "GET", "/health", "say how it is")
        retry: Any = WritesRetry
        self._typed = self._client.typed(
            retries=retry(
                total=1_000_000,
                retry_interval=1,
                max_retry_delay=10,
                max_retry_time=RETRY_SECONDS,
                allowed_methods=["POST"],
            )
        )
        self._api = self._typed.write_api(write_options=SYNCHRONOUS)
        self._flusher = asyncio.create_task(self._flush_now_and_then())

    async def send(self, message: Message | Status) -> None:
        """Add a message to the batch."""
        if isinstance(message, Status) or message.kind in BROKEN:
            return
        if self._points >= BATCH_POINTS or self._deliveries.send_log.waiting >= self._deliveries.most:
            await self._flush()
        ticket = self._deliveries.send_log.sent(message)
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
        async with self._writing:
            batch, self._batch, self._points = self._batch, [], 0
            if not batch:
                return
            body = "\n".join(text for _, text in batch)
            try:
                bucket = self._target.bucket
                await asyncio.to_thread(self._write, f"write to the bucket {bucket!r}", bucket, body)
            except InfluxDBError as error:
                reason = str(error)
                if isinstance(error, TokenRefused | BucketMissing) or error.status == 404:
                    self._deliveries.give_up(reason)
                for ticket, _ in batch:
                    self._deliveries.failed(ticket, reason)
            else:
                for ticket, _ in batch:
                    self._deliveries.acknowledged(ticket)

    def _write(self, purpose: str, bucket: str, body: str) -> None:
        self._client.call(purpose, self._api.write, bucket, self._target.organisation, body)

    async def finish(self) -> None:
        """Write pending points."""
        await self._flush()

    async def close(self) -> None:
        """Close the connection."""
        if self._flusher is not None:
            self._flusher.cancel()
            await asyncio.gather(self._flusher, return_exceptions=True)
        if self._typed is not None:
            self._typed.close()
        self._client.close()
