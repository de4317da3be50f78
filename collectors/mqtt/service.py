"""The agent as a collector: made from settings, run on a thread of its own, its metrics given to the runner.

The runner waits for signals and for the end of standard input in its own way, and writes lines; the agent's loop waits
for everything else. So each has its thread, and an :class:`~collectors.mqtt.outbox.Outbox` lies between them: the
runner's wait ends as soon as something is in it, and whoever put it there hears when it is written.
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
    HandOn,
    status_payload,
    status_topic,
)
from collectors.mqtt.batches import Batches
from collectors.mqtt.handlers import Dependencies, Handlers
from collectors.mqtt.outbox import Outbox
from collectors.sensehat.led import health, rendering
from collectors.sensehat.led.screens import open_screen
from collectors.sensehat.led.show import Show

#: Longest packet that the broker may send, and messages that it sends before the first of them is acknowledged.
_MAX_PACKET_BYTES, _MAX_UNACKNOWLEDGED = 512 * 1024, 20

#: The runner reports on a collector only when it is given a batch, be it an empty one.
_ROUND_SECONDS = 2.0

#: How long the agent may take to end.
_END_SECONDS = DRAIN_SECONDS + STOP_SECONDS + 0.4


class Service:
    """Runs the agent, and gives what it hands over.

    Args:
        agent: not running yet.
        outbox: what it puts metrics into.
        told: what goes wrong in it.
        report: where that is said and counted.
    """

    def __init__(self, agent: Agent, outbox: Outbox, told: ErrorQueue, report: ErrorReporter) -> None:
        self._agent = agent
        self._outbox = outbox
        self._told = told
        self._report = report
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="mqtt-agent", daemon=True)

    def stream(self, wait: Wait) -> Iterator[Iterable[Metric]]:
        """What the agent hands over, until it ends or it is time to stop.

        Raises Unavailable where lines were lost.
        """
        self._thread.start()
        while self._thread.is_alive() and not wait(_ROUND_SECONDS, self._outbox.descriptor):
            yield from self._batches()
        self._agent.stop()
        end = time.monotonic() + _END_SECONDS
        while self._thread.is_alive() and time.monotonic() < end:
            # What is handed over while the agent ends is written, too: it may be waiting for just that.
            self._thread.join(0.05)
            yield from self._batches()
        yield from self._batches()
        if self._error is not None:
            raise self._error
        if self._thread.is_alive():
            raise Unavailable("the agent has not ended in time; what it had not sent is lost with it")
        if self._agent.unsent:
            raise Unavailable(
                f"lines that the broker never acknowledged, and that are lost with the agent: {self._agent.unsent}"
            )

    def close(self) -> None:
        """End the agent, where it runs still because the lines could not be written."""
        if self._thread.is_alive():
            self._agent.stop()
            self._thread.join(_END_SECONDS)
        if not self._thread.is_alive():
            self._outbox.close()

    def _batches(self) -> Iterator[Iterable[Metric]]:
        self._told.drain(self._report.error)
        yield ()
        for metrics, written in self._outbox.take():
            yield metrics
            written()

    def _run(self) -> None:
        try:
            self._agent.run()
        except BaseException as error:  # noqa: BLE001 - it is raised again where the runner takes it
            self._error = error
        finally:
            self._outbox.wake()


def make(context: Context) -> Service:
    """The agent of the settings. Raises Unavailable when one of them will not do."""
    values, told, outbox = context.values, ErrorQueue(), Outbox()
    device = values[settings.DEVICE] or context.host
    firmware = values[settings.FIRMWARE] or os.uname().release
    broker = read_broker(
        values[settings.URL] or "",
        values[settings.PASSWORD_FILE],
        values[settings.CA_FILE],
        certificate=values[settings.CERTIFICATE],
        key=values[settings.KEY],
    )
    allowed = _listed(values[settings.COMMAND_ALLOW])
    for name in allowed:
        if name not in Handlers.NAMES:
            raise Unavailable(f"command_allow names {name!r}; there are: {', '.join(Handlers.NAMES)}")
    plan = _plan(context, device)
    ids = IdFile(values[settings.COMMAND_IDS_FILE], settings.COMMAND_IDS_FILE.name, context.report.error)
    gate = CommandValidator(device, Handlers.NAMES, allowed, ids=ids)
    presence = Presence(status_topic(device), status_payload("online", firmware), status_payload("offline", firmware))
    config = SessionConfig(
        values[settings.CLIENT_ID] or f"sensetig-{topic_level(device)}",
        (*gate.topics, *_listed(values[settings.SUBSCRIBE] or "")),
        presence,
        values[settings.SESSION_SECONDS],
        values[settings.KEEPALIVE_SECONDS],
        max_packet_bytes=_MAX_PACKET_BYTES,
        max_unacknowledged=_MAX_UNACKNOWLEDGED,
    )
    session = Session(broker, config, told)
    show = _show(values, told)

    def handlers(hand_on: HandOn) -> Handlers:
        edges = Dependencies(
            show,
            lambda: context.clock_ns() / 1e9,
            lambda name: collect.collect(name, values[settings.COLLECT_SECONDS]),
            hand_on,
            reload.check_settings,
            lambda: reload.running_telegraf(os.getppid()),
        )
        return Handlers(edges, _collectors(values))

    batches = Batches(values[settings.BATCH_LINES], values[settings.BATCH_KILOBYTES] * 1024)
    clocks = Clocks(context.clock_ns, time.monotonic, lambda: datetime.now().astimezone().time())
    agent = Agent(plan, session, gate, handlers, batches, show, outbox, told, clocks)
    return Service(agent, outbox, told, context.report)


def _plan(context: Context, device: str) -> AgentConfig:
    values = context.values
    lines = values[settings.LINES]
    if lines and not context.once:
        raise Unavailable("lines is on, and with --execd standard input has no lines; leave --execd out")
    if lines and values[settings.SUBSCRIBE]:
        raise Unavailable(
            "lines and subscribe are both set: Telegraf's outputs.execd takes no metrics back; run two agents, each "
            "with a client_id and a command_ids_file of its own"
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


def _show(values: Values, told: ErrorQueue) -> Show:
    rotation = values[settings.LED_ROTATION]
    if rotation not in rendering.ROTATIONS:
        raise Unavailable(f"led_rotation is {rotation}; it must be 0, 90, 180 or 270")
    backend, low_light = values[settings.LED_BACKEND], values[settings.LED_LOW_LIGHT]
    root = values[settings.SYS_ROOT]
    return Show(lambda: open_screen(backend, low_light=low_light, sys_root=root), rotation, told.add)


def _collectors(values: Values) -> Sequence[str]:
    """The collectors that may be run. Raises Unavailable for one that there is not."""
    from collectors.core.registry import catalogue

    names = _listed(values[settings.COLLECT_ALLOW])
    known = catalogue()
    for name in names:
        if name not in known:
            raise Unavailable(f"collect_allow names {name!r}; there are: {', '.join(known)}")
    return names


def _listed(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",") if each.strip())
