"""Publishes lines: reads them while there is space, and keeps each until the broker has acknowledged it."""

from __future__ import annotations

import asyncio
import os
import select
from collections import Counter
from collections.abc import Awaitable, Callable

from tenacity import AsyncRetrying, retry_if_result, wait_exponential_jitter

from collectors.core.line_protocol import Metric, encode
from collectors.messaging.session import Delivery, ErrorQueue, topic_level
from collectors.mqtt.batches import Batch, Batches

#: Maximum number of messages in flight.
WINDOW = 8

#: Seconds before a message without subscribers is resent: doubled from the first value to the second.
_NO_SUBSCRIBERS_SECONDS = (1, 60)

_READ_BYTES = 64 * 1024


class Publisher:
    """Runs in an asyncio loop that can watch files.

    Args:
        publish: publishes a message and waits for the broker's answer.
        batches: collects lines into batches.
        device: the device's name in the topics.
        stdin: the descriptor to read lines from, or None.
        queue_bytes: size of the queued lines at which reading pauses.
        batch_seconds: how long lines are collected.
        counts: counters of the self-metric.
        errors: receives errors.
    """

    def __init__(
        self,
        publish: Callable[[str, bytes], Awaitable[Delivery]],
        batches: Batches,
        device: str,
        stdin: int | None,
        queue_bytes: int,
        batch_seconds: float,
        counts: Counter[str],
        errors: ErrorQueue,
    ) -> None:
        self._publish = publish
        self._batches = batches
        self._topic = f"sensetig/{topic_level(device)}/telemetry/"
        self._stdin = stdin
        self._queue_bytes = queue_bytes
        self._batch_seconds = batch_seconds
        self._counts = counts
        self._errors = errors
        self._loop = asyncio.get_running_loop()
        self._reading = False
        self._flush_at: asyncio.TimerHandle | None = None
        self._more, self._settled = asyncio.Event(), asyncio.Event()
        self._stopped = False
        self.ended = asyncio.Event()
        """Set when standard input has ended."""

    @property
    def share(self) -> float:
        """Fill level of the queue; from 1 on, reading pauses."""
        return self._batches.bytes / self._queue_bytes

    @property
    def waiting(self) -> tuple[int, int]:
        """Number of queued lines, and their size in bytes."""
        return self._batches.lines, self._batches.bytes

    def read_on(self) -> None:
        """Start or resume reading."""
        if self._stdin is not None and not self._reading and not self._stopped and not self.ended.is_set():
            self._loop.add_reader(self._stdin, self._on_readable)
            self._reading = True

    def read_rest(self) -> None:
        """Read the available input, and stop reading."""
        self._pause()
        self._stopped = True
        if self._stdin is None or self.ended.is_set():
            return
        while self.share < 1 and select.select([self._stdin], [], [], 0)[0]:
            data = os.read(self._stdin, _READ_BYTES)
            if not data:
                break
            self._batches.feed(data)
        self._batches.end()
        self._fed()

    def add(self, metric: Metric) -> None:
        """Publish a metric with the other lines; it must have a time."""
        self._batches.add(encode(metric, self._errors.add))
        self._fed()

    async def send(self) -> None:
        """Send batches forever; several of these tasks run concurrently."""
        while True:
            batch = self._batches.pop()
            if batch is None:
                self._more.clear()
                await self._more.wait()
            else:
                await self._deliver(batch)

    async def drained(self) -> None:
        """Wait until every line is acknowledged or rejected."""
        self._flush()
        while self._batches.lines:
            self._settled.clear()
            await self._settled.wait()

    def _pause(self) -> None:
        if self._stdin is not None and self._reading:
            self._loop.remove_reader(self._stdin)
            self._reading = False

    def _on_readable(self) -> None:
        assert self._stdin is not None
        data = os.read(self._stdin, _READ_BYTES)
        if data:
            self._batches.feed(data)
        else:
            self._pause()
            self._batches.end()
            self.ended.set()
        if self.share >= 1:
            # Now the writer blocks, and Telegraf buffers further lines.
            self._pause()
            self._batches.flush()
        self._fed()

    def _fed(self) -> None:
        """Count rejected lines, and schedule the next batch."""
        if self._batches.refused:
            self._counts["lines_refused"] += self._batches.refused
            self._errors.add(f"lines that are not published: {self._batches.reason}")
            self._batches.refused = 0
        self._more.set()
        if self._batches.lines and self._flush_at is None:
            self._flush_at = self._loop.call_later(self._batch_seconds, self._flush)

    def _flush(self) -> None:
        if self._flush_at is not None:
            self._flush_at.cancel()
            self._flush_at = None
        self._batches.flush()
        self._more.set()

    async def _deliver(self, batch: Batch) -> None:
        topic = self._topic + topic_level(batch.measurement)

        def no_subscribers(_: object) -> None:
            self._counts["messages_unheard"] += 1
            self._errors.add(f"there are no subscribers for {topic}, so the broker drops the messages; trying again")

        initial, longest = _NO_SUBSCRIBERS_SECONDS
        retrying = AsyncRetrying(
            retry=retry_if_result(lambda delivery: delivery.no_subscribers),
            wait=wait_exponential_jitter(initial=initial, max=longest),
            before_sleep=no_subscribers,
        )
        delivery: Delivery = await retrying(self._publish, topic, batch.payload)
        if delivery.refusal:
            self._counts["lines_refused"] += batch.lines
            self._errors.add(f"the broker refuses lines on {topic}: {delivery.refusal}")
        else:
            self._counts["lines_published"] += batch.lines
            self._counts["messages_published"] += 1
        self._batches.settled(batch)
        self._settled.set()
        if self.share < 1:
            self.read_on()
