"""The simulator: readings a second of one core, made and handed to each transport."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sensetig.engines import locate
from sensetig.simulator.device import Device
from sensetig.simulator.drive import Drive, Plan, slots
from sensetig.simulator.profile import load
from sensetig.simulator.send_log import SendLog
from sensetig.simulator.sources import World
from sensetig.simulator.transports import Deliveries, Target, Transport
from sensetig.simulator.transports.mqtt import Mqtt
from sensetig.simulator.transports.nats import Nats
from sensetig.simulator.transports.output import Output
from tests.bench.measure import BenchUnavailable, Result
from tests.integration import mosquitto, nats

DEVICES, READINGS = 200, 30


def run() -> list[Result]:
    """All figures: CPU seconds of this process, and of the servers."""
    with tempfile.TemporaryDirectory(prefix="simulate-") as name, open(os.devnull, "wb") as nowhere:
        folder = Path(name)
        results = [
            Result("simulate: readings made, a second of CPU", _made(), "readings", 1000, "more"),
            _result("standard output", lambda deliveries: Output(nowhere, deliveries)),
        ]
        try:
            with mosquitto.running(folder) as broker:
                results.append(_result("MQTT", lambda deliveries: Mqtt(Target(broker.url), deliveries)))
        except pytest.skip.Exception as absent:
            raise BenchUnavailable(str(absent)) from None
        if locate("nats-server") is not None:
            with nats.running(folder / "nats") as server:
                target = Target(server.url, make_stream=True, stream_bytes=100_000_000)
                results.append(_result("NATS JetStream", lambda deliveries: Nats(target, deliveries)))
        return results


def _devices() -> list[Device]:
    return [Device(number, 1, load("classroom"), 0, {"simulated": "true"}) for number in range(1, DEVICES + 1)]


def _made() -> float:
    devices, world = _devices(), World()
    begun = time.process_time()
    for slot in slots(Plan(0, 1_000_000_000, READINGS, 0), devices):
        slot.device.step(slot.now_ns, world.reading(slot.device, slot.tick, slot.now_ns))
    return DEVICES * READINGS / (time.process_time() - begun)


def _result(way: str, made: Callable[[Deliveries], Transport]) -> Result:
    async def drive() -> float:
        devices = _devices()
        send_log = SendLog(device.name for device in devices)
        deliveries = Deliveries(send_log, _fail)
        never = asyncio.Event()
        begun = time.process_time()
        await Drive(
            Plan(0, 1_000_000_000, READINGS, 0),
            devices,
            World(),
            made(deliveries),
            deliveries,
            send_log,
            stop=never,
            abandon=never,
            timer=time.monotonic,
            drain_seconds=60,
        ).run()
        spent = time.process_time() - begun
        if send_log.trouble:
            _fail(str(send_log.trouble))
        return send_log.total()["messages"] / spent

    return Result(f"simulate: messages over {way}, a second of CPU", asyncio.run(drive()), "messages", 1000, "more")


def _fail(sentence: str) -> None:
    raise BenchUnavailable(sentence)
