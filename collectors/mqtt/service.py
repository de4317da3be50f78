"""The agent as a collector: built from settings, it runs on a thread and passes its metrics to the runner.

The runner waits for signals and the end of standard input, and writes lines; the agent's event loop waits for
everything else. An :class:`~collectors.mqtt.outbox.Outbox` connects the two threads: it wakes the runner, and reports
back when metrics are written.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from collectors.core.api import Context, Unavailable, Wait
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import Metric
from collectors.core.settings import Values
from collectors.messaging.broker import read_broker
from collectors.messaging.command_ids import IdFile
from collectors.messaging.commands import CommandValidator
from collectors.messaging.session import ErrorQueue, Presence, Session, SessionConfig, topic_level
from collectors.mqtt import collect, reload, settings
from collectors.mqtt.agent import (
    DRAIN_SECONDS,
    STOP_SECONDS,
    Agent,
    AgentConfig,
    Clocks,
    Emit,
    status_payload,
    status_topic,
)
from collectors.mqtt.batches import Batches
from collectors.mqtt.handlers import Dependencies, Handlers
from collectors.mqtt.outbox import Outbox
from collectors.sensehat.led import health, rendering
from collectors.sensehat.led.screens import open_screen
from collectors.sensehat.led.show import Show

#: Maximum size of packets from the broker, and number of messages that it sends before an acknowledgement.
_MAX_PACKET_BYTES, _MAX_UNACKNOWLEDGED = 512 * 1024, 20

#: Interval of batches, even empty ones: the runner emits its self-metric with a batch.
_ROUND_SECONDS = 2.0

#: Seconds allowed for the agent to stop.
_END_SECONDS = DRAIN_SECONDS + STOP_SECONDS + 0.4


class Service:
    """Runs the agent on a thread.

    Args:
        agent: the agent, not running yet.
        outbox: receives the agent's metrics.
        errors: receives the agent's errors.
        report: reports and counts them.
    """

    def __init__(self, agent: Agent, outbox: Outbox, errors: ErrorQueue, report: ErrorReporter) -> None:
        self._agent = agent
        self._outbox = outbox
        self._errors = errors
        self._report = report
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="mqtt-agent", daemon=True)

    def stream(self, wait: Wait) -> Iterator[Iterable[Metric]]:
        """The metrics of the agent, until it ends or the runner stops it.

        Raises Unavailable if lines were lost.
        """
        self._thread.start()
        while self._thread.is_alive() and not wait(_ROUND_SECONDS, self._outbox.descriptor):
            yield from self._batches()
        self._agent.stop()
        end = time.monotonic() + _END_SECONDS
        while self._thread.is_alive() and time.monotonic() < end:
            # The agent may be waiting until its last metrics are written.
            self._thread.join(0.05)
            yield from self._batches()
        yield from self._batches()
        if self._error is not None:
            raise self._error
        if self._thread.is_alive():
            raise Unavailable("the agent has not stopped in time; its unsent lines are lost")
        if self._agent.unsent:
            raise Unavailable(f"lines that the broker has not acknowledged, and that are lost: {self._agent.unsent}")

    def close(self) -> None:
        """Stop the agent if it still runs, because its lines could not be written."""
        if self._thread.is_alive():
            self._agent.stop()
            self._thread.join(_END_SECONDS)
        if not self._thread.is_alive():
            self._outbox.close()

    def _batches(self) -> Iterator[Iterable[Metric]]:
        self._errors.drain(self._report.error)
        yield ()
        for metrics, written in self._outbox.take():
            yield metrics
            written()

    def _run(self) -> None:
        try:
            self._agent.run()
        except BaseException as error:  # noqa: BLE001 - raised again in the runner's thread
            self._error = error
        finally:
            self._outbox.wake()


def make(context: Context) -> Service:
    """Build the agent from the settings. Raises Unavailable for an invalid setting."""
    values, errors, outbox = context.values, ErrorQueue(), Outbox()
    device = values[settings.DEVICE] or context.host
    firmware = values[settings.FIRMWARE] or os.uname().release
    broker = read_broker(
        values[settings.URL] or "",
        values[settings.PASSWORD_FILE],
        values[settings.CA_FILE],
        certificate=values[settings.CERTIFICATE],
        key=values[settings.KEY],
    )
    allowed = _split(values[settings.COMMAND_ALLOW])
    for name in allowed:
        if name not in Handlers.NAMES:
            raise Unavailable(f"command_allow names {name!r}; there are: {', '.join(Handlers.NAMES)}")
    config = _agent_config(context, device)
    ids = IdFile(values[settings.COMMAND_IDS_FILE], settings.COMMAND_IDS_FILE.name, context.report.error)
    validator = CommandValidator(device, Handlers.NAMES, allowed, ids=ids)
    presence = Presence(status_topic(device), status_payload("online", firmware), status_payload("offline", firmware))
    session_config = SessionConfig(
        values[settings.CLIENT_ID] or f"sensetig-{topic_level(device)}",
        (*validator.topics, *_split(values[settings.SUBSCRIBE] or "")),
        presence,
        values[settings.SESSION_SECONDS],
        values[settings.KEEPALIVE_SECONDS],
        max_packet_bytes=_MAX_PACKET_BYTES,
        max_unacknowledged=_MAX_UNACKNOWLEDGED,
    )
    session = Session(broker, session_config, errors)
    show = _show(values, errors)

    def handlers(emit: Emit) -> Handlers:
        dependencies = Dependencies(
            show,
            lambda: context.clock_ns() / 1e9,
            lambda name: collect.collect(name, values[settings.COLLECT_SECONDS]),
            emit,
            reload.check_settings,
            lambda: reload.running_telegraf(os.getppid()),
        )
        return Handlers(dependencies, _collectors(values))

    batches = Batches(values[settings.BATCH_LINES], values[settings.BATCH_KILOBYTES] * 1024)
    clocks = Clocks(context.clock_ns, time.monotonic, lambda: datetime.now().astimezone().time())
    agent = Agent(config, session, validator, handlers, batches, show, outbox, errors, clocks)
    return Service(agent, outbox, errors, context.report)


def _agent_config(context: Context, device: str) -> AgentConfig:
    values = context.values
    lines = values[settings.LINES]
    if lines and not context.once:
        raise Unavailable("lines is on, and with --execd standard input has no lines; remove --execd")
    if lines and values[settings.SUBSCRIBE]:
        raise Unavailable(
            "lines and subscribe are both set, but Telegraf's outputs.execd accepts no metrics; run two agents with "
            "different settings client_id and command_ids_file"
        )
    try:
        night = health.hours(values[settings.LED_NIGHT])
    except ValueError:
        raise Unavailable(
            f"led_night is {values[settings.LED_NIGHT]!r}; it must be hours such as 22:00-07:00"
        ) from None
    return AgentConfig(
        device,
        0 if lines else None,
        values[settings.QUEUE_KILOBYTES] * 1024,
        values[settings.BATCH_SECONDS],
        values[settings.STATUS_SECONDS],
        values[settings.LED_STATUS],
        night,
    )


def _show(values: Values, errors: ErrorQueue) -> Show:
    rotation = values[settings.LED_ROTATION]
    if rotation not in rendering.ROTATIONS:
        raise Unavailable(f"led_rotation is {rotation}; it must be 0, 90, 180 or 270")
    backend, low_light = values[settings.LED_BACKEND], values[settings.LED_LOW_LIGHT]
    root = values[settings.SYS_ROOT]
    return Show(lambda: open_screen(backend, low_light=low_light, sys_root=root), rotation, errors.add)


def _collectors(values: Values) -> Sequence[str]:
    """The collectors that ``collect_now`` may run. Raises Unavailable for an unknown one."""
    from collectors.core.registry import catalogue

    names = _split(values[settings.COLLECT_ALLOW])
    known = catalogue()
    for name in names:
        if name not in known:
            raise Unavailable(f"collect_allow names {name!r}; there are: {', '.join(known)}")
    return names


def _split(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",") if each.strip())
