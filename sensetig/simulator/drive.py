"""Runs the devices when they are due, in real time or as fast as possible, and sends their messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from collectors.sensehat.readings import Reading
from sensetig.simulator import SimulatorError
from sensetig.simulator.device import Device, Step
from sensetig.simulator.send_log import SendLog
from sensetig.simulator.transports import Deliveries, Transport

#: Number of readings after which the event loop runs, whatever the transport does.
_TURN = 50


class Plan(NamedTuple):
    """The schedule of the devices.

    Args:
        start_ns: the first tick, nanoseconds since 1970.
        interval_ns: time between two readings of a device.
        readings: of each device, or None for an endless simulation.
        speed: simulated seconds per second; 0 for as fast as the transport accepts messages.
    """

    start_ns: int
    interval_ns: int
    readings: int | None
    speed: float


class Readings(Protocol):
    """A source of readings."""

    def reading(self, device: Device, tick: int, now_ns: int) -> Reading | None:
        """The reading of a device at a time; None at the end."""
        ...


class Slot(NamedTuple):
    """A device that is due; ``now_ns`` is the true time, whatever the device's own clock."""

    tick: int
    now_ns: int
    device: Device


def slots(plan: Plan, devices: Sequence[Device]) -> Iterator[Slot]:
    """The due devices in order: each once per tick, spread over it by its phase."""
    ordered = sorted(devices, key=lambda device: device.character.phase)
    tick = 0
    while plan.readings is None or tick < plan.readings:
        for device in ordered:
            yield Slot(tick, plan.start_ns + round((tick + device.character.phase) * plan.interval_ns), device)
        tick += 1


class Outcome(NamedTuple):
    """The result of a simulation.

    Args:
        seconds: its duration.
        behind_seconds: maximum delay of a reading; 0 without pacing.
        interrupted: whether it was stopped early.
        fatal: the reason why it could not continue, or None.
    """

    seconds: float
    behind_seconds: float
    interrupted: bool
    fatal: str | None


class Drive:
    """One simulation.

    Args:
        stop: set to end it in an orderly way.
        abandon: set to end it without waiting for acknowledgements.
        timer: monotonic seconds.
        drain_seconds: time limit for the last acknowledgements.
    """

    def __init__(
        self,
        plan: Plan,
        devices: Sequence[Device],
        source: Readings,
        transport: Transport,
        deliveries: Deliveries,
        send_log: SendLog,
        *,
        stop: asyncio.Event,
        abandon: asyncio.Event,
        timer: Callable[[], float],
        drain_seconds: float,
    ) -> None:
        self._plan = plan
        self._devices = devices
        self._source = source
        self._transport = transport
        self._deliveries = deliveries
        self._send_log = send_log
        self._stop = stop
        self._abandon = abandon
        self._timer = timer
        self._drain_seconds = drain_seconds
        self._behind = 0.0

    async def run(self) -> Outcome:
        """Run to the end. Raises SimulatorError if it cannot start."""
        try:
            opening = asyncio.create_task(self._transport.open([device.name for device in self._devices]))
            stopping = asyncio.create_task(self._stop.wait())
            await asyncio.wait((opening, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                opening.cancel()
                await asyncio.gather(opening, return_exceptions=True)
                raise SimulatorError("stopped before it was connected; nothing was sent")
            opening.result()
            began = self._timer()
            producing = asyncio.create_task(self._produce(began))
            await asyncio.wait((producing, stopping), return_when=asyncio.FIRST_COMPLETED)
            interrupted = self._stop.is_set()
            stopping.cancel()
            finishing = asyncio.create_task(self._finish(producing))
            abandoning = asyncio.create_task(self._abandon.wait())
            await asyncio.wait(
                (finishing, abandoning), return_when=asyncio.FIRST_COMPLETED, timeout=self._drain_seconds
            )
            abandoning.cancel()
            if not finishing.done():
                self._deliveries.give_up(f"no answer came within {self._drain_seconds:g} s of the end")
                finishing.cancel()
                producing.cancel()
            for failed in await asyncio.gather(producing, finishing, return_exceptions=True):
                if isinstance(failed, Exception):
                    raise failed
            seconds = self._timer() - began
            self._send_log.abandon(self._deliveries.fatal or "no answer came")
        finally:
            await self._transport.close()
        return Outcome(seconds, self._behind, interrupted, self._deliveries.fatal)

    async def _produce(self, began: float) -> None:
        for number, slot in enumerate(slots(self._plan, self._devices)):
            if self._plan.speed:
                due = (slot.now_ns - self._plan.start_ns) / 1e9 / self._plan.speed
                await self._pause(due - (self._timer() - began))
                self._behind = max(self._behind, self._timer() - began - due)
            elif number % _TURN == 0:
                await asyncio.sleep(0)
            # Checked before the step: its messages must be sent or counted.
            if self._stop.is_set() or self._deliveries.fatal is not None:
                return
            reading = self._source.reading(slot.device, slot.tick, slot.now_ns)
            if reading is None:
                return
            await self._play(slot.device.step(slot.now_ns, reading))

    async def _pause(self, seconds: float) -> None:
        if seconds <= 0:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return

    async def _play(self, step: Step) -> None:
        for fault in step.faults:
            self._send_log.fault(fault)
        for event in step.events:
            await self._transport.send(event)

    async def _finish(self, producing: asyncio.Task[None]) -> None:
        await producing
        for device in self._devices:
            await self._play(device.finish())
        await self._transport.finish()
