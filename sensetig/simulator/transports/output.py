"""Line protocol on standard output: for pipes, and for Telegraf's own inputs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import IO

from sensetig.simulator.device import BROKEN, Message, Status
from sensetig.simulator.encoding import lines
from sensetig.simulator.transports import Deliveries


class Output:
    """The transport. A line counts as acknowledged when it is written and flushed.

    Line protocol cannot express broken messages and online status; they are skipped without being counted.
    """

    def __init__(self, file: IO[bytes], deliveries: Deliveries) -> None:
        self._file = file
        self._deliveries = deliveries

    async def open(self, devices: Sequence[str]) -> None:
        """Do nothing: there is no connection."""
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
        """Do nothing: everything is flushed already."""

    async def close(self) -> None:
        """Do nothing: standard output stays open."""
