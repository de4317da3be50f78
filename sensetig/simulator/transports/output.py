"""To standard output, as lines: for pipes, and for Telegraf's own inputs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import IO

from sensetig.simulator.device import BROKEN, Message, Status
from sensetig.simulator.encoding import lines
from sensetig.simulator.transports import Deliveries


class Output:
    """The transport. A line counts as acknowledged when it is written and flushed.

    Broken messages and the status of devices have no place in line protocol and are passed over, uncounted.
    """

    def __init__(self, file: IO[bytes], deliveries: Deliveries) -> None:
        self._file = file
        self._deliveries = deliveries

    async def open(self, devices: Sequence[str]) -> None:
        """There is nothing to connect to."""
        del devices

    async def send(self, message: Message | Status) -> None:
        """Write the lines of a message."""
        if isinstance(message, Status) or message.kind in BROKEN:
            return
        ticket = self._deliveries.send_log.sent(message)
        if self._deliveries.fatal is None:
            try:
                self._file.write(lines(message.metrics).encode() + b"\n")
                self._file.flush()
                self._deliveries.acknowledged(ticket)
            except OSError as error:
                self._deliveries.give_up(f"standard output takes no more lines: {error.strerror}")
        if self._deliveries.fatal is not None:
            self._deliveries.failed(ticket, self._deliveries.fatal)
        await asyncio.sleep(0)

    async def finish(self) -> None:
        """Everything is flushed already."""

    async def close(self) -> None:
        """Standard output is not this program's to close."""
