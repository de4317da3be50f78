"""A simulation from its options to its report; the package's only module with files, clocks and signals."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, NamedTuple
from urllib.parse import urlsplit

from rich.console import Console

from collectors.core.api import Unavailable
from collectors.core.files import read_secret
from collectors.core.line_protocol import MAX_TIME_NS, MIN_TIME_NS
from collectors.sensehat.csv_recording import Form
from sensetig.simulator import SimulatorError, report
from sensetig.simulator.device import Device
from sensetig.simulator.drive import Drive, Outcome, Plan
from sensetig.simulator.profile import Profile, load
from sensetig.simulator.send_log import SendLog, fault_entries
from sensetig.simulator.sources import Recording, World
from sensetig.simulator.transports import Deliveries, Target, Transport
from sensetig.simulator.transports.mqtt import is_mqtt
from sensetig.site import redacted

TOKEN_VARIABLE = "SENSETIG_SIMULATE_TOKEN"  # noqa: S105 - the variable's name


class SimulateOptions(NamedTuple):
    """The options of ``sensetig simulate``."""

    devices: int
    interval: float
    profile: str
    url: str
    seed: int
    site: str
    recording: Path | None
    columns: str
    time_zone: str
    time_format: str | None
    duration: float | None
    messages: int | None
    start: int | None
    speed: float
    payload: str
    connections: int | None
    password_file: str | None
    ca_file: str | None
    token_file: str | None
    organisation: str
    bucket: str
    make_stream: bool
    stream_bytes: int
    report: Path | None
    manifest: Path | None
    wait: float
    drain: float


def plan_of(options: SimulateOptions, now_ns: int) -> Plan:
    """The schedule. Raises SimulatorError if an end or a date is required but missing."""
    interval_ns = round(options.interval * 1e9)
    readings = options.messages
    if options.duration is not None:
        within = max(1, round(options.duration * 1e9) // interval_ns)
        readings = within if readings is None else min(readings, within)
    if options.speed == 0 and readings is None and options.recording is None:
        raise SimulatorError("as fast as it goes needs an end: say how much with --messages or --for")
    start_ns = options.start
    if start_ns is None:
        start_ns = now_ns - (readings or 0) * interval_ns if options.speed == 0 else now_ns
    if not MIN_TIME_NS <= start_ns <= MAX_TIME_NS - (readings or 0) * interval_ns:
        raise SimulatorError("the simulated time would be beyond the years 1677 to 2262, which no database holds")
    return Plan(start_ns, interval_ns, readings, options.speed)


def _source(options: SimulateOptions, say: Callable[[str], None]) -> World | Recording:
    try:
        form = Form.parse(options.columns, options.time_zone, options.time_format)
    except ValueError as error:
        raise SimulatorError(f"the form of the recording cannot be read: {error}") from None
    return World() if options.recording is None else Recording(str(options.recording), say, form)


def simulate(options: SimulateOptions) -> bool:
    """Run the simulation, print and write its report; return whether all messages arrived. Raises SimulatorError."""
    profile = load(options.profile)
    plan = plan_of(options, time.time_ns())
    # Standard output is reserved for the lines.
    people = Console(stderr=options.url == "-", markup=False, highlight=False)
    errors = Console(stderr=True, markup=False, highlight=False)
    said: set[str] = set()

    def say(sentence: str) -> None:
        if sentence not in said:
            said.add(sentence)
            errors.print(f"simulate: {sentence}", soft_wrap=True)

    with ExitStack() as stack:
        source = _source(options, say)
        stack.callback(source.close)
        tags = {source.mark: "true", "site": options.site}
        try:
            devices = [
                Device(number, options.seed, profile, plan.start_ns, tags) for number in range(1, options.devices + 1)
            ]
        except ValueError as error:
            raise SimulatorError(f"--site cannot be a tag: {error}") from None
        target = _target(options, profile)
        manifest = stack.enter_context(_written(options.manifest))
        # Faults may exceed the memory, and belong into the report's document.
        faults = stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8")) if options.report else None
        send_log = SendLog((device.name for device in devices), manifest, faults)
        outcome = asyncio.run(_play(options, target, plan, devices, source, send_log, say))
        people.print(report.shown(send_log, outcome))
        if options.report is not None and faults is not None:
            how = {
                "devices": options.devices,
                "profile": options.profile,
                "seed": options.seed,
                "site": options.site,
                "to": redacted(options.url),
                "speed": options.speed,
                "recording": str(options.recording) if options.recording else None,
            }
            try:
                report.save(
                    report.summary(send_log, devices, plan, outcome, how), fault_entries(faults), options.report
                )
            except OSError as error:
                raise SimulatorError(f"the report {options.report} cannot be written: {error.strerror}") from None
    return outcome.fatal is None and not send_log.trouble


@contextmanager
def _written(path: Path | None) -> Iterator[IO[str] | None]:
    """A file that is open for the duration of the context, or None."""
    if path is None:
        yield None
        return
    try:
        with path.open("w", encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise SimulatorError(f"the manifest {path} cannot be written: {error.strerror}") from None


def _target(options: SimulateOptions, profile: Profile) -> Target:
    token = ""
    if urlsplit(options.url).scheme in ("http", "https"):
        token = os.environ.get(TOKEN_VARIABLE, "").strip()
        if not token and options.token_file:
            try:
                token = read_secret(options.token_file, "--token-file")
            except Unavailable as error:
                raise SimulatorError(str(error)) from None
    return Target(
        options.url,
        options.password_file,
        options.ca_file,
        token,
        options.organisation,
        options.bucket,
        options.payload,
        profile.too_large_bytes,
        options.connections or 0,
        options.wait,
        options.make_stream,
        options.stream_bytes,
    )


def _transport(target: Target, deliveries: Deliveries) -> Transport:
    """The transport for a URL; its library is imported only here. Raises SimulatorError."""
    if target.url == "-":
        from sensetig.simulator.transports.output import Output

        return Output(sys.stdout.buffer, deliveries)
    try:
        scheme = urlsplit(target.url).scheme
    except ValueError:
        scheme = ""
    if is_mqtt(target.url):
        from sensetig.simulator.transports.mqtt import Mqtt

        return Mqtt(target, deliveries)
    if scheme in ("nats", "tls"):
        from sensetig.simulator.transports.nats import Nats

        return Nats(target, deliveries)
    if scheme in ("http", "https"):
        from sensetig.simulator.transports.influxdb import InfluxDB

        return InfluxDB(target, deliveries)
    raise SimulatorError(
        f"--to is {redacted(target.url)!r}; it must be mqtt://HOST or mqtts://HOST, nats://HOST or tls://HOST, "
        "http://HOST or https://HOST of InfluxDB, or - for standard output"
    )


async def _play(
    options: SimulateOptions,
    target: Target,
    plan: Plan,
    devices: list[Device],
    source: World | Recording,
    send_log: SendLog,
    say: Callable[[str], None],
) -> Outcome:
    deliveries = Deliveries(send_log, say)
    stop, abandon = asyncio.Event(), asyncio.Event()

    def interrupted() -> None:
        if stop.is_set():
            abandon.set()
        else:
            say("ending in order; once more to end at once")
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, interrupted)
    try:
        return await Drive(
            plan,
            devices,
            source,
            _transport(target, deliveries),
            deliveries,
            send_log,
            stop=stop,
            abandon=abandon,
            timer=time.monotonic,
            drain_seconds=options.drain,
        ).run()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)
