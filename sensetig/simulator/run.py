"""A simulation from its options to its report: files, clocks and signals are here, and nowhere else in the package."""

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
from sensetig.simulator import SimulatorError, report
from sensetig.simulator.device import Device
from sensetig.simulator.drive import Drive, Outcome, Plan
from sensetig.simulator.ledger import Ledger, fault_entries
from sensetig.simulator.profile import Profile, load
from sensetig.simulator.sources import Recording, World
from sensetig.simulator.transports import Deliveries, Target, Transport
from sensetig.simulator.transports.mqtt import is_mqtt

TOKEN_VARIABLE = "SENSETIG_SIMULATE_TOKEN"  # noqa: S105 - the variable's name


class Wishes(NamedTuple):
    """What the options ask for; ``sensetig simulate --help`` tells of each."""

    devices: int
    interval: float
    profile: str
    url: str
    seed: int
    site: str
    recording: Path | None
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


def plan_of(wishes: Wishes, now_ns: int) -> Plan:
    """When devices are asked. Raises SimulatorError where that has no end and needs one, or no date."""
    interval_ns = round(wishes.interval * 1e9)
    readings = wishes.messages
    if wishes.duration is not None:
        within = max(1, round(wishes.duration * 1e9) // interval_ns)
        readings = within if readings is None else min(readings, within)
    if wishes.speed == 0 and readings is None and wishes.recording is None:
        raise SimulatorError("as fast as it goes needs an end: say how much with --messages or --for")
    start_ns = wishes.start
    if start_ns is None:
        start_ns = now_ns - (readings or 0) * interval_ns if wishes.speed == 0 else now_ns
    if not MIN_TIME_NS <= start_ns <= MAX_TIME_NS - (readings or 0) * interval_ns:
        raise SimulatorError("the simulated time would be beyond the years 1677 to 2262, which no database holds")
    return Plan(start_ns, interval_ns, readings, wishes.speed)


def simulate(wishes: Wishes) -> bool:
    """Run it, and show and write its report; whether everything got through. Raises SimulatorError."""
    profile = load(wishes.profile)
    plan = plan_of(wishes, time.time_ns())
    # Lines for a pipe are alone on standard output.
    people = Console(stderr=wishes.url == "-", markup=False, highlight=False)
    errors = Console(stderr=True, markup=False, highlight=False)
    said: set[str] = set()

    def say(sentence: str) -> None:
        if sentence not in said:
            said.add(sentence)
            errors.print(f"simulate: {sentence}", soft_wrap=True)

    with ExitStack() as stack:
        source: World | Recording = World() if wishes.recording is None else Recording(str(wishes.recording), say)
        stack.callback(source.close)
        tags = {source.mark: "true", "site": wishes.site}
        try:
            devices = [
                Device(number, wishes.seed, profile, plan.start_ns, tags) for number in range(1, wishes.devices + 1)
            ]
        except ValueError as error:
            raise SimulatorError(f"--site cannot be a tag: {error}") from None
        target = _target(wishes, profile)
        manifest = stack.enter_context(_written(wishes.manifest))
        # Faults may be more than memory should hold, and belong into the report's one document.
        faults = stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8")) if wishes.report else None
        ledger = Ledger((device.name for device in devices), manifest, faults)
        outcome = asyncio.run(_play(wishes, target, plan, devices, source, ledger, say))
        people.print(report.shown(ledger, outcome))
        if wishes.report is not None and faults is not None:
            how = {
                "devices": wishes.devices,
                "profile": wishes.profile,
                "seed": wishes.seed,
                "site": wishes.site,
                "to": wishes.url,
                "speed": wishes.speed,
                "recording": str(wishes.recording) if wishes.recording else None,
            }
            try:
                report.save(report.summary(ledger, devices, plan, outcome, how), fault_entries(faults), wishes.report)
            except OSError as error:
                raise SimulatorError(f"the report {wishes.report} cannot be written: {error.strerror}") from None
    return outcome.fatal is None and not ledger.trouble


@contextmanager
def _written(path: Path | None) -> Iterator[IO[str] | None]:
    """A file that is written to as long as this lasts, or None."""
    if path is None:
        yield None
        return
    try:
        with path.open("w", encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise SimulatorError(f"the manifest {path} cannot be written: {error.strerror}") from None


def _target(wishes: Wishes, profile: Profile) -> Target:
    token = ""
    if urlsplit(wishes.url).scheme in ("http", "https"):
        token = os.environ.get(TOKEN_VARIABLE, "").strip()
        if not token and wishes.token_file:
            try:
                token = read_secret(wishes.token_file, "--token-file")
            except Unavailable as error:
                raise SimulatorError(str(error)) from None
    return Target(
        wishes.url,
        wishes.password_file,
        wishes.ca_file,
        token,
        wishes.organisation,
        wishes.bucket,
        wishes.payload,
        profile.too_large_bytes,
        wishes.connections or 0,
        wishes.wait,
        wishes.make_stream,
        wishes.stream_bytes,
    )


def _transport(target: Target, deliveries: Deliveries) -> Transport:
    """The way that a URL names; its library is imported only here. Raises SimulatorError."""
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
        f"--to is {target.url!r}; it must be mqtt://HOST or mqtts://HOST, nats://HOST or tls://HOST, "
        "http://HOST or https://HOST of InfluxDB, or - for standard output"
    )


async def _play(
    wishes: Wishes,
    target: Target,
    plan: Plan,
    devices: list[Device],
    source: World | Recording,
    ledger: Ledger,
    say: Callable[[str], None],
) -> Outcome:
    deliveries = Deliveries(ledger, say)
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
            ledger,
            stop=stop,
            abandon=abandon,
            timer=time.monotonic,
            drain_seconds=wishes.drain,
        ).run()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)
