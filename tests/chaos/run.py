"""Runs one draw: start, faults, recovery, account."""

from __future__ import annotations

import math
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from sensetig.influxdb.client import Client
from sensetig.simulator.transports.nats import ACK_SECONDS
from tests.chaos import alerts
from tests.chaos.account import Account, account, read_ledger
from tests.chaos.clocked import set_clock
from tests.chaos.draws import Draw, Fault
from tests.chaos.relay import Mode
from tests.chaos.rig import RATE, Programs, Rig, is_tail, running, until
from tests.integration.alerting import committed

#: A source whose samples do not arrive within this time after the last fault is stuck, in seconds. NATS gives messages
#: of a killed worker to another after five minutes.
STUCK_SECONDS = 240.0

#: Time after which NATS gives a worker's unacknowledged messages to another, with a margin, in seconds.
REDELIVERY_SECONDS = ACK_SECONDS + 30.0

#: Maximum duration of a write by Telegraf while InfluxDB hangs: the outbox waits this long for InfluxDB, then writes to
#: its disk.
WRITE_SECONDS = 7.0

#: Maximum age, in seconds, of messages that Mosquitto has acknowledged and a power cut loses: 0.25 s that the gateway
#: waits for more messages, and its write on a busy machine.
ACKNOWLEDGED_SECONDS = 2.0

#: The same while the gateway cannot write, or writes each 10 s since InfluxDB is away: Mosquitto saves its queue each
#: 11 s.
SAVED_SECONDS = 11.0

#: Seconds for the counts of a draw to reach InfluxDB: the collector's interval and some flushes.
_COUNTS_SECONDS = 60.0

#: Seconds for a gateway to recover after a kill or a failed write, or to return to its normal write interval.
_BACK_SECONDS = 12.0


class Outcome(NamedTuple):
    """The result of a draw.

    Args:
        accounts: the account of each source.
        bounds: samples of each source that may be lost within the documented bound.
        damaged: points that the outbox counted as damaged.
        missing: files that the outbox counted as missing.
        dropped: lines that the spool counted as dropped.
        well_seconds: time from the end of the faults until new samples of all sources arrived and nothing waited.
        stuck: whether that took too long.
        ended: processes that ended unexpectedly, with the number of times.
        alerts: missing alerts, and false ones.
    """

    draw: Draw
    accounts: tuple[Account, ...]
    bounds: dict[str, int]
    damaged: int
    missing: int
    dropped: int
    well_seconds: float
    stuck: bool
    ended: dict[str, int]
    alerts: alerts.Verdict

    def beyond(self, each: Account) -> int:
        """Samples of a source that are lost, neither within the bound nor counted as damaged or dropped."""
        if self.missing:
            return 0
        counted = self.damaged + (self.dropped if each.source == "spool" else 0)
        return max(0, len(each.lost) - self.bounds[each.source] - counted)

    def findings(self) -> list[str]:
        """The failures, a sentence each."""
        found = []
        for each in self.accounts:
            if self.beyond(each):
                found.append(
                    f"{each.source}: {len(each.lost)} lost ({each.lost[0]} to {each.lost[-1]}), bound "
                    f"{self.bounds[each.source]}, counted as damaged {self.damaged}, as dropped {self.dropped}"
                )
            if each.duplicates:
                found.append(f"{each.source}: {each.duplicates} duplicates")
            if each.invented:
                found.append(f"{each.source}: {each.invented} invented")
        if self.stuck:
            found.append(f"stuck after {self.well_seconds:.0f} s")
        found += [f"missing alert {key}" for key in self.alerts.missing]
        found += [f"false alert {key}" for key in self.alerts.false]
        return found


def run(draw: Draw, programs: Programs, folder: Path, flush_seconds: float, *, images: bool) -> Outcome:
    """Run a draw in a folder, which is empty afterwards unless something was found."""
    begin_ms = alerts.now_ms()
    with running(draw, programs, folder, f"{flush_seconds:g}s", images=images) as rig, ExitStack() as stack:
        if draw.topology == "hub":
            rig.await_gateway()
        sources = _publishers(rig)
        for source in sources:
            stack.callback(source.close)
            source.start()
        _await_first(rig)
        rig.age()
        _apply(rig, draw)
        lifted = time.monotonic()
        sent = {name: max(read_ledger(rig.ledger(name)).done, default=-1) for name in rig.sources}
        stuck = False
        try:
            until(lambda: _well(rig, sent), STUCK_SECONDS)
        except TimeoutError:
            stuck = True
        well = time.monotonic() - lifted
        (rig.control / "stop").touch()
        for source in sources:
            source.stop()
        accounts = _settle(rig, flush_seconds)
        totals = rig.totals()
        facts = alerts.Facts(
            draw,
            totals.get("refused_points", 0),
            totals.get("damaged_points", 0),
            totals.get("missing_batches", 0),
            rig.dropped() if "spool" in rig.sources else 0,
        )
        outcome = Outcome(
            draw,
            accounts,
            bounds(draw, flush_seconds),
            facts.damaged,
            facts.missing,
            facts.dropped,
            well,
            stuck,
            {name: service.ended for name, service in rig.services.items() if service.ended},
            _alerts(rig, programs, facts, begin_ms),
        )
    if not outcome.findings():
        shutil.rmtree(folder)
    return outcome


def _publishers(rig: Rig) -> list[Any]:
    if rig.draw.topology != "hub":
        return []
    from tests.chaos.publishers import MqttSource, NatsSource

    return [
        MqttSource(rig.mqtt_port, rig.ledger("mqtt"), RATE, user="hall", measurement="chaos_mqtt", timed=True),
        MqttSource(rig.mqtt_port, rig.ledger("mqtt_untimed"), RATE, user="cellar", measurement="chaos_mqtt_untimed"),
        NatsSource(rig.nats_url, rig.ledger("nats"), RATE),
    ]


def _await_first(rig: Rig) -> None:
    try:
        until(lambda: all(rig.rows(name) for name in rig.sources), 180)
    except TimeoutError:
        logs = "\n".join(f"{name}: {is_tail(service.log)}" for name, service in rig.services.items())
        raise TimeoutError(f"no samples arrive before the first fault\n{logs}") from None


def _apply(rig: Rig, draw: Draw) -> None:
    """Run each fault in a thread, and return when all have ended."""
    failures: list[BaseException] = []

    def one(fault: Fault) -> None:
        try:
            time.sleep(fault.begin)
            _FAULTS[fault.kind](rig, fault)
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            failures.append(error)

    threads = [threading.Thread(target=one, args=(fault,)) for fault in draw.faults]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _kill(rig: Rig, fault: Fault) -> None:
    if fault.target in rig.services:
        service = rig.services[fault.target]
        service.kill()
        time.sleep(fault.seconds)
        service.start()
    elif (child := _child(rig, fault.target)) is not None:
        child.kill()


def _pause(rig: Rig, fault: Fault) -> None:
    if fault.target in rig.services:
        family = rig.services[fault.target].family()
    else:
        child = _child(rig, fault.target)
        family = [] if child is None else [child]
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for process in family:
            if process.is_running():
                process.send_signal(number)
        if number == signal.SIGSTOP:
            time.sleep(fault.seconds)


def _child(rig: Rig, name: str) -> Any:
    words = ("tests.chaos.source", "execd") if name == "collector" else ("collectors", name)
    return rig.services["telegraf"].child(*words)


def _hub(rig: Rig, fault: Fault) -> None:
    rig.relay.set(fault.mode)
    time.sleep(fault.seconds)
    rig.relay.set(Mode())


def _disk_full(rig: Rig, fault: Fault) -> None:
    disk = rig.disks[fault.target]
    disk.fill()
    time.sleep(fault.seconds)
    disk.empty()


def _power_cut(rig: Rig, fault: Fault) -> None:
    disk, services = rig.disks[fault.target], rig.machine(fault.target)
    for service in services:
        service.cut_power(on=False)
    disk.snapshot()
    for service in services:
        service.vanish()
    disk.cut()
    time.sleep(fault.seconds)
    for service in services:
        service.cut_power(on=True)


def _damage(rig: Rig, fault: Fault) -> None:
    """Damage a file of the outbox while points wait in it: the outbox is killed for that, as by a power cut."""
    chance = random.Random(rig.draw.seed)
    rig.relay.set(Mode("refuse"))
    until(lambda: rig.waiting() > 20, 60)
    outbox = rig.services["outbox"]
    outbox.kill()
    left_out = (".lock", ".jsonl", ".next")
    files = sorted(each for each in rig.outbox_folder.iterdir() if each.is_file() and each.suffix not in left_out)
    files = [each for each in files if not each.name.startswith(".")]
    damage(chance.choice(files), fault.target, chance)
    outbox.start()
    time.sleep(fault.seconds)
    rig.relay.set(Mode())


def damage(file: Path, kind: str, chance: random.Random) -> None:
    """Damage a file as a worn card or a crash does."""
    content = bytearray(file.read_bytes())
    if kind == "missing":
        file.unlink()
        return
    at = chance.randrange(max(1, len(content)))
    length = chance.choice((1, 16, 512, 4096))
    if kind == "bits":
        for _ in range(chance.choice((1, 2, 8))):
            if content:
                content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    elif kind == "garbage":
        content[at : at + length] = chance.randbytes(len(content[at : at + length]))
    elif kind == "zeros":
        content[at : at + length] = bytes(len(content[at : at + length]))
    elif kind == "truncated":
        del content[at:]
    else:
        content.clear()
    file.write_bytes(content)


def _clock(rig: Rig, fault: Fault) -> None:
    file = rig.clock if fault.target == "outbox" else rig.control / "clock"
    set_clock(file, fault.offset)
    time.sleep(fault.seconds)
    set_clock(file, 0.0)


def _boot(rig: Rig, fault: Fault) -> None:
    """Telegraf and the outbox start as after a boot, with a wrong clock that is set later."""
    services = [rig.services["telegraf"], rig.services["outbox"]]
    for service in services:
        service.kill()
    rig.boot()
    set_clock(rig.clock, fault.offset, synchronised=False)
    set_clock(rig.control / "clock", fault.offset)
    for service in reversed(services):
        service.start()
    time.sleep(fault.seconds)
    set_clock(rig.control / "clock", 0.0)
    set_clock(rig.clock, 0.0)


_FAULTS: dict[str, Callable[[Rig, Fault], None]] = {
    "kill": _kill,
    "pause": _pause,
    "hub": _hub,
    "disk_full": _disk_full,
    "power_cut": _power_cut,
    "damage": _damage,
    "clock": _clock,
    "boot": _boot,
}


def _well(rig: Rig, sent: dict[str, int]) -> bool:
    """Whether samples of each source arrive that are newer than the last fault, and nothing waits."""
    if rig.waiting():
        return False
    for name, number in sent.items():
        rows = rig.rows(name)
        if rows is None or max((row.number for row in rows), default=-1) <= number:
            return False
    return True


def _settle(rig: Rig, flush_seconds: float) -> tuple[Account, ...]:
    """The accounts when all is there, or when no more comes."""
    quiet = max(3 * flush_seconds + WRITE_SECONDS, 20.0)
    changed = time.monotonic()
    before: tuple[int, ...] = ()
    while True:
        accounts = tuple(_account(rig, name) for name in rig.sources)
        if not any(each.lost for each in accounts):
            return accounts
        # JetStream redelivers the messages of a killed worker to another worker.
        redelivered = any(
            len(each.lost) > rig.totals().get("damaged_points", 0) for each in accounts if each.source == "nats"
        )
        patience = max(quiet, REDELIVERY_SECONDS) if redelivered else quiet
        counts = tuple(each.stored for each in accounts)
        if counts != before or rig.waiting():
            changed, before = time.monotonic(), counts
        if time.monotonic() - changed > patience:
            return accounts
        time.sleep(1)


def _account(rig: Rig, name: str) -> Account:
    rows = rig.rows(name)
    while rows is None:
        time.sleep(0.5)
        rows = rig.rows(name)
    if any(each.kind == "boot" for each in rig.draw.faults):
        # A time that was not corrected is as bad as an invented sample.
        rows = [row if abs(row.time_ns / 1e9 - time.time()) < 1800 else row._replace(check=-1.0) for row in rows]
    return account(name, read_ledger(rig.ledger(name)), rows, rig.refused(name))


def bounds(draw: Draw, flush_seconds: float) -> dict[str, int]:
    """Samples that may be lost: those that Telegraf had not flushed, and those that a spool had not synced."""
    found = dict.fromkeys(("execd", "spool", "mqtt", "mqtt_untimed", "nats"), 0)
    away = sum(
        each.seconds + 2
        for each in draw.faults
        if each.target in ("outbox", "influxd", "receiver", "proxy") or each.kind == "hub"
    )
    cut = [each for each in draw.faults if each.kind == "power_cut" and (draw.topology, each.target) != ("edge", "hub")]
    if cut or any(each.kind == "boot" or (each.kind, each.target) == ("kill", "telegraf") for each in draw.faults):
        found["execd"] = round((flush_seconds + WRITE_SECONDS + away) * RATE)
    elif any(each.target == "collector" and each.kind == "kill" for each in draw.faults):
        found["execd"] = 2
    if cut:
        found["spool"] = round(60 * RATE)
    found["mqtt"] = found["mqtt_untimed"] = math.ceil(_acknowledged_seconds(draw) * RATE)
    return found


def _acknowledged_seconds(draw: Draw) -> float:
    """Age of the oldest message that may be lost although Mosquitto has acknowledged it to a device.

    Only the broker's and the gateway's memory have it: a power cut loses both, and so does a kill of both.
    """
    if draw.topology != "hub":
        return 0.0
    found = 0.0
    for loss in draw.faults:
        if loss.kind != "power_cut" and (loss.kind, loss.target) != ("kill", "mosquitto"):
            continue
        if loss.kind == "power_cut":
            found = max(found, ACKNOWLEDGED_SECONDS)
        for other in draw.faults:
            writes = other.target in ("telegraf", "gateway", "outbox", "influxd") or other.kind in ("hub", "damage")
            if other == loss or not writes:
                continue
            blocked = loss.begin - other.begin
            if -ACKNOWLEDGED_SECONDS <= blocked <= other.seconds + _BACK_SECONDS:
                found = max(found, min(max(blocked, 0.0) + ACKNOWLEDGED_SECONDS, SAVED_SECONDS))
    return found


def _alerts(rig: Rig, programs: Programs, facts: alerts.Facts, begin_ms: int) -> alerts.Verdict:
    """Evaluate all rules; those about counted losses once the counts have arrived."""
    reader = Client(f"http://127.0.0.1:{rig.influxd_port}", programs.read_token)
    rules = list(committed().values())
    end = time.monotonic() + _COUNTS_SECONDS
    while True:
        verdict = alerts.judge(facts, alerts.fired(reader.query_all, rules, begin_ms, alerts.now_ms()))
        if not verdict.missing or time.monotonic() > end:
            return verdict
        time.sleep(2)
