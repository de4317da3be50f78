"""Publishes lines: reads them as far as there is room, and holds each until the broker has acknowledged it."""

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

#: Messages that are sent before the first of them is acknowledged.
WINDOW = 8

#: Pauses before a message that nobody heard is sent again, in seconds: doubled from the first to the second.
_UNHEARD_SECONDS = (1, 60)

_READ_BYTES = 64 * 1024


class Publisher:
    """Runs in an asyncio loop that can watch files, too.

    Args:
        publish: publishes a message and waits for the broker's answer.
        batches: puts lines together.
        device: its name in the topics.
        stdin: the descriptor that lines come from, or None.
        queue_bytes: lines held at most; where there are more, nothing is read.
        batch_seconds: how long a line waits for others.
        counts: where it counts.
        told: takes what goes wrong.
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
        told: ErrorQueue,
    ) -> None:
        self._publish = publish
        self._batches = batches
        self._topic = f"sensetig/{topic_level(device)}/telemetry/"
        self._stdin = stdin
        self._queue_bytes = queue_bytes
        self._batch_seconds = batch_seconds
        self._counts = counts
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._reading = False
        self._flush_at: asyncio.TimerHandle | None = None
        self._more, self._settled = asyncio.Event(), asyncio.Event()
        self._stopped = False
        self.ended = asyncio.Event()
        """Set when standard input has ended."""

    @property
    def share(self) -> float:
        """How full the queue is: 1 or more where nothing is read."""
        return self._batches.bytes / self._queue_bytes

    @property
    def waiting(self) -> tuple[int, int]:
        """Lines that are held, and their bytes."""
        return self._batches.lines, self._batches.bytes

    def read_on(self) -> None:
        """Read from now on, wherever there is room."""
        if self._stdin is not None and not self._reading and not self._stopped and not self.ended.is_set():
            self._loop.add_reader(self._stdin, self._on_readable)
            self._reading = True

    def read_rest(self) -> None:
        """Take what has been written already, and no more: it is time to stop."""
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
        """Publish a metric of the agent's own with the other lines; it has a time."""
        self._batches.add(encode(metric, self._told.add))
        self._fed()

    async def send(self) -> None:
        """Send batch after batch; several of these run at once."""
        while True:
            batch = self._batches.pop()
            if batch is None:
                self._more.clear()
                await self._more.wait()
            else:
                await self._deliver(batch)

    async def drained(self) -> None:
        """Come back once every line has been dealt with."""
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
            # Whoever writes waits now, as long as it takes: Telegraf keeps in its own buffer what comes meanwhile.
            self._pause()
            self._batches.flush()
        self._fed()

    def _fed(self) -> None:
        """What is refused is counted; what has come leaves with what comes soon after."""
        if self._batches.refused:
            self._counts["lines_refused"] += self._batches.refused
            self._told.add(f"lines that are not published: {self._batches.reason}")
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

        def unheard(_: object) -> None:
            self._counts["messages_unheard"] += 1
            self._told.add(f"nobody is subscribed to {topic}, so the broker throws it away; trying again")

        first, most = _UNHEARD_SECONDS
        retrying = AsyncRetrying(
            retry=retry_if_result(lambda delivery: delivery.no_subscribers),
            wait=wait_exponential_jitter(initial=first, max=most),
            before_sleep=unheard,
        )
        delivery: Delivery = await retrying(self._publish, topic, batch.payload)
        if delivery.refusal:
            self._counts["lines_refused"] += batch.lines
            self._told.add(f"the broker refuses lines on {topic}: {delivery.refusal}")
        else:
            self._counts["lines_published"] += batch.lines
            self._counts["messages_published"] += 1
        self._batches.settled(batch)
        self._settled.set()
        if self.share < 1:
            self.read_on()
