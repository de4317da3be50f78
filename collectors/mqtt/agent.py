"""The agent: an asyncio application that publishes lines and status, and receives commands and messages."""

from __future__ import annotations

import asyncio
import contextlib
import json
import selectors
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import time
from typing import Any, NamedTuple

from collectors import __version__
from collectors.core.line_protocol import FieldValue, Metric, Series
from collectors.messaging import commands
from collectors.messaging.commands import Command, CommandValidator, RejectedCommand
from collectors.messaging.session import Delivery, ErrorQueue, Message, Session, topic_level
from collectors.mqtt.batches import Batches
from collectors.mqtt.handlers import Answer, Handlers
from collectors.mqtt.measurements import MQTT
from collectors.mqtt.outbox import Outbox
from collectors.mqtt.publisher import WINDOW, Publisher
from collectors.sensehat.led.health import health, within
from collectors.sensehat.led.show import Show

#: Maximum number of concurrent commands.
_MAX_COMMANDS = 4

#: Time limits at the end: for the queued lines, and then for the status ``offline`` and the disconnect. Together they
#: stay below the 5 s after which Telegraf kills the agent.
DRAIN_SECONDS, STOP_SECONDS = 2.5, 1.6

#: Interval of the status on the LED matrix.
_LED_SECONDS = 2.0

#: Counters that restart with each status.
COUNTS = tuple(field.name for field in MQTT.fields if field.name not in ("connected", "lines_waiting", "waiting_bytes"))

Emit = Callable[[Sequence[Metric]], Awaitable[None]]


class AgentConfig(NamedTuple):
    """The settings of the agent.

    Args:
        device: its name in the topics.
        stdin: the descriptor to read lines from, or None.
        queue_bytes: maximum size of the queued lines.
        batch_seconds: how long lines are collected.
        status_seconds: interval of the measurement ``mqtt``.
        led_status: whether the LED matrix shows the status.
        night: hours when the LED matrix stays dark.
    """

    device: str
    stdin: int | None
    queue_bytes: int
    batch_seconds: float
    status_seconds: float
    led_status: bool
    night: tuple[time, time] | None


class Clocks(NamedTuple):
    """Wall clock in nanoseconds since 1970, monotonic seconds, and the local time of day."""

    wall_ns: Callable[[], int]
    timer: Callable[[], float]
    local: Callable[[], time]


def status_topic(device: str) -> str:
    """The topic of the device's retained status."""
    return f"sensetig/{topic_level(device)}/status"


def status_payload(status: str, firmware: str) -> bytes:
    """The status as JSON."""
    return json.dumps({"status": status, "bundle_version": __version__, "firmware": firmware}).encode()


class Agent:
    """Runs until it is stopped, or until its input has ended and all lines are acknowledged.

    Args:
        config: its settings.
        session: the MQTT session, not started yet.
        validator: validates commands.
        handlers: creates the handlers of commands, given the function that receives their points.
        batches: collects lines.
        show: the LED matrix.
        outbox: receives the metrics to print.
        errors: receives errors.
        clocks: the clocks.
    """

    def __init__(
        self,
        config: AgentConfig,
        session: Session,
        validator: CommandValidator,
        handlers: Callable[[Emit], Handlers],
        batches: Batches,
        show: Show,
        outbox: Outbox,
        errors: ErrorQueue,
        clocks: Clocks,
    ) -> None:
        self._config = config
        self._session = session
        self._validator = validator
        self._handlers = handlers(self.emit)
        self._batches = batches
        self._show = show
        self._outbox = outbox
        self._errors = errors
        self._clocks = clocks
        self._series = Series(MQTT.name, {"device": config.device})
        self._prefix = commands.command_topic(config.device, "")
        self._counts: Counter[str] = Counter()
        self._connected = False
        self._away_since = clocks.timer()
        self._tasks: set[asyncio.Task[None]] = set()
        self._commands: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._error: BaseException | None = None
        self.unsent = 0
        """Lines that were not acknowledged when the agent ended."""

    def run(self) -> None:
        """Run to the end in an event loop on this thread. Raises unexpected exceptions."""
        # This selector accepts files as well as pipes as standard input.
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
            runner.run(self._main())
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """End the agent, from any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has already ended
                self._loop.call_soon_threadsafe(self._stopping.set)

    async def emit(self, metrics: Sequence[Metric]) -> None:
        """Print points and return once they are written, or publish them with the other lines."""
        if self._config.stdin is not None:
            for metric in metrics:
                self._lines.add(metric)
            return
        loop = asyncio.get_running_loop()
        written = loop.create_future()

        def done() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(_set_written, written)

        self._outbox.put(metrics, done)
        await written

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        config = self._config
        self._lines = Publisher(
            self._publish,
            self._batches,
            config.device,
            config.stdin,
            config.queue_bytes,
            config.batch_seconds,
            self._counts,
            self._errors,
        )
        self._session.start(self._on_message, self._on_connection, self._post)
        self._spawn(self._emit_status())
        if self._config.led_status:
            self._spawn(self._update_led())
        if self._config.stdin is not None:
            for _ in range(WINDOW):
                self._spawn(self._lines.send())
            self._lines.read_on()
        stopping = self._loop.create_task(self._stopping.wait())
        ended = self._loop.create_task(self._lines.ended.wait())
        await asyncio.wait((stopping, ended), return_when=asyncio.FIRST_COMPLETED)
        if ended.done():  # the input has ended: wait until all lines are acknowledged, however long that takes
            drained = self._loop.create_task(self._lines.drained())
            await asyncio.wait((stopping, drained), return_when=asyncio.FIRST_COMPLETED)
            drained.cancel()
        else:
            self._lines.read_rest()
        stopping.cancel()
        ended.cancel()
        await self._end()

    async def _end(self) -> None:
        if self._connected:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._lines.drained(), DRAIN_SECONDS)
        self.unsent = self._batches.lines
        for task in (*self._tasks, *self._commands):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._commands, return_exceptions=True)
        await self._show.close()
        await asyncio.to_thread(self._session.stop, STOP_SECONDS)

    def _post(self, call: Callable[[], None]) -> None:
        """Run a callback of the session in the event loop, unless that is closed."""
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call)

    async def _publish(self, topic: str, payload: bytes) -> Delivery:
        """Publish a message, and wait for the broker's response."""
        answer: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()

        def done(delivery: Delivery) -> None:
            if not answer.done():
                answer.set_result(delivery)

        if not self._session.publish(topic, payload, done):
            return Delivery("too many messages wait for the broker already")
        return await answer

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a task in the background. An unexpected exception ends the agent."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._error = error
            self._stopping.set()

    # --- status ---

    def _on_connection(self, connected: bool, _refusal: str) -> None:
        if connected:
            self._counts["connections"] += 1
        elif self._connected:
            self._away_since = self._clocks.timer()
        self._connected = connected

    async def _emit_status(self) -> None:
        """Emit the measurement ``mqtt`` at its interval, unless the queue is full."""
        while True:
            await asyncio.sleep(self._config.status_seconds)
            if self._lines.share < 1:
                await self.emit([self._status()])

    def _status(self) -> Metric:
        lines, size = self._lines.waiting
        fields: dict[str, FieldValue] = {"connected": self._connected, "lines_waiting": lines, "waiting_bytes": size}
        fields.update({name: self._counts[name] for name in COUNTS})
        self._counts.clear()
        return Metric(self._series, fields, self._clocks.wall_ns())

    async def _update_led(self) -> None:
        while True:
            away = None if self._connected else self._clocks.timer() - self._away_since
            dark = within(self._clocks.local(), self._config.night)
            self._show.status(None if dark else health(away, self._lines.share, self._counts["lines_refused"]))
            await asyncio.sleep(_LED_SECONDS)

    # --- messages ---

    def _on_message(self, message: Message) -> None:
        if message.topic.startswith(self._prefix):
            self._on_command(message)
        else:
            self._on_telemetry(message)

    def _on_telemetry(self, message: Message) -> None:
        from collectors.messaging.parsers import read_message

        metrics: list[Metric] = []
        refused = False
        now_ns = self._clocks.wall_ns()
        for found in read_message(message.topic, message.payload, now_ns):
            if isinstance(found, Metric):
                # A retained message may be old; only a status is still valid.
                if message.retained and found.time_ns == now_ns and found.series.measurement != "device_status":
                    refused = True
                    self._errors.add(
                        f"the retained message on {message.topic[:200]} has no time, and its age is unknown"
                    )
                else:
                    metrics.append(found)
            else:
                refused = True
                self._errors.add(f"rejected on {found.topic[:200]}: {found.text}")
        self._counts["messages_received"] += 1
        self._counts["messages_refused"] += refused
        assert self._loop is not None
        loop = self._loop

        def written() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended; the broker redelivers the message
                loop.call_soon_threadsafe(self._session.acknowledge, message)

        self._outbox.put(metrics, written)

    def _on_command(self, message: Message) -> None:
        now = self._clocks.wall_ns() / 1e9
        found = self._validator.validate(message.topic, message.payload, now, retained=message.retained)
        self._session.acknowledge(message)
        if isinstance(found, RejectedCommand):
            if found.id is None:
                self._counts["commands_refused"] += 1
                self._errors.add(f"a command was refused without an answer: {found.message}")
            else:
                self._spawn(self._answer(found.id, found.name, Answer("refused", found.message)))
        elif len(self._commands) >= _MAX_COMMANDS:
            busy = f"{_MAX_COMMANDS} commands are running already; try again in a moment"
            self._spawn(self._answer(found.id, found.name, Answer("refused", busy)))
        else:
            task = asyncio.get_running_loop().create_task(self._run_command(found))
            self._commands.add(task)
            task.add_done_callback(self._commands.discard)

    async def _run_command(self, command: Command) -> None:
        try:
            answer = await self._handlers.carry_out(command)
        except Exception as error:  # noqa: BLE001 - one command must not stop the others; the error is reported and answered
            self._errors.add(f"{command.name} has failed: {type(error).__name__}: {error}")
            answer = Answer("failed", "the agent has failed; see its log")
        await self._answer(command.id, command.name, answer)

    async def _answer(self, command_id: str, name: str, answer: Answer) -> None:
        self._counts[f"commands_{answer.status}"] += 1
        payload = commands.result(command_id, name, answer.status, answer.message, answer.details)
        delivery = await self._publish(commands.result_topic(self._config.device, command_id), payload)
        if delivery.refusal:
            self._errors.add(f"the broker refuses the answer to a command: {delivery.refusal}")
        if answer.then is not None:
            answer.then()


def _set_written(written: asyncio.Future[None]) -> None:
    if not written.done():
        written.set_result(None)
